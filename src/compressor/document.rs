//! Cuts a message into lines and says of each what it is, so that all rules work on one reading of it.

use std::ops::Range;

use super::{
    Role, blocks, code,
    gaps::Gaps,
    kind::{self, Kind},
    lines::{self, Line},
    look::{self, Look},
    payload, references,
};

/// One message, read.
pub(super) struct Document<'t> {
    pub(super) text: &'t str,
    pub(super) lines: Vec<Line>,
    /// What each line is.
    pub(super) kinds: Vec<Kind>,
    /// Whether each line continues a block that began above it: to part the two would break it.
    pub(super) continues: Vec<bool>,
    /// The gaps of prose lines.
    pub(super) gaps: Vec<Option<Box<Gaps>>>,
    /// Whether so much of it is code or data that the few sentences in it are not worth the doubt.
    pub(super) is_mostly_raw: bool,
    /// Whether every line is text of some sort.
    pub(super) is_plain: bool,
    /// What its task is about.
    pub(super) about: About,
    /// Whether its task may be about how often something is said.
    pub(super) counts_copies: bool,
}

/// What the task of a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// No text in particular.
    Nothing,
    /// The text that the message brings along.
    Text,
    /// That text's very words: all of them must be there.
    Wording,
}

// === impl Document ===

impl<'t> Document<'t> {
    /// Reads `text`, which `role` said.
    pub(super) fn of(text: &'t str, role: Role) -> Self {
        let lines = lines::split(text);
        let inside = blocks::find(text, &lines);
        let mut reading = Reading {
            text,
            lines: &lines,
            looks: Vec::with_capacity(lines.len()),
            gaps: Vec::with_capacity(lines.len()),
        };
        for (line, inside) in lines.iter().zip(&inside) {
            reading.looks.push(match inside {
                Some(_) => Look::Raw,
                None if line.is_blank() => Look::Prose,
                None => look::of(text, line),
            });
        }
        for (line, look) in lines.iter().zip(&reading.looks) {
            reading.gaps.push(if *look == Look::Prose {
                Gaps::of(text, line)
            } else {
                None
            });
        }
        reading.settle();
        let Reading { looks, gaps, .. } = reading;

        // Blocks have a clear edge and say nothing about the sentences around them.
        let (mut written, mut raw) = (0, 0);
        for ((line, inside), look) in lines.iter().zip(&inside).zip(&looks) {
            if !line.is_blank() && inside.is_none() {
                written += 1;
                raw += usize::from(*look == Look::Raw);
            }
        }
        // Between these tags white space counts.
        let may_enclose = !memchr::memchr_iter(b'<', text.as_bytes()).any(|at| {
            let rest = &text.as_bytes()[at + 1..];
            ["pre", "code", "textarea", "script", "style"]
                .iter()
                .any(|tag| {
                    rest.get(..tag.len())
                        .is_some_and(|name| name.eq_ignore_ascii_case(tag.as_bytes()))
                })
        });
        let kinds = lines.iter().zip(&inside).zip(&looks);
        let kinds = kinds.map(|((line, inside), look)| match inside {
            _ if references::is_reference(line.body(text)) => Kind::Reference,
            Some(Kind::Markup) if line.is_blank() => Kind::Markup,
            Some(Kind::Markup) if may_enclose && look::of(text, line) <= Look::Marked => {
                Kind::Enclosed
            }
            Some(kind) => *kind,
            None => kind::of(text, line, *look),
        });
        let blocks = inside
            .windows(2)
            .map(|pair| pair[0].is_some() && pair[0] == pair[1]);
        let mut document = Self {
            kinds: kinds.collect(),
            continues: std::iter::once(false).chain(blocks).collect(),
            text,
            lines,
            gaps,
            is_mostly_raw: raw * 10 > written * 6,
            is_plain: raw == 0 && inside.iter().all(Option::is_none),
            about: About::Nothing,
            counts_copies: false,
        };
        payload::mark(&mut document, role);
        document
    }

    /// The line without indentation and trailing blanks.
    pub(super) fn body(&self, line: usize) -> &'t str {
        self.lines[line].body(self.text)
    }

    /// The bytes of the line's body.
    pub(super) fn body_range(&self, line: usize) -> Range<usize> {
        self.lines[line].body..self.lines[line].end
    }

    /// The number of the line in which the byte at `at` stands.
    pub(super) fn line_at(&self, at: usize) -> usize {
        self.lines
            .partition_point(|line| line.start <= at)
            .saturating_sub(1)
    }

    /// The runs of consecutive lines of one kind: their numbers.
    pub(super) fn runs(&self, kind: Kind) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let from = at + self.kinds[at..].iter().position(|other| *other == kind)?;
            let length = self.kinds[from..]
                .iter()
                .take_while(|other| **other == kind);
            at = from + length.count();
            Some(from..at)
        })
    }
}

/// The lines while their neighbours have their say.
struct Reading<'l> {
    text: &'l str,
    lines: &'l [Line],
    looks: Vec<Look>,
    gaps: Vec<Option<Box<Gaps>>>,
}

// === impl Reading ===

impl Reading<'_> {
    fn settle(&mut self) {
        let mut from = 0;
        for paragraph in self.lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
            if !paragraph[0].is_blank() {
                self.settle_paragraph(paragraph, from);
            }
            from += paragraph.len();
        }
    }

    /// Settles one paragraph, whose first line is number `from`.
    fn settle_paragraph(&mut self, paragraph: &[Line], from: usize) {
        let to = from + paragraph.len();
        for at in from + 1..to {
            let (Some(gaps), Some(above)) = (&self.gaps[at], &self.gaps[at - 1]) else {
                continue;
            };
            if gaps.aligns_with(above) {
                self.looks[at - 1..=at].fill(Look::Raw);
            }
        }
        let looks = &mut self.looks[from..to];
        let raw = looks.iter().filter(|look| **look == Look::Raw).count();
        let entries = || {
            paragraph
                .iter()
                .filter(|line| code::is_entry(line.body(self.text)))
                .count()
        };
        if raw * 3 >= looks.len()
            || looks.len() >= 3 && entries() * 3 >= looks.len() * 2
            || is_separated(self.text, paragraph)
        {
            looks.fill(Look::Raw);
        } else if raw > 0 {
            for at in 0..looks.len() {
                let beside = [at.wrapping_sub(1), at + 1];
                if beside
                    .iter()
                    .any(|near| looks.get(*near) == Some(&Look::Raw))
                {
                    looks[at] = looks[at].max(Look::Kept);
                }
            }
        } else if is_verse(self.text, paragraph) {
            for look in looks {
                *look = (*look).max(Look::Verse);
            }
        }
    }
}

/// Two or more lines with the same number of commas or semicolons, two at least, that no blank follows:
/// separated values.
fn is_separated(text: &str, paragraph: &[Line]) -> bool {
    let count = |line: &Line, mark: u8| {
        let body = line.body(text).as_bytes();
        memchr::memchr_iter(mark, body)
            .filter(|at| body.get(at + 1).is_some_and(|next| *next != b' '))
            .count()
    };
    paragraph.len() >= 2
        && [b',', b';'].iter().any(|mark| {
            let first = count(&paragraph[0], *mark);
            first >= 2 && paragraph.iter().all(|line| count(line, *mark) == first)
        })
}

/// Three or more short lines, no list, of which most do not end as sentences do.
fn is_verse(text: &str, paragraph: &[Line]) -> bool {
    let is_short = |line: &Line| {
        let begins_item = |c: char| c.is_ascii_digit() || "-*+#•".contains(c);
        line.end - line.body < 60 && !line.body(text).starts_with(begins_item)
    };
    let ends = |line: &&Line| line.body(text).ends_with(['.', '!', '?', ':', ';']);
    paragraph.len() >= 3
        && paragraph.iter().all(is_short)
        && paragraph.iter().filter(ends).count() * 2 <= paragraph.len()
}
