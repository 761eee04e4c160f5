//! Says whether an entry is right where it was found.

use std::ops::Range;

use super::{
    entry::{Entry, Left, Right},
    line::Line,
    sentence,
    words::{ADVERBS, DETERMINERS, MORE_VERBS, NEEDED, NO_VERB, SUBJECTS, VERBS, listed, plural},
};

/// So many bytes before an aside have no other aside in them.
const APART: usize = 20;
/// Behind these stands an adjective rather than a verb.
const BEFORE_ADJECTIVE: &str = "\
    be is are was were been being am seem seems look looks sound sounds feel feels appear appears stay \
    remain very so too quite more most less rather";
/// Objects that are no nouns.
const PRONOUNS: &str = "it them me us you him her this these those";
/// What follows a wording that is talked about.
const MENTIONS: &str = "or instead rather versus vs means mean appears appear occurs";
/// So many words before `in order` may say what is put in order.
const NEAR: usize = 8;
/// Words beside which `in order` may be a sequence.
const SEQUENCES: &str = "\
    put puts putting keep keeps list lists sort sorts arrange place places set rank bring \
    ordered number numbered line lined sequence get stay leave leaves laid lay";

/// Whether `entry`, found at `found` with its replaced part at `part`, is right there.
pub(super) fn holds(
    entry: &Entry,
    line: &Line<'_>,
    found: &Range<usize>,
    part: &Range<usize>,
) -> bool {
    !mentioned(line, found)
        && left(entry.left, line, found.start)
        && right(entry.right, line, found.end)
        && sentence::allows(entry.rest, line, found, part)
}

/// Whether the wording is talked about rather than used: `instead of x`, `x or y`.
fn mentioned(line: &Line<'_>, found: &Range<usize>) -> bool {
    let next = line.word_after(found.end).map_or("", |(word, _)| word);
    line.body[..found.start].ends_with("instead of ") || listed(MENTIONS, next)
}

fn left(left: Left, line: &Line<'_>, at: usize) -> bool {
    let before = || line.word_before(at).unwrap_or_default();
    match left {
        Left::Any => true,
        Left::Start => line.sentence_starts(at),
        Left::StartOr(list) => {
            line.sentence_starts(at)
                || listed(list, before())
                || line.body[..at].ends_with(", ") && !line.body[..at].contains(['(', '['])
        }
        Left::Lead => line.sentence_starts(at) || sentence::leads(line, at),
        Left::After(list) => listed(list, before()),
        // The word before stands on the line above.
        Left::Not(_) if at == 0 && line.continues_above() => false,
        // An entry that starts with a blank or a comma has the word right before it.
        Left::Not(list) if !line.body[..at].ends_with(' ') => at == 0 || word_ends(line, at, list),
        Left::Not(list) => !listed(list, before()),
        Left::Action(list) => line.sentence_starts(at) || acts(line, at, list),
        Left::Apart => {
            let near = line.body.floor_char_boundary(at.saturating_sub(APART));
            let near = &line.body[near..at];
            !near.contains(',') && !near.split(' ').any(|word| word.ends_with("ly"))
        }
        // `it's in order to be read` says that it may be read.
        Left::Unordered(_) if ["'s", "’s"].iter().any(|end| before().ends_with(end)) => false,
        Left::Unordered(list) => {
            self::left(Left::Not(list), line, at)
                && !line.body[line.sentence_before(at)..at]
                    .rsplit(|c: char| !c.is_alphabetic())
                    .filter(|word| !word.is_empty())
                    .take(NEAR)
                    .any(|word| listed(SEQUENCES, word))
        }
        Left::Opening => line.first_of_text() && at == 0,
        Left::Closing => line.last_of_text() && line.sentence_starts(at),
    }
}

/// Whether the word before `at` looks like a verb or like the noun that is its object, and is none of the list.
fn acts(line: &Line<'_>, at: usize, list: &str) -> bool {
    let Some(word) = line.word_before(at) else {
        return false;
    };
    let start = at - 1 - word.len();
    let earlier = line.word_before(start).unwrap_or_default();
    let participle = word.ends_with("ed") || word.ends_with("ing");
    let is_noun = plural(word) || listed(DETERMINERS, earlier);
    let is_verb = listed(VERBS, word) || listed(MORE_VERBS, word) || participle;
    let described = listed(BEFORE_ADJECTIVE, earlier) && !word.ends_with("ed");
    !listed(list, word) && !described && (is_noun || is_verb || listed(PRONOUNS, word))
}

/// Whether the word that ends right at `at` is none of the list; for entries that start with a blank.
fn word_ends(line: &Line<'_>, at: usize, list: &str) -> bool {
    let before = &line.body[..at];
    let word = before
        .rsplit(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    !word.is_empty() && !listed(list, word)
}

fn right(right: Right, line: &Line<'_>, at: usize) -> bool {
    let next = line.word_after(at);
    let word = next.map_or("", |(word, _)| word);
    let small = word.starts_with(|c: char| c.is_ascii_lowercase());
    let verb = |word: &str| listed(VERBS, word);
    match right {
        Right::Any => true,
        Right::Lower => {
            small
                && !listed(DETERMINERS, word)
                && !listed(NO_VERB, word)
                && !third_person(word)
                && plain(line, at)
        }
        Right::Word(list) => listed(list, word) && plain(line, at),
        Right::NotWord(list) => small && !listed(list, word) && plain(line, at),
        Right::Verb => {
            let after = || {
                next.and_then(|(_, end)| line.word_after(end))
                    .map_or("", |(word, _)| word)
            };
            small && plain(line, at) && (verb(word) || listed(ADVERBS, word) && verb(after()))
        }
        // `h`, `u`, `x` and `y` may sound like either.
        Right::Consonant => {
            let first = word.chars().next().unwrap_or('a');
            "bcdfgjklmnpqrstvwz".contains(first) && !listed(NEEDED, word) && plain(line, at)
        }
        Right::AnyVerb => {
            let after = || {
                next.and_then(|(_, end)| line.word_after(end))
                    .map_or("", |(word, _)| word)
            };
            let any = |word: &str| verb(word) || listed(MORE_VERBS, word);
            small
                && plain(line, at)
                && (any(word)
                    || ((word.ends_with("ly") || listed(ADVERBS, word)) && any(after()))
                    || matches!(word, "do" | "don't" | "don’t" | "never"))
        }
        Right::Complement(list) => {
            let rest = line.body.get(at + 1..).unwrap_or_default();
            rest.starts_with(|c: char| c.is_ascii_alphabetic())
                && !listed(list, word)
                && plain(line, at)
        }
        Right::Clause => line.span_after(at) || small && listed(SUBJECTS, word),
        Right::Statement => {
            line.span_after(at)
                || small
                    && (listed(SUBJECTS, word) || plain(line, at) && plural_follows(line, next))
        }
        Right::Gerund => small && gerund(word) && plain(line, at),
        Right::Plural => small && plain(line, at) && plural_follows(line, next),
        Right::Number => line.body.get(at..).is_some_and(|rest| {
            rest.strip_prefix(' ')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }),
        Right::End => ends(line, at),
        Right::EndOr(list) => ends(line, at) || small && listed(list, word),
    }
}

/// Whether the word behind `at` is no protected span.
fn plain(line: &Line<'_>, at: usize) -> bool {
    !line.span_after(at)
}

fn gerund(word: &str) -> bool {
    word.len() > 4
        && word.ends_with("ing")
        && !["thing", "anything", "something", "everything", "nothing"].contains(&word)
}

/// Whether `word` ends as `appears` does.
fn third_person(word: &str) -> bool {
    word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end))
}

/// Whether a clause or the line ends at `at`.
fn ends(line: &Line<'_>, at: usize) -> bool {
    let rest = &line.body[at..];
    let mut chars = rest.chars();
    match chars.next() {
        None => !line.continues_below(),
        Some(',' | '.' | ';' | '!' | '?' | ':') => chars.next().is_none_or(|c| c == ' '),
        Some(')') => true,
        Some(_) => false,
    }
}

/// Whether a plural noun follows, at once or behind one adjective, and no singular verb behind it.
fn plural_follows(line: &Line<'_>, next: Option<(&str, usize)>) -> bool {
    let Some((first, end)) = next else {
        return false;
    };
    let second = line.word_after(end);
    let singular = |after: Option<(&str, usize)>| {
        after.is_some_and(|(word, _)| ["is", "was", "has", "does"].contains(&word))
    };
    if listed("above following time same", first) {
        return false;
    }
    if plural(first) {
        return !singular(second);
    }
    second.is_some_and(|(word, end)| {
        plural(word)
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && !listed(DETERMINERS, first)
            && !listed("of in on at to for by with and or that who which", first)
            && !singular(line.word_after(end))
            && !line.protects(&(end - word.len()..end))
    })
}
