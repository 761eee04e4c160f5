//! Decides whether a changed line of prose still says what must not be lost.
//!
//! Written without the rules' tables and without `spans`, so that a mistake there is caught here.
//!
//! What may be gone from a line and what may be new in it:
//!
//! * numbers, symbols and characters beyond ASCII: neither, and their order stays;
//! * identifiers, quotations, negations and the strict constraints (`only`, `must`, `exactly` …): neither;
//! * the other constraints and connectives (`if`, `all`, `before`, `because` …): none is lost; a
//!   replacement may bring one in, as `in the event that` brings `if`;
//! * names: a word with a capital inside a sentence keeps it. The first word of a sentence may get or
//!   lose its capital, because what stood before it may be gone, and `I` is no name.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Words that deny or exclude: their number never changes.
const NEGATIONS: &str = "\
    not no never none nor neither without cannot nothing nobody nowhere unless except avoid \
    refuse refuses refused forbid forbids forbidden prohibit prohibits prohibited exclude \
    excludes excluded excluding hardly barely";

/// Words that bind: their number never changes.
const STRICT: &str = "\
    only just must shall should may might exact exactly always maximum minimum optional \
    optionally required either both than solely strictly precisely";

/// Words that bind or connect: none is lost.
const LOOSE: &str = "\
    all every each any if until before after or because but however while whether instead then \
    first last once";

/// How strictly a word is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// Its number never changes.
    Strict,
    /// None is lost.
    Loose,
}

/// The listed words: each word of a reworded sentence is looked up.
static BINDINGS: LazyLock<HashMap<&str, Binding>> = LazyLock::new(|| {
    let listed = |list: &'static str, binding| {
        list.split_ascii_whitespace()
            .map(move |word| (word, binding))
    };
    listed(NEGATIONS, Binding::Strict)
        .chain(listed(STRICT, Binding::Strict))
        .chain(listed(LOOSE, Binding::Loose))
        .collect()
});

/// Whether `after` keeps every number, identifier, name, all-caps word, negation, constraint,
/// placeholder, quotation and non-ASCII character of `before`, and adds none. Either may be several lines.
pub(super) fn keeps(before: &str, after: &str) -> bool {
    let (old, new) = (Facts::of(before), Facts::of(after));
    old.symbols == new.symbols
        && old.numbers == new.numbers
        && old.strict == new.strict
        && within(&old.loose, &new.loose)
        && within(&old.names, &new.capitals)
        && within(&new.names, &old.capitals)
}

/// What is strict, for people.
const BINDING: &str = "names, quotations, negations and words that bind";

/// What of that is lost in `after` or new in it, for people to read: a sentence for each sort of thing. Empty where
/// `keeps` says yes, but for the order of things.
pub fn differences(before: &str, after: &str) -> Vec<String> {
    let (old, new) = (Facts::of(before), Facts::of(after));
    let count = |things: &mut dyn Iterator<Item = String>| {
        let mut bag = BTreeMap::<String, usize>::new();
        things.for_each(|thing| *bag.entry(thing).or_default() += 1);
        bag
    };
    let signs = |facts: &Facts<'_>| count(&mut facts.symbols.chars().map(String::from));
    let numbers = |facts: &Facts<'_>| count(&mut facts.numbers.iter().map(|n| (*n).to_owned()));
    let named = |bag: &Bag<'_>| {
        let named = bag.iter().map(|(word, times)| ((*word).to_owned(), *times));
        named.collect::<BTreeMap<_, _>>()
    };
    let mut said = Vec::new();
    let mut say = |what: &str, more: &BTreeMap<String, usize>, less: &BTreeMap<String, usize>| {
        let gone = more.iter().filter(|(thing, times)| {
            let left = less.get(*thing).copied().unwrap_or(0);
            // Numbers stand among what binds, too, and are told once.
            let is_told = what.contains(BINDING) && !thing.contains(char::is_alphabetic);
            left < **times && !is_told
        });
        let gone: Vec<_> = gone.map(|(thing, _)| thing.as_str()).collect();
        if !gone.is_empty() {
            said.push(format!("{what}: {}", gone.join(", ")));
        }
    };
    say("numbers that are gone", &numbers(&old), &numbers(&new));
    say("numbers that are new", &numbers(&new), &numbers(&old));
    say(
        &format!("{BINDING} that are gone"),
        &old.strict,
        &new.strict,
    );
    say(&format!("{BINDING} that are new"), &new.strict, &old.strict);
    say("words that connect that are gone", &old.loose, &new.loose);
    say(
        "capitals that are gone",
        &named(&old.names),
        &named(&new.capitals),
    );
    say(
        "capitals that are new",
        &named(&new.names),
        &named(&old.capitals),
    );
    say("signs that are gone", &signs(&old), &signs(&new));
    say("signs that are new", &signs(&new), &signs(&old));
    said
}

/// How often each thing stands in a line.
type Bag<'a> = BTreeMap<&'a str, usize>;

#[derive(Default)]
struct Facts<'a> {
    /// Brackets, quotation marks, operators and what is not ASCII, in order.
    symbols: String,
    numbers: Vec<&'a str>,
    /// Identifiers, quotations, negations, all-caps words, strict constraints.
    strict: BTreeMap<String, usize>,
    loose: BTreeMap<String, usize>,
    /// Words with a capital inside a sentence.
    names: Bag<'a>,
    /// All words with a capital.
    capitals: Bag<'a>,
    /// The last word was `at`, so that `least` and `most` set a limit.
    after_at: bool,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    fn of(line: &'a str) -> Self {
        let mut facts = Self::default();
        let symbol = |c: &char| {
            !c.is_ascii() || !c.is_ascii_alphanumeric() && "{}[]<>()|\\/`~@#$%^&=+_\"".contains(*c)
        };
        let mut last = ' ';
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            // The apostrophe of `you’re` is a letter of that word.
            let letter = c == '’'
                && last.is_alphanumeric()
                && chars.peek().is_some_and(|c| c.is_alphanumeric());
            if symbol(&c) && !letter {
                facts.symbols.push(c);
            }
            last = c;
        }
        for quoted in quotations(line) {
            *facts.strict.entry(quoted.to_owned()).or_default() += 1;
        }
        for line in line.lines() {
            let mut first = true;
            for chunk in line.split_ascii_whitespace() {
                facts.chunk(chunk, &mut first);
            }
        }
        facts
    }

    /// Counts what is between two blanks; `first` says whether a sentence begins with it.
    fn chunk(&mut self, chunk: &'a str, first: &mut bool) {
        let mut rest = chunk;
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let inner = |c: char| !c.is_ascii_digit() && !".,:".contains(c);
            let end = rest[start..]
                .find(inner)
                .map_or(rest.len(), |end| start + end);
            self.numbers
                .push(rest[start..end].trim_end_matches(['.', ',', ':']));
            rest = &rest[end..];
        }
        let edge = |c: char| !c.is_alphanumeric();
        let core = chunk.trim_matches(edge);
        if core.is_empty() {
            // A dash between words neither ends a sentence nor begins one.
            *first |= chunk.ends_with(['.', '!', '?', ':', '…']);
            return;
        }
        let odd = |c: char| !c.is_alphabetic() && !"-'’*—–…".contains(c);
        if core.contains(odd) {
            *self.strict.entry(core.to_owned()).or_default() += 1;
        }
        for word in core.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’')) {
            self.word(word, *first);
            *first &= word.is_empty();
        }
        let closers: &[char] = &['"', '\'', '*', ')', '”', '’', '_', ']'];
        let numbered = core.bytes().all(|byte| byte.is_ascii_digit());
        *first |= numbered
            || chunk
                .trim_end_matches(closers)
                .ends_with(['.', '!', '?', ':', '…']);
    }

    fn word(&mut self, word: &'a str, first: bool) {
        let lower = word.to_ascii_lowercase().replace('’', "'");
        let limit = self.after_at && matches!(lower.as_str(), "least" | "most");
        self.after_at = lower == "at";
        let binding = BINDINGS.get(lower.as_str());
        if limit || lower.ends_with("n't") || binding == Some(&Binding::Strict) {
            *self.strict.entry(lower).or_default() += 1;
            return;
        }
        if binding == Some(&Binding::Loose) {
            *self.loose.entry(lower).or_default() += 1;
            return;
        }
        let capitals = word.chars().filter(|c| c.is_uppercase()).count();
        if capitals == 0 || word == "I" || word.starts_with("I'") || word.starts_with("I’") {
            return;
        }
        if capitals > 1 {
            *self.strict.entry(word.to_owned()).or_default() += 1;
        } else {
            *self.capitals.entry(word).or_default() += 1;
            if !first {
                *self.names.entry(word).or_default() += 1;
            }
        }
    }
}

/// What stands between a pair of `"`, of backticks or of apostrophes outside words.
fn quotations(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for mark in ['"', '`'] {
        found.extend(line.split(mark).skip(1).step_by(2));
    }
    let mut open = None;
    for (at, _) in line.match_indices('\'') {
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let before = word(line[..at].chars().next_back());
        let after = word(line[at + 1..].chars().next());
        match open {
            None if !before => open = Some(at + 1),
            Some(from) if !after => {
                found.push(&line[from..at]);
                open = None;
            }
            _ => {}
        }
    }
    found
}

fn within<K: Ord>(part: &BTreeMap<K, usize>, whole: &BTreeMap<K, usize>) -> bool {
    part.iter()
        .all(|(key, count)| whole.get(key).is_some_and(|other| other >= count))
}

#[cfg(test)]
mod tests {
    use super::{differences, keeps};

    #[test]
    fn differences_are_told_by_name() {
        let before = "Never tell {user} more than 3 prices in EUR, only if Maria asks.";
        assert_eq!(differences(before, before), Vec::<String>::new());
        let told = differences(before, "Tell {user} prices in EUR, or 4.").join("\n");
        for part in [
            "numbers that are gone: 3",
            "numbers that are new: 4",
            "that are gone: never, only, than",
            "words that connect that are gone: if",
            "words that connect",
            "capitals that are gone: Maria",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("{user}") && !told.contains("EUR"), "{told}");
        let told = differences("Answer in {language}.", "Answer.").join("\n");
        assert!(told.contains("{, }"), "{told}");
    }

    #[test]
    fn plain_rewordings_pass() {
        for (before, after) in [
            ("In order to win, run.", "To win, run."),
            ("Please note that Python is slow.", "Python is slow."),
            ("I would like you to write 3 lines.", "Write 3 lines."),
            ("In the event that it fails, stop.", "If it fails, stop."),
            ("- **Name**: the user's name", "- Name: the user's name"),
            ("Hi, can you explain `a b`? Thanks!", "Explain `a b`."),
            ("1. Please do it. Make use of Rust.", "1. Do it. Use Rust."),
            ("I am here", "I'm here"),
            ("A heading\nPlease do it", "A heading\nDo it"),
        ] {
            assert!(keeps(before, after), "{before} -> {after}");
        }
    }

    #[test]
    fn losses_and_additions_are_seen() {
        for (before, after) in [
            ("use 3 of 4", "use 3"),
            ("use 3 of 4", "use 4 of 3"),
            ("version 1.2", "version 1.3"),
            ("do not go", "do go"),
            ("don't go", "go"),
            ("it must fail", "it fails"),
            ("at least one", "one"),
            ("only one", "one"),
            ("do it", "only do it"),
            ("go if it rains", "go"),
            ("ask Maria first", "ask maria first"),
            ("ask Maria first", "ask first"),
            ("ask first", "ask ASAP first"),
            ("the NASA plan", "the plan"),
            ("set max_size now", "set now"),
            ("call a.b now", "call now"),
            ("use {name} here", "use here"),
            ("say \"in order to\" now", "say \"to\" now"),
            ("say 'in order to' now", "say 'to' now"),
            ("run `in order to` now", "run `to` now"),
            ("a naïve plan", "a plan"),
            ("50% more", "50 more"),
            ("all users", "users"),
            ("every user", "users"),
            ("as well as possible", "and possible not"),
        ] {
            assert!(!keeps(before, after), "{before} -> {after}");
            assert!(keeps(before, before));
        }
    }
}
