//! Cuts a log line into what varies and what does not.

use std::{hash::Hasher, ops::Range};

use super::{is_foldable, stamp};

/// Lines as the pieces that all share and the fields between them.
pub(super) struct Run<'t> {
    /// One more than a line has fields.
    pieces: Vec<&'t str>,
    /// The fields of the first line, of the second, …
    fields: Vec<&'t str>,
}

/// How a quotation counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// As one field, marks included.
    Whole,
    /// As text like any other.
    Open,
}

/// What the lines of a run share.
pub(super) struct Template {
    /// The text of a line with `{}` for each value.
    pub(super) text: String,
    /// Which fields vary, and where their values begin and how many bytes of their ends they share.
    varying: Vec<(usize, usize, usize)>,
}

/// A number for the line's constant pieces: equal for lines that may share a template. `None` for a
/// line without fields.
pub(super) fn shape(line: &str) -> Option<u64> {
    if !is_foldable(line) {
        return None;
    }
    let mut hash = std::hash::DefaultHasher::new();
    let mut fields = 0;
    scan(line, Quotes::Whole, |piece, _| {
        hash.write(piece.as_bytes());
        hash.write_u8(0xff);
        fields += 1;
    });
    (fields > 1).then(|| hash.finish())
}

/// Calls `each` with every constant piece and the field behind it; the last has an empty field.
fn scan<'t>(line: &'t str, quotes: Quotes, mut each: impl FnMut(&'t str, &'t str)) {
    let bytes = line.as_bytes();
    let mut piece = 0;
    let mut at = 0;
    while at < bytes.len() {
        let is_whole = quotes == Quotes::Whole && bytes[at] == b'"';
        let field = if is_whole {
            let end = memchr::memchr(b'"', &bytes[at + 1..]);
            end.map(|end| at..at + end + 2)
        } else if is_word(bytes[at]) {
            let word = word(bytes, at);
            let varies = bytes[word.clone()].iter().any(u8::is_ascii_digit);
            if !varies {
                at = word.end;
                continue;
            }
            Some(word)
        } else {
            None
        };
        match field {
            Some(field) => {
                each(&line[piece..field.start], &line[field.clone()]);
                piece = field.end;
                at = field.end;
            }
            None if is_whole => break,
            None => at += 1,
        }
    }
    each(&line[piece..], "");
}

/// The word at `start`, with signs inside it: `1.5`, `12:00:01`, `worker-3`.
fn word(bytes: &[u8], start: usize) -> Range<usize> {
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        let joins = b".:-+,_".contains(byte) && bytes.get(end + 1).is_some_and(|b| is_word(*b));
        if !is_word(*byte) && !joins {
            break;
        }
        end += 1;
    }
    start..end
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'/' || byte >= 0x80
}

// === impl Run ===

impl<'t> Run<'t> {
    /// `None` if the lines share no shape after all.
    pub(super) fn read(lines: impl Iterator<Item = &'t str>, quotes: Quotes) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut fields = Vec::new();
        for (nth, line) in lines.enumerate() {
            let mut piece = 0;
            let mut alike = true;
            scan(line, quotes, |text, field| {
                if nth == 0 {
                    pieces.push(text);
                } else {
                    alike &= pieces.get(piece) == Some(&text);
                }
                piece += 1;
                fields.push(field);
            });
            fields.pop();
            if !alike || piece != pieces.len() {
                return None;
            }
        }
        Some(Self { pieces, fields })
    }

    fn width(&self) -> usize {
        self.pieces.len() - 1
    }

    /// The fields in one place of all lines.
    fn column(&self, at: usize) -> impl Iterator<Item = &'t str> + '_ {
        self.fields[at..].iter().step_by(self.width()).copied()
    }
}

// === impl Template ===

impl Template {
    /// `None` if nothing varies.
    pub(super) fn of(run: &Run<'_>) -> Option<Self> {
        let mut text = String::new();
        let mut varying = Vec::new();
        for at in 0..run.width() {
            let field = run.fields[at];
            text.push_str(run.pieces[at]);
            if run.column(at).all(|value| value == field) {
                text.push_str(field);
                continue;
            }
            let lead = shared_start(run.column(at));
            let unit = shared_unit(run.column(at).map(|value| &value[lead..]));
            text.push_str(&field[..lead]);
            text.push_str("{}");
            text.push_str(&field[field.len() - unit..]);
            varying.push((at, lead, unit));
        }
        text.push_str(run.pieces.last()?);
        (!varying.is_empty()).then_some(Self { text, varying })
    }

    /// Appends the values of one line, parted by blanks.
    pub(super) fn write_values(&self, run: &Run<'_>, line: usize, out: &mut String) {
        let fields = &run.fields[line * run.width()..];
        for (nth, (at, lead, unit)) in self.varying.iter().enumerate() {
            if nth > 0 {
                out.push(' ');
            }
            let value = fields[*at];
            out.push_str(&value[*lead..value.len() - unit]);
        }
    }
}

/// How many bytes all values begin with, up to a sign that parts numbers and splits none. Of words, paths
/// and identifiers that is nothing: those stand whole.
fn shared_start<'t>(mut values: impl Iterator<Item = &'t str>) -> usize {
    let Some(first) = values
        .next()
        .filter(|first| stamp::is_time(first.as_bytes()))
    else {
        return 0;
    };
    let mut shared = first.len();
    for value in values {
        let equal = value.bytes().zip(first.bytes()).take_while(|(a, b)| a == b);
        shared = shared.min(equal.count());
    }
    let shared = &first.as_bytes()[..shared];
    let Some(sign) = shared.iter().rposition(|byte| b":-+_".contains(byte)) else {
        return 0;
    };
    // The sign of an exponent is a part of its number.
    match shared[..sign] {
        [.., b'0'..=b'9', b'e' | b'E'] => 0,
        _ => sign + 1,
    }
}

/// How many bytes all values end with behind their last digit, if each is a number up to there.
fn shared_unit<'t>(mut values: impl Iterator<Item = &'t str>) -> usize {
    let is_number = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let Some(first) = values.next() else {
        return 0;
    };
    let digits = first.trim_end_matches(|end: char| !end.is_ascii_digit());
    let unit = &first[digits.len()..];
    let shared =
        is_number(digits) && values.all(|value| value.strip_suffix(unit).is_some_and(is_number));
    if shared { unit.len() } else { 0 }
}
