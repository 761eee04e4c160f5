//! Finds the text that a task is about: it is quoted, translated, corrected or counted, so none of its
//! words may change.

mod material;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    Role,
    document::{About, Document},
    kind::Kind,
};

/// An instruction is this long at most, in bytes; further down its words are not looked for.
const INSTRUCTION: usize = 600;
/// So near to either end of a message, in bytes, words about letters are the task, whether or not they point.
const NEAR: usize = 200;
/// A colon belongs to the words so far before it, in bytes.
const ANNOUNCEMENT: usize = 60;
/// Lines this long are documents rather than instructions, in bytes.
const DOCUMENT_LINE: usize = 1_200;
static WORDING: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::ABOUT_WORDING));
static LETTERS: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::ABOUT_LETTERS));
static TEXT: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::ABOUT_TEXT));
static POINTING: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::POINTING));
static CANNED: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::CANNED));
static COPIES: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(words::ABOUT_COPIES));

fn automaton(stems: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(stems)
        .expect("a few short words make an automaton")
}

/// Marks the lines of payload, and says what the task is about.
pub(super) fn mark(document: &mut Document<'_>, role: Role) {
    let whole = 0..document.lines.len();
    match role {
        // What a model or a tool said is material, all of it.
        Role::Tool | Role::Assistant => set(document, Kind::Payload, whole),
        Role::System => {
            demonstrations(document);
            material::utterances(document);
            canned(document);
            material::of_system(document);
        }
        Role::User => {
            demonstrations(document);
            material::utterances(document);
            about(document);
            material::of_user(document);
        }
    }
}

fn set(document: &mut Document<'_>, as_kind: Kind, lines: Range<usize>) {
    for kind in &mut document.kinds[lines] {
        if kind.is_wordable() {
            *kind = as_kind;
        }
    }
}

/// Lines that begin with a speaker or a field, and what follows them in their paragraph; lines as long as a
/// document; what follows a colon in a paragraph and is no list.
fn demonstrations(document: &mut Document<'_>) {
    let mut inside = false;
    for at in 0..document.lines.len() {
        let line = document.lines[at];
        if line.is_blank() {
            inside = false;
            continue;
        }
        let body = document.body(at);
        let is_spoken = is_spoken(body);
        if inside && !is_item(body) || is_spoken || body.len() > DOCUMENT_LINE {
            set(document, Kind::Example, at..at + 1);
        }
        inside |= is_spoken || body.ends_with(':') && !is_item(body) && !body.starts_with('#');
    }
}

/// What is to be said as it stands: from a line that announces it with a colon to the next heading, and the line
/// itself where it goes on behind its colon.
fn canned(document: &mut Document<'_>) {
    let mut inside = false;
    for at in 0..document.lines.len() {
        if document.lines[at].is_blank() {
            continue;
        }
        let body = document.body(at);
        if body.starts_with('#') {
            inside = CANNED.is_match(body);
            continue;
        }
        // What follows in quotation marks is a span of its own, and what follows that goes on as before.
        let announces = |colon: usize| {
            let behind = body[colon + 1..].trim_start();
            let near = body.floor_char_boundary(colon.saturating_sub(ANNOUNCEMENT));
            let from = body[near..colon].rfind(". ").map_or(near, |end| near + end);
            !behind.starts_with(['"', '“', '`']) && CANNED.is_match(&body[from..colon])
        };
        if inside || body.match_indices(": ").any(|(colon, _)| announces(colon)) {
            set(document, Kind::Payload, at..at + 1);
        }
        inside |= body.ends_with(':') && announces(body.len() - 1);
    }
}

/// Whether a word of the stems begins in `text`.
fn names(stems: &AhoCorasick, text: &str) -> bool {
    let begins = |at: usize| at == 0 || !text.as_bytes()[at - 1].is_ascii_alphabetic();
    stems
        .find_overlapping_iter(text)
        .any(|hit| begins(hit.start()))
}

/// What the task of a user's message is about; for the rules that fold repeats, so in doubt it is about a text.
fn about(document: &mut Document<'_>) {
    let [head, tail] = ends(document);
    let either = |words: &AhoCorasick| words.is_match(head) || words.is_match(tail);
    document.counts_copies = names(&COPIES, head) || names(&COPIES, tail);
    let asks_for_letters = |end: &str| LETTERS.is_match(end) && POINTING.is_match(end);
    let text = document.text.trim();
    let first = &text[..text.floor_char_boundary(NEAR)];
    let last = &text[text.ceil_char_boundary(text.len().saturating_sub(NEAR))..];
    let is_named = LETTERS.is_match(first) || LETTERS.is_match(last);
    if is_named || asks_for_letters(head) || asks_for_letters(tail) {
        document.about = About::Wording;
    } else if either(&WORDING) || either(&TEXT) || either(&LETTERS) {
        document.about = About::Text;
    }
}

/// The bytes in which an instruction would stand: as many at the beginning and at the end.
fn ends<'t>(document: &Document<'t>) -> [&'t str; 2] {
    let text = document.text.trim();
    if text.len() <= INSTRUCTION {
        return [text, ""];
    }
    let head = text.floor_char_boundary(INSTRUCTION);
    let tail = text.ceil_char_boundary(text.len().saturating_sub(INSTRUCTION));
    [&text[..head], &text[tail..]]
}

/// Whether the line is `Q: …`, `Answer 2: …` or the like.
fn is_spoken(body: &str) -> bool {
    let body = body.trim_start_matches(['*', '#', '>', '[', '(', ' ', '-']);
    let word = body.bytes().take_while(u8::is_ascii_alphabetic).count();
    let rest = body[word..].trim_start_matches([' ', '*', ')', ']']);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start_matches(['*', ']', ')']);
    rest.starts_with(':')
        && words::SPEAKERS
            .iter()
            .any(|speaker| *speaker == &body[..word])
}

/// Whether the line is a list item.
fn is_item(body: &str) -> bool {
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    body.starts_with(['-', '*', '+', '•'])
        || (1..=3).contains(&digits) && body[digits..].starts_with(['.', ')'])
}
