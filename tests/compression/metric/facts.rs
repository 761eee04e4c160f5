//! The facts inside a text: quotations, places, names, numbers, and the words that bind.

use super::{
    Bag, Kind, Report, found,
    patterns::{
        CAPITALS, CONSTRAINT, ENTITY, FOREIGN, IDENTIFIER, INLINE, MARKER, NEGATION, NUMBER, PATH,
        PLACEHOLDER, QUOTED, TAG, URL,
    },
};

/// Capitalised in the middle of a sentence, and yet no names.
const NO_NAMES: [&str; 9] = [
    "I", "The", "A", "An", "This", "That", "It", "Please", "Just",
];

/// Wordy phrases and the binding word that says the same: where the phrase goes, the word may come.
const SAME_AS: [(&str, &str); 10] = [
    ("due to the fact that", "because"),
    ("owing to the fact that", "because"),
    ("on account of the fact that", "because"),
    ("for the reason that", "because"),
    ("on the grounds that", "because"),
    ("in the event that", "if"),
    ("in the case that", "if"),
    ("on the condition that", "if"),
    ("prior to", "before"),
    ("in advance of", "before"),
];

/// Reports inline code, quotations, addresses, tags and placeholders. `prose` is the text without
/// its fences, `bare` without its JSON too.
pub(super) fn compare_marked(
    prose: &str,
    bare: &str,
    folded: &str,
    compressed: &str,
    report: &mut Report,
) {
    let fewer = |pattern, text| -> Bag {
        let all = found(pattern, text);
        all.iter()
            .filter(|(part, _)| times(compressed, part) < times(folded, part))
            .collect()
    };
    report.add_bag(Kind::Inline, &fewer(&INLINE, prose));
    report.add_bag(Kind::Quoted, &fewer(&QUOTED, bare));
    report.add_bag(Kind::UrlPath, &fewer(&URL, prose));
    report.add_bag(Kind::UrlPath, &fewer(&PATH, prose));

    let tags = found(&TAG, bare).minus(&found(&TAG, compressed));
    report.add_bag(Kind::Tag, &tags);
    let placeholders = found(&PLACEHOLDER, bare).minus(&found(&PLACEHOLDER, compressed));
    report.add_bag(Kind::Placeholder, &placeholders);
}

/// Reports numbers, identifiers, names, negations and constraints that went.
pub(super) fn compare_words(folded: &str, bare: &str, compressed: &str, report: &mut Report) {
    let numbers = found(&NUMBER, folded).minus(&found(&NUMBER, compressed));
    report.add_bag(Kind::Number, &numbers);

    let identifiers = found(&IDENTIFIER, folded).minus(&found(&IDENTIFIER, compressed));
    // A word may end elsewhere once its neighbours change, and still stand there as often.
    let lost = identifiers.filter(|name| times(compressed, name) < times(folded, name));
    report.add_bag(Kind::Identifier, &lost);

    let mut names = found(&CAPITALS, folded).minus(&found(&CAPITALS, compressed));
    for (name, _) in found(&ENTITY, bare)
        .iter()
        .filter(|(name, _)| !NO_NAMES.contains(name))
    {
        let is_lost = words(compressed, name) < words(folded, name);
        names.add(name, usize::from(is_lost));
    }
    report.add_bag(Kind::Entity, &names);

    report.add_bag(
        Kind::Negation,
        &negations(folded).minus(&negations(compressed)),
    );
    report.add_bag(
        Kind::Constraint,
        &constraints(folded).minus(&constraints(compressed)),
    );
}

/// Reports letters outside of ASCII that went, came, changed or moved.
pub(super) fn compare_letters(folded: &str, compressed: &str, report: &mut Report) {
    let (before, after) = (
        FOREIGN.find_all(folded).concat(),
        FOREIGN.find_all(compressed).concat(),
    );
    if before != after {
        let same = before
            .chars()
            .zip(after.chars())
            .take_while(|(one, other)| one == other);
        let place = same.map(|(letter, _)| letter.len_utf8()).sum();
        report.add(Kind::NonAscii, 1, &before[place..]);
    }
}

/// Reports numbers, identifiers, negations and constraints that the original does not have.
pub(super) fn compare_made_up(original: &str, compressed: &str, report: &mut Report) {
    let said = without_markers(original, compressed);
    let new = |pattern| found(pattern, &said).minus(&found(pattern, original));
    report.add_bag(Kind::NewNumber, &new(&NUMBER));

    let identifiers = new(&IDENTIFIER);
    let identifiers = identifiers.filter(|name| times(&said, name) > times(original, name));
    report.add_bag(Kind::NewIdentifier, &identifiers);

    report.add_bag(
        Kind::NewNegation,
        &negations(&said).minus(&negations(original)),
    );

    let mut allowed = constraints(original);
    let (before, after) = (original.to_lowercase(), said.to_lowercase());
    for (phrase, word) in SAME_AS {
        let gone = times(&before, phrase).saturating_sub(times(&after, phrase));
        allowed.add(word, gone);
    }
    report.add_bag(Kind::NewConstraint, &constraints(&said).minus(&allowed));
}

/// `compressed` without the markers it added, each on a line of its own.
fn without_markers(original: &str, compressed: &str) -> String {
    let own: Bag = original.split('\n').map(str::trim).collect();
    let is_marker = |line: &str| {
        line.starts_with('[') && line.ends_with(']') && MARKER.is_match(line) && !own.has(line)
    };
    let said: Vec<&str> = compressed
        .split('\n')
        .filter(|line| !is_marker(line.trim()))
        .collect();
    said.join("\n")
}

/// Negations, with the spellings of "not" counted together.
fn negations(text: &str) -> Bag {
    let mut bag = Bag::default();
    for word in NEGATION.find_all(text) {
        let word = word.to_lowercase().replace('’', "'");
        let is_not = matches!(word.as_str(), "not" | "n't" | "cannot");
        bag.add(if is_not { "not" } else { &word }, 1);
    }
    bag
}

fn constraints(text: &str) -> Bag {
    let mut bag = Bag::default();
    for word in CONSTRAINT.find_all(text) {
        let word = word.to_lowercase();
        bag.add(word.strip_suffix("ly").unwrap_or(&word), 1);
    }
    bag
}

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// How often `word` stands in `text` with no letter, digit or underscore at either side.
fn words(text: &str, word: &str) -> usize {
    let joins = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_whole =
        |at: usize| !text[..at].ends_with(joins) && !text[at + word.len()..].starts_with(joins);
    text.match_indices(word)
        .filter(|&(at, _)| is_whole(at))
        .count()
}
