//! Parts what a message asks for from what it brings along: the first may be reworded, the second may not.
//!
//! Where the two cannot be told apart, all of it is material.

mod words;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::super::wording;
use super::{
    Document, Kind, LETTERS, POINTING, TEXT, WORDING, automaton, ends, is_item, names, set,
};

static REPORTING: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::REPORTING));
static OPERATIONS: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::OPERATIONS));

/// A request has so many words at least: what is shorter is about what follows it.
const REQUEST: usize = 4;
/// A paragraph with more sentences is a document.
const SENTENCES: usize = 8;
/// A line of thanks is shorter than this, in bytes.
const THANKS: usize = 60;
/// So many lines of a paragraph that are questions are examples of questions.
const UTTERANCES: usize = 2;
/// A message with an essay or a letter in it is longer than this, in bytes.
const SHORT: usize = 1_000;
/// Stems up to this length are whole words.
const WHOLE: usize = 4;

/// Marks what a user's message brings along: all but the line that opens it and a line of thanks that closes it,
/// and these as well where the message has any other prose.
///
/// Whether a paragraph says what is to be done or is what it is to be done with cannot be told from its words.
pub(super) fn of_user(document: &mut Document<'_>) {
    let mut used = (0..document.lines.len()).filter(|at| !document.lines[*at].is_blank());
    let Some(first) = used.next() else { return };
    let last = used.next_back().filter(|at| thanks(document.body(*at)));
    let free = is_request(document, first, last);
    for at in 0..document.lines.len() {
        if !free || at != first && Some(at) != last {
            set(document, Kind::Payload, at..at + 1);
        }
    }
}

/// Whether the line at `first` asks for something and the message has no other prose but the line at `last`.
fn is_request(document: &Document<'_>, first: usize, last: Option<usize>) -> bool {
    let is_prose = |at: usize| document.kinds[at].is_text() && !is_item(document.body(at));
    let is_alone = (first + 1..document.lines.len()).all(|at| Some(at) == last || !is_prose(at));
    if !is_alone || !is_prose(first) {
        return false;
    }
    let body = document.body(first);
    let opening = &body[wording::opening(body)];
    // Bold type goes from whole lines.
    if body.contains("**") || !asks(opening) || speaks_of_it(&body[opening.len()..]) {
        return false;
    }
    let [head, tail] = ends(document);
    let either = |stems| names(stems, head) || names(stems, tail);
    let in_doubt = || either(&WORDING) || either(&TEXT) || either(&LETTERS) || either(&REPORTING);
    !either(&OPERATIONS) && (!in_doubt() || creates(document, head))
}

fn thanks(body: &str) -> bool {
    body.len() < THANKS
        && [
            "thank",
            "many thanks",
            "looking forward",
            "i appreciate",
            "i really appreciate",
        ]
        .iter()
        .any(|start| {
            body.get(..start.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(start))
        })
}

/// Whether the sentence speaks to the model or begins with what is to be done.
fn asks(sentence: &str) -> bool {
    let words = || {
        sentence
            .split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
    };
    let among =
        |list: &[&str], word: &str| list.iter().any(|other| word.eq_ignore_ascii_case(other));
    words().nth(REQUEST - 1).is_some()
        && (words().any(|word| among(words::ADDRESS, word))
            || words()
                .next()
                .is_some_and(|word| among(words::ASKING, word)))
}

/// Whether the rest of a paragraph ends with a request about its beginning: `Better?`, `How would he put it?`
fn speaks_of_it(rest: &str) -> bool {
    let mut sentences = rest
        .split_inclusive(['.', '!', '?'])
        .filter(|sentence| sentence.contains(char::is_alphabetic));
    if sentences.clone().count() > SENTENCES {
        return true;
    }
    sentences.next_back().is_some_and(|last| {
        last.split_ascii_whitespace().nth(REQUEST).is_none()
            || last
                .split(|c: char| !c.is_ascii_alphabetic())
                .any(|word| word == "it")
    })
}

/// Marks what the application's instructions bring along: from a line on that points at a text whose words
/// are to be worked on.
pub(super) fn of_system(document: &mut Document<'_>) {
    let lines = document.lines.len();
    for at in 0..lines {
        if shows(document.body(at)) {
            set(document, Kind::Payload, at..at + 1);
        }
    }
    let works = |at: &usize| {
        let body = document.body(*at);
        document.kinds[*at].is_text() && names(&OPERATIONS, body) && points_at_text(body)
    };
    if let Some(at) = (0..lines).find(works) {
        set(document, Kind::Payload, at..lines);
    }
}

/// Lines in a row that ask something, one each: what users may say, rather than what one says.
pub(super) fn utterances(document: &mut Document<'_>) {
    let asks = |document: &Document<'_>, at: usize| document.body(at).ends_with('?');
    let mut at = 0;
    for run in document.lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
        let paragraph = at..at + run.len();
        at += run.len();
        let questions = paragraph.clone().filter(|at| asks(document, *at)).count();
        if questions >= UTTERANCES {
            let kinds = &mut document.kinds[paragraph];
            for kind in kinds.iter_mut().filter(|kind| kind.is_wordable()) {
                *kind = Kind::Example;
            }
        }
    }
}

/// Where the words end that point at a text which the message has with it: `the following text`.
fn pointer(body: &str) -> Option<usize> {
    POINTING.find_iter(body).find_map(|hit| {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let (before, behind) = (&body[..hit.start()], &body[hit.end()..]);
        if is_word(before.chars().next_back()) || is_word(behind.chars().next()) {
            return None;
        }
        let next = behind
            .split(|c: char| !(c.is_alphanumeric() || c == '-'))
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        let among = |list: &[&str]| list.iter().any(|stem| starts_with(next, stem));
        let word = &body[hit.range()];
        // `below 10` and `above the line` are no place in the message.
        let is_place = ["below", "above"]
            .iter()
            .any(|place| word.eq_ignore_ascii_case(place));
        let is_measure = next.starts_with(|c: char| c.is_ascii_digit())
            || ["the", "a", "an", "zero", "average"].contains(&next);
        if is_place && is_measure && behind.starts_with(' ') {
            return None;
        }
        let last = before
            .rsplit(|c: char| !c.is_alphanumeric())
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        if words::DIRECTIONS.iter().any(|stem| starts_with(last, stem)) {
            return None;
        }
        // `Is this …?` asks about what follows, and `like this.` shows it.
        let asks = ["is", "are", "does", "do"]
            .iter()
            .any(|verb| last.eq_ignore_ascii_case(verb));
        if asks || last.eq_ignore_ascii_case("like") && behind.starts_with(['.', ':']) {
            return Some(hit.end());
        }
        let points = if ["this", "these", "those"]
            .iter()
            .any(|near| word.eq_ignore_ascii_case(near))
        {
            among(words::TEXTS)
        } else {
            !among(words::DIRECTIONS)
        };
        points.then_some(hit.end())
    })
}

/// Whether a sentence of the line says that the next ones are an example: `… looks like this. …`
fn shows(body: &str) -> bool {
    ["like this", "as follows", "the following", "goes"]
        .iter()
        .flat_map(|words| body.match_indices(words))
        .any(|(at, words)| body[at + words.len()..].starts_with(['.', ':']))
}

/// Whether `body` points at a text by name.
fn points_at_text(body: &str) -> bool {
    let is_text = |word: &str| words::TEXTS.iter().any(|stem| starts_with(word, stem));
    pointer(body).is_some_and(|end| {
        let behind = body[end..].split(|c: char| !c.is_alphanumeric());
        let mut near = behind.filter(|word| !word.is_empty()).take(2);
        near.any(is_text) || body[end..].trim_start().starts_with(':')
    })
}

/// Whether the message asks for something new rather than for work on something that is there, and is too short to
/// hold a text beside that.
fn creates(document: &Document<'_>, head: &str) -> bool {
    let among =
        |list: &[&str], word: &str| list.iter().any(|other| word.eq_ignore_ascii_case(other));
    let letters = |c: char| !c.is_ascii_alphabetic();
    let text = document.text.trim();
    if text.len() > SHORT
        || text.contains(": ")
        || text.contains(":\n")
        || pointer(text).is_some()
        || text.split(letters).any(|word| among(words::TELLING, word))
        || owns_text(text)
    {
        return false;
    }
    head.split(['.', '!', '?', '\n']).any(|sentence| {
        let mut asked = sentence
            .split(letters)
            .filter(|word| !word.is_empty() && !among(words::LEADING, word));
        asked
            .next()
            .is_some_and(|word| among(words::CREATING, word))
            && !asked.any(|word| among(&["it", "them", "this", "these"], word))
    })
}

/// Whether the message speaks of `my cover letter` or the like.
fn owns_text(text: &str) -> bool {
    let is_text = |word: &str| words::TEXTS.iter().any(|stem| starts_with(word, stem));
    let mut since = usize::MAX;
    text.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .any(|word| {
            since = since.saturating_add(1);
            if word.eq_ignore_ascii_case("my") {
                since = 0;
            }
            (1..=2).contains(&since) && is_text(word)
        })
}

/// Whether `word` has the stem; the shortest stems are whole words.
fn starts_with(word: &str, stem: &str) -> bool {
    if stem.len() <= WHOLE {
        return word.eq_ignore_ascii_case(stem);
    }
    word.get(..stem.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(stem))
}
