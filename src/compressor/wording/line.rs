//! One line of prose and what can be asked about a place in it.

use std::{cell::OnceCell, ops::Range};

use crate::compressor::spans::{self, SpanKind};

/// What ends a sentence.
const TERMINATORS: [char; 3] = ['.', '!', '?'];

/// A line of prose inside a text.
pub(super) struct Line<'a> {
    text: &'a str,
    at: Range<usize>,
    /// The line without indentation and end.
    pub(super) body: &'a str,
    spans: OnceCell<Vec<(Range<usize>, SpanKind)>>,
}

// === impl Line ===

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a str, at: Range<usize>) -> Self {
        Self {
            body: &text[at.clone()],
            text,
            at,
            spans: OnceCell::new(),
        }
    }

    fn spans(&self) -> &[(Range<usize>, SpanKind)] {
        self.spans.get_or_init(|| spans::of(self.body))
    }

    /// Whether a protected span has a byte of `range`.
    pub(super) fn protects(&self, range: &Range<usize>) -> bool {
        let spans = self.spans();
        let first = spans.partition_point(|(span, _)| span.end <= range.start);
        spans
            .get(first)
            .is_some_and(|(span, _)| span.start < range.end)
    }

    /// Whether nothing but white space is in the message before this line.
    pub(super) fn first_of_text(&self) -> bool {
        self.text[..self.at.start].trim().is_empty()
    }

    /// Whether nothing but white space is in the message behind this line.
    pub(super) fn last_of_text(&self) -> bool {
        self.text[self.at.end..].trim().is_empty()
    }

    /// Whether the message has words outside this line.
    pub(super) fn has_company(&self) -> bool {
        let wordy = |text: &str| text.split_ascii_whitespace().nth(2).is_some();
        wordy(&self.text[..self.at.start]) || wordy(&self.text[self.at.end..])
    }

    /// Whether what is at `at` may be what a colon introduces, and so an example.
    pub(super) fn introduced(&self, at: usize) -> bool {
        self.body[..at].contains(':') || self.text[..self.at.start].trim_end().ends_with(':')
    }

    /// The line from `from` on and the next line with words.
    pub(super) fn behind(&self, from: usize) -> (&'a str, &'a str) {
        let below = self.text[self.at.end..].trim_start();
        (&self.body[from..], below.lines().next().unwrap_or_default())
    }

    /// Where the words start: behind a list item's marker.
    pub(super) fn opening(&self) -> usize {
        let bytes = self.body.as_bytes();
        let mut at = 0;
        if matches!(bytes.first(), Some(b'-' | b'*' | b'+')) && bytes.get(1) == Some(&b' ') {
            at = 2;
        } else if let Some(rest) = self.body.strip_prefix("• ") {
            at = self.body.len() - rest.len();
        } else {
            let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
            let lettered = bytes.first().is_some_and(u8::is_ascii_alphabetic) && digits == 0;
            let mark = if lettered { 1 } else { digits };
            if (1..=3).contains(&mark)
                && matches!(bytes.get(mark), Some(b'.' | b')'))
                && bytes.get(mark + 1) == Some(&b' ')
            {
                at = mark + 2;
            }
        }
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    }

    /// Whether a sentence starts at `at`.
    pub(super) fn sentence_starts(&self, at: usize) -> bool {
        let opening = self.opening();
        if at == opening {
            return opening > 0 || !self.continues_above();
        }
        let Some(before) = self.body[..at].strip_suffix(' ') else {
            return false;
        };
        let before = before.trim_end_matches(' ');
        if !before.ends_with(TERMINATORS) || before.ends_with("..") || before.len() <= opening {
            return false;
        }
        let word = before[..before.len() - 1]
            .rsplit([' ', '('])
            .next()
            .unwrap_or_default();
        // `e.g.`, `etc.`, `No.` and initials end no sentence, or not for certain.
        let short = [
            "etc", "vs", "no", "fig", "mr", "dr", "ms", "mrs", "st", "eq", "sec", "cf", "al",
            "approx",
        ];
        let abbreviated = word.len() < 2
            || word.contains('.')
            || short.iter().any(|s| word.eq_ignore_ascii_case(s));
        !before.ends_with('.')
            || !abbreviated && self.starts_upper(at)
            || !abbreviated && word.len() > 3
    }

    /// Where the sentence begins that `at` is in.
    pub(super) fn sentence_before(&self, at: usize) -> usize {
        let ends = self.body[..at].rmatch_indices(TERMINATORS);
        ends.map(|(end, _)| end + 2)
            .find(|from| *from <= at && self.body.as_bytes()[from - 1] == b' ')
            .unwrap_or_else(|| self.opening().min(at))
    }

    /// The sentence that `at` is in.
    pub(super) fn sentence(&self, at: &Range<usize>) -> &'a str {
        let mut ends = self.body[at.end..].match_indices(TERMINATORS);
        let end = ends
            .find(|(end, _)| !self.body[at.end + end + 1..].starts_with(|c: char| c != ' '))
            .map_or(self.body.len(), |(end, _)| at.end + end);
        &self.body[self.sentence_before(at.start)..end]
    }

    /// Whether the line above runs on into this one.
    ///
    /// A capital proves nothing: a name or `I` may stand where a line is wrapped.
    pub(super) fn continues_above(&self) -> bool {
        let above = self.text[..self.at.start].trim_end_matches([' ', '\t']);
        let Some(above) = above.strip_suffix('\n') else {
            return false;
        };
        let last = above.rsplit('\n').next().unwrap_or_default().trim();
        let apart = last.starts_with(['#', '|']) || last.starts_with("```") || last.ends_with('>');
        let words = last.trim_end_matches(['"', ')', '*', '”', '’', '_']);
        !words.trim_matches('-').is_empty() && !apart && !words.ends_with([':', '.', '!', '?'])
    }

    /// Whether this line runs on into the one below.
    pub(super) fn continues_below(&self) -> bool {
        let below = self.text[self.at.end..].trim_start_matches([' ', '\t', '\r']);
        let Some(below) = below.strip_prefix('\n') else {
            return false;
        };
        let next = below.trim_start_matches([' ', '\t']);
        next.starts_with(|c: char| c.is_alphanumeric() || "(\"'`$\\{[<".contains(c))
    }

    fn starts_upper(&self, at: usize) -> bool {
        self.body
            .as_bytes()
            .get(at)
            .is_some_and(u8::is_ascii_uppercase)
    }

    /// What is left of the sentence at `from`, and its last character; `None` when another line may go on
    /// with it.
    pub(super) fn rest_of_sentence(&self, from: usize) -> Option<(&'a str, Option<usize>)> {
        let rest = &self.body[from..];
        for (offset, _) in rest.match_indices(TERMINATORS) {
            let at = from + offset;
            let behind = self.body[at + 1..].chars().next();
            if behind.is_none_or(|c| c == ' ') && !self.protects(&(at..at + 1)) {
                return Some((&self.body[from..at], Some(at)));
            }
        }
        // A colon at the end introduces what follows.
        let open = !self.body.ends_with([':', ')', '"', '!', '?', '.']) && self.continues_below();
        (!open).then_some((rest, None))
    }

    /// The word behind `at`, one space away, and where it ends.
    pub(super) fn word_after(&self, at: usize) -> Option<(&'a str, usize)> {
        let rest = self.body.get(at..)?.strip_prefix(' ')?;
        let length = word_length(rest);
        // `and/or`, `x_y` and the like are judged as spans.
        (length > 0).then(|| (&rest[..length], at + 1 + length))
    }

    /// The word before `at`, one space away; punctuation between them hides it.
    pub(super) fn word_before(&self, at: usize) -> Option<&'a str> {
        let before = self.body[..at].strip_suffix(' ')?;
        let start = before.rfind(|c: char| !in_word(c)).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        (start < before.len()).then(|| &before[start..])
    }

    /// Whether a protected span starts one space behind `at`.
    pub(super) fn span_after(&self, at: usize) -> bool {
        self.body.as_bytes().get(at) == Some(&b' ') && self.protects(&(at + 1..at + 2))
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '\'' || c == '’' || c == '-'
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| !in_word(c)).unwrap_or(rest.len())
}
