//! What a text looks like to whoever learns from many of them: its paragraphs, the kinds of its lines, and sentences in
//! which nothing stands that must not be lost.

use std::ops::Range;

use super::{
    Role,
    document::Document,
    guard,
    kind::Kind,
    lines::{self, Line},
    phases::sentences,
};

/// Shorter sentences, in words, are not worth a rule; longer ones are no habit.
const WORDS: std::ops::RangeInclusive<usize> = 3..=20;
/// Longer sentences, in bytes, are no habit either.
const LONGEST: usize = 160;

/// What is in one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// A bit for each kind that a line of it is of, in the order of [`Kind::ALL`].
    pub kinds: u32,
    /// Its sentences that hold no number, name, negation, word of constraint or quotation.
    pub empty_sentences: Vec<Range<usize>>,
}

/// The paragraphs of a text: what stands between blank lines, without the last line's end.
pub fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let lines = lines::split(text);
    let written = lines.chunk_by(|a, b| a.is_blank() == b.is_blank());
    let written = written.filter(|lines| lines.first().is_some_and(|line| !line.is_blank()));
    let range = |lines: &[Line]| Some(lines.first()?.start..lines.last()?.stop);
    written.filter_map(range).collect()
}

/// The bit of a kind in [`Survey::kinds`].
pub(super) const fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

impl Survey {
    /// What is in this text, which `role` said.
    pub fn of(text: &str, role: Role) -> Self {
        let document = Document::of(text, role);
        let kinds = document.kinds.iter();
        let is_empty = |at: &Range<usize>| {
            let sentence = &text[at.clone()];
            sentence.len() <= LONGEST
                && WORDS.contains(&sentence.split_ascii_whitespace().count())
                && guard::keeps(sentence, "")
        };
        let all = sentences(&document);
        let all = all.into_iter().flat_map(|line| split(text, line));
        Self {
            kinds: kinds.fold(0, |bits, kind| bits | bit(*kind)),
            empty_sentences: all.filter(is_empty).collect(),
        }
    }

    /// Whether a line of it is of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds & bit(kind) != 0
    }
}

/// The sentences of a line, each with the sign that ends it.
pub(super) fn split(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let body = &text[line.clone()];
    let mut sentences = Vec::new();
    let mut from = 0;
    let ends = body.match_indices(['.', '!', '?']);
    for (at, _) in ends {
        let next = at + 1;
        if body[next..].is_empty() || body[next..].starts_with(' ') {
            sentences.push(line.start + from..line.start + next);
            let rest = body[next..].trim_start_matches(' ');
            from = body.len() - rest.len();
        }
    }
    if from < body.len() {
        sentences.push(line.start + from..line.end);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_stand_between_blank_lines() {
        let text = "\n one\ntwo \n \t\n\nthree\r\nfour\r\n";
        let found: Vec<_> = paragraphs(text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, [" one\ntwo ", "three\r\nfour"]);
        assert!(paragraphs(" \n\n").is_empty() && paragraphs("").is_empty());
    }

    #[test]
    fn sentences_that_say_little_are_those_that_bind_nobody() {
        let text = "You are a helpful assistant. Never say no to Maria. Take a deep breath before it!\n\
                    Please be as helpful as possible\n\n\
                    ```\nlet it be so.\n```\n";
        let survey = Survey::of(text, Role::System);
        let found = survey.empty_sentences.into_iter();
        let found: Vec<_> = found.map(|at| &text[at]).collect();
        assert_eq!(
            found,
            [
                "You are a helpful assistant.",
                "Please be as helpful as possible"
            ]
        );
    }

    #[test]
    fn kinds_are_those_of_the_lines() {
        let survey = Survey::of("We went home.\n\n```\nx\n```\n", Role::System);
        assert!(survey.has(Kind::Prose) && survey.has(Kind::Fence) && survey.has(Kind::Blank));
        assert!(!survey.has(Kind::Json));
        assert!(Kind::ALL.len() <= 32);
    }
}
