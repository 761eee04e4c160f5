//! Finds runs of spaces between the words of a prose line, and tells typing habits from columns.

use std::ops::Range;

use memchr::memmem;

use super::lines::Line;

/// A line with so many single blanks is made of sentences, if nothing but sentences is parted by wider ones.
const WORDS: usize = 12;

/// A run of two or more spaces between two words.
#[derive(Debug, Clone)]
struct Gap {
    /// Its bytes in the text.
    at: Range<usize>,
    /// Where the next word begins, in characters from the line's start.
    column: usize,
    /// Whether a sentence ends before it.
    ends_sentence: bool,
}

/// The gaps of one line.
#[derive(Debug)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    /// Whether the line reads as sentences, with nothing in it that could make its spaces matter.
    foldable: bool,
}

// === impl Gaps ===

impl Gaps {
    /// `None` for a line without gaps, which is nearly every line.
    pub(super) fn of(text: &str, line: &Line) -> Option<Box<Self>> {
        let body = line.body(text);
        let bytes = body.as_bytes();
        let marker = marker(bytes);
        if !bytes[marker..].windows(2).any(|pair| pair == b"  ") {
            return None;
        }
        let mut found = Self {
            gaps: Vec::new(),
            foldable: true,
        };
        // Whether only signs stand in it that sentences may have, too, such as a sum of money.
        let mut tolerable = true;
        let mut column = line.body - line.start;
        let (mut singles, mut at) = (0, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            let from = at;
            match byte {
                b' ' => {
                    at += bytes[at..].iter().take_while(|byte| **byte == b' ').count();
                    if at == from + 1 {
                        singles += 1;
                    } else if from >= marker {
                        let (before, after) =
                            (body[..from].chars().next_back(), body[at..].chars().next());
                        let ends_sentence = before.is_some_and(|c| ".!?…。".contains(c));
                        found.foldable &= parts_words(before, after, ends_sentence);
                        tolerable &= parts_sentences(&body[..from], after);
                        let (at, column) = (line.body + from..line.body + at, column + at - from);
                        found.gaps.push(Gap {
                            at,
                            column,
                            ends_sentence,
                        });
                    }
                }
                b'`' | b'"' => {
                    let settled = !found.foldable && !tolerable;
                    let length = (!settled).then(|| span(&bytes[at..])).flatten();
                    found.foldable &= length.is_some();
                    tolerable &= length.is_some();
                    // A mark without its partner settles the line: to look for the partners of the marks
                    // after it would cost the square of their number.
                    at += length.unwrap_or(1);
                }
                0xE2 if tolerable && bytes[at..].starts_with("“".as_bytes()) => {
                    found.foldable = false;
                    let end = memmem::find(&bytes[at..], "”".as_bytes());
                    tolerable = end.is_some();
                    at += end.map_or(1, |end| end + "”".len());
                }
                _ => {
                    let is_plain = is_plain(bytes, at);
                    found.foldable &= is_plain;
                    tolerable &= is_plain || is_tolerable(bytes, at);
                    at += 1;
                }
            }
            column += bytecount(&bytes[from..at]);
        }
        found.foldable &= reads_as_sentence(bytes, singles, &found.gaps);
        found.foldable |= tolerable && singles >= WORDS;
        Some(Box::new(found))
    }

    /// What to delete so that each gap is one space; nothing where a neighbouring line makes
    /// columns likely.
    pub(super) fn folds(
        &self,
        neighbours: [Option<&Self>; 2],
    ) -> impl Iterator<Item = Range<usize>> {
        let in_columns = neighbours
            .into_iter()
            .flatten()
            .any(|other| self.aligns_with(other));
        let gaps = if self.foldable && !in_columns {
            &self.gaps[..]
        } else {
            &[]
        };
        gaps.iter().map(|gap| gap.at.start + 1..gap.at.end)
    }

    /// Whether each gap stands between two sentences.
    pub(super) fn part_sentences(&self) -> bool {
        self.gaps.iter().all(|gap| gap.ends_sentence)
    }

    /// Whether both lines part their words by gaps that no sentence end explains, or by gaps that
    /// end in one column.
    pub(super) fn aligns_with(&self, other: &Self) -> bool {
        let wide = |gaps: &Self| gaps.gaps.iter().any(|gap| !gap.ends_sentence);
        if self.gaps.is_empty() || other.gaps.is_empty() {
            return false;
        }
        if wide(self) && wide(other) {
            return true;
        }
        // Both lists ascend, so one walk over both finds a common column.
        let (mut left, mut right) = (self.gaps.iter().peekable(), other.gaps.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.column.cmp(&b.column) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => left.next(),
                std::cmp::Ordering::Greater => right.next(),
            };
        }
        false
    }
}

/// The length of a list or heading marker with the blanks after it: they set how the lines below
/// are indented.
fn marker(bytes: &[u8]) -> usize {
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let digits = digits.max(usize::from(
        bytes.first().is_some_and(u8::is_ascii_alphabetic),
    ));
    let mark = match bytes.first() {
        Some(b'#') => bytes.iter().take_while(|byte| **byte == b'#').count(),
        Some(b'-' | b'*' | b'+') => 1,
        _ if (1..=3).contains(&digits) && matches!(bytes.get(digits), Some(b'.' | b')')) => {
            digits + 1
        }
        _ if bytes.starts_with("•".as_bytes()) => "•".len(),
        _ => return 0,
    };
    let blanks = bytes[mark..]
        .iter()
        .take_while(|byte| **byte == b' ')
        .count();
    if blanks == 0 { 0 } else { mark + blanks }
}

/// Whether a gap between these two characters can be a slip or a typist's habit.
fn parts_words(before: Option<char>, after: Option<char>, ends_sentence: bool) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let opens = after.is_alphabetic() || "(\"“`*'".contains(after);
    let closes = before.is_alphabetic() || ",;)\"”`*'’".contains(before);
    if ends_sentence {
        opens || after.is_ascii_digit()
    } else {
        opens && closes
    }
}

/// The length of the code span or quotation at the start, if it ends on the line and no other one
/// is mixed into it.
fn span(bytes: &[u8]) -> Option<usize> {
    if bytes[0] == b'"' {
        let length = memchr::memchr(b'"', &bytes[1..])? + 2;
        return (!bytes[..length].contains(&b'`')).then_some(length);
    }
    let ticks = bytes.iter().take_while(|byte| **byte == b'`').count();
    let mut at = ticks;
    while let Some(next) = memchr::memchr(b'`', &bytes[at..]) {
        at += next;
        let run = bytes[at..].iter().take_while(|byte| **byte == b'`').count();
        at += run;
        if run == ticks {
            return (!bytes[ticks..at].contains(&b'"')).then_some(at);
        }
    }
    None
}

/// Whether a gap stands between two sentences, the second of which begins with a capital.
fn parts_sentences(before: &str, after: Option<char>) -> bool {
    let ended = before.trim_end_matches(['.', '!', '?', ')', ']', '"', '”']);
    ended.len() < before.len()
        && ended.ends_with(|last: char| last.is_alphanumeric() || last == '%')
        && before.ends_with(['.', '!', '?'])
        && after.is_some_and(|first| first.is_uppercase() || "(\"“".contains(first))
}

/// Whether the sign may stand in sentences that are long enough.
fn is_tolerable(bytes: &[u8], at: usize) -> bool {
    let behind_word = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
    match bytes[at] {
        b'[' | b']' | b'%' | b'$' | b'+' | b'_' | b'@' => true,
        b'\'' => behind_word,
        0xE2 => behind_word && bytes[at..].starts_with("’".as_bytes()),
        _ => false,
    }
}

/// Whether the byte belongs to plain sentences. Curly and single quotation marks do not: their ends
/// are doubtful.
fn is_plain(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b'\'' => {
            at > 0 && bytes[at - 1].is_ascii_alphanumeric() && bytes.get(at + 1) != Some(&b' ')
        }
        0xE2 => !matches!(bytes[at..], [0xE2, 0x80, 0x98 | 0x9A..=0x9F, ..]),
        0xC2 => !matches!(bytes[at..], [0xC2, 0xA0 | 0xAB | 0xBB, ..]),
        byte => {
            byte.is_ascii_alphanumeric() || !byte.is_ascii() || b".,;:!?()-/*&#".contains(&byte)
        }
    }
}

/// Whether the line is made of sentences rather than of cells.
fn reads_as_sentence(bytes: &[u8], singles: usize, gaps: &[Gap]) -> bool {
    let words = singles + gaps.len() + 1;
    let ended = matches!(bytes.last(), Some(b'.' | b'!' | b'?'));
    gaps.iter().all(|gap| gap.ends_sentence)
        || ended && words >= 3
        || words >= 4 && singles >= gaps.len()
}

/// The number of characters that begin in `bytes`.
fn bytecount(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .filter(|byte| (**byte).cast_signed() >= -0x40)
        .count()
}
