//! Finds what spans several lines and must keep its bytes: fences, elements, environments, JSON,
//! quotations.
//!
//! Each finder marks whole lines. Where two readings of a text are possible, the lines of both are
//! marked; where an end is missing, the rest of the text (or of the paragraph, for marks that also
//! occur alone) is.

use std::ops::Range;

use memchr::memmem;

use super::{elements, fences, kind::Kind, lines::Line, references};

/// For each line, the kind of the block that it stands in.
pub(super) fn find(text: &str, lines: &[Line]) -> Vec<Option<Kind>> {
    let mut marks = Marks {
        text,
        lines,
        inside: vec![None; lines.len()],
    };
    let bytes = text.as_bytes();
    let has = |needle: &[u8]| memmem::find(bytes, needle).is_some();
    if has(b"```") || has(b"~~~") {
        fences::mark(text, lines, &mut marks.inside);
    }
    for triple in ["\"\"\"", "'''", "$$"] {
        if has(triple.as_bytes()) {
            let odd = |line: &[u8]| memmem::find_iter(line, triple).count() % 2 == 1;
            let kind = if triple == "$$" {
                Kind::Formula
            } else {
                Kind::Code
            };
            marks.pairs(
                kind,
                odd,
                odd,
                if triple == "$$" {
                    Unended::Paragraph
                } else {
                    Unended::Text
                },
            );
        }
    }
    if memchr::memchr2(b'<', b'\\', bytes).is_some() {
        elements::mark(text, lines, &mut marks.inside);
    }
    if memchr::memchr2(b'{', b'[', bytes).is_some() {
        marks.brackets();
    }
    let odd = |mark: u8| move |line: &[u8]| memchr::memchr_iter(mark, line).count() % 2 == 1;
    if memchr::memchr(b'"', bytes).is_some() {
        marks.pairs(Kind::Quote, odd(b'"'), odd(b'"'), Unended::Paragraph);
    }
    for (open, close) in [
        ("“", "”"),
        ("«", "»"),
        ("„", "“"),
        ("「", "」"),
        ("『", "』"),
    ] {
        if has(open.as_bytes()) {
            let count = |line: &[u8]| {
                (
                    memmem::find_iter(line, open).count(),
                    memmem::find_iter(line, close).count(),
                )
            };
            let opens = |line: &[u8]| matches!(count(line), (o, c) if o > c);
            let closes = |line: &[u8]| matches!(count(line), (o, c) if c > o);
            marks.pairs(Kind::Quote, opens, closes, Unended::Paragraph);
        }
    }
    if has("‘".as_bytes()) || memchr::memchr(b'\'', bytes).is_some() {
        // An apostrophe looks like an end, so no end is looked for.
        marks.pairs(
            Kind::Quote,
            opens_single_quote,
            |_| false,
            Unended::Paragraph,
        );
    }
    if memchr::memchr(b'`', bytes).is_some() {
        // A code span cannot cross a blank line, so its other end is in the paragraph or nowhere.
        marks.pairs(Kind::Code, odd(b'`'), |_| false, Unended::Paragraph);
    }
    marks.inside
}

struct Marks<'t> {
    text: &'t str,
    lines: &'t [Line],
    inside: Vec<Option<Kind>>,
}

/// How far a block reaches whose end is missing.
#[derive(Clone, Copy)]
enum Unended {
    Paragraph,
    Text,
}

// === impl Marks ===

impl Marks<'_> {
    fn bytes(&self, line: usize) -> &[u8] {
        let body = self.lines[line].body(self.text);
        // What a reference quotes opens nothing.
        if references::is_reference(body) {
            b""
        } else {
            body.as_bytes()
        }
    }

    /// Marks from each line that opens through the next one that closes, and the rest of both
    /// lines' paragraphs, because a stray mark (5" for five inches) makes it unknown which side of
    /// a mark is the inside.
    fn pairs(
        &mut self,
        kind: Kind,
        opens: impl Fn(&[u8]) -> bool,
        closes: impl Fn(&[u8]) -> bool,
        unended: Unended,
    ) {
        let mut open: Option<usize> = None;
        for at in 0..self.lines.len() {
            if self.inside[at].is_some() {
                continue;
            }
            if let Some(from) = open.filter(|_| closes(self.bytes(at))) {
                self.fill(kind, from..at + 1);
                self.rest_of_paragraph(kind, at);
                open = None;
            } else if opens(self.bytes(at)) {
                if let Some(earlier) = open {
                    self.rest_of_paragraph(kind, earlier);
                }
                open = Some(at);
            }
        }
        match (open, unended) {
            (Some(from), Unended::Text) => self.fill(kind, from..self.lines.len()),
            (Some(from), Unended::Paragraph) => self.rest_of_paragraph(kind, from),
            (None, _) => {}
        }
    }

    fn fill(&mut self, kind: Kind, lines: Range<usize>) {
        for inside in &mut self.inside[lines] {
            inside.get_or_insert(kind);
        }
    }

    fn rest_of_paragraph(&mut self, kind: Kind, from: usize) {
        for at in from..self.lines.len() {
            if self.lines[at].is_blank() {
                break;
            }
            self.inside[at].get_or_insert(kind);
        }
    }

    /// JSON and its like, and code: a bracket that begins or ends a line, through the one that closes it.
    fn brackets(&mut self) {
        let mut at = 0;
        while at < self.lines.len() {
            let line = self.lines[at];
            let body = self.bytes(at);
            let is_open = |byte: Option<&u8>| matches!(byte, Some(b'{' | b'['));
            let mut from = line.body;
            let mut last = if self.inside[at].is_some() {
                at
            } else {
                self.bracket_end(at, from, is_open(body.first()))
            };
            if last == at && self.inside[at].is_none() && !body.is_empty() {
                from = line.end - 1;
                last = self.bracket_end(at, from, is_open(body.last()));
            }
            if last > at {
                self.fill(self.bracket_kind(from), at..last + 1);
            }
            at = last + 1;
        }
    }

    /// What the bracket at `from` opens: by what comes first in it, as far as that tells.
    fn bracket_kind(&self, from: usize) -> Kind {
        let inside = self.text[from + 1..].trim_ascii_start();
        let is_value = |first: u8| first.is_ascii_digit() || b"\"'{[]}-".contains(&first);
        if inside.bytes().next().is_none_or(is_value) {
            Kind::Json
        } else {
            Kind::Code
        }
    }

    /// The line on which the bracket at `from` closes; the last one if it never does.
    fn bracket_end(&self, line: usize, from: usize, is_open: bool) -> usize {
        if !is_open {
            return line;
        }
        let (mut depth, mut in_string, mut at, mut line) = (0_usize, false, from, line);
        let bytes = self.text.as_bytes();
        while at < bytes.len() {
            match bytes[at] {
                b'\n' => line += 1,
                b'\\' if in_string && bytes.get(at + 1) != Some(&b'\n') => at += 1,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => {
                    depth -= 1;
                    if depth == 0 {
                        return line;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.lines.len() - 1
    }
}

/// Whether a single quotation mark stands open at the end of `line`, apostrophes left aside.
fn opens_single_quote(line: &[u8]) -> bool {
    let curly = |mark: &str| memmem::rfind(line, mark.as_bytes());
    if curly("‘").is_some_and(|open| curly("’").is_none_or(|close| close < open)) {
        return true;
    }
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
    let (mut opened, mut closed) = (0, 0);
    for at in memchr::memchr_iter(b'\'', line) {
        let before = at.checked_sub(1).and_then(|before| line.get(before));
        let (before, after) = (is_word(before), line.get(at + 1));
        opened += usize::from(!before && after.is_some_and(|byte| *byte != b' '));
        closed += usize::from(!is_word(after));
    }
    opened > 0 && opened != closed
}
