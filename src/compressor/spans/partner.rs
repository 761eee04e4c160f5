//! Finds the partner of a delimiter in time that is linear over a whole line.

use std::collections::BTreeMap;

/// Where the next byte of a kind is, asked with ascending positions.
pub(super) struct Partners<'a> {
    bytes: &'a [u8],
    /// What the last search for each byte gave: from where, and what it found.
    known: [Search; 128],
    closing: Search,
    chars: BTreeMap<char, Search>,
}

/// From where was searched and what was found.
type Search = Option<(usize, Option<usize>)>;

/// A run of backticks.
pub(super) struct Ticks {
    pub(super) start: usize,
    pub(super) length: usize,
    /// Where the next run of the same length starts.
    pub(super) partner: Option<usize>,
}

// === impl Partners ===

impl<'a> Partners<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            known: [None; 128],
            closing: None,
            chars: BTreeMap::new(),
        }
    }

    /// The first `byte` (ASCII) at `from` or later.
    pub(super) fn next(&mut self, byte: u8, from: usize) -> Option<usize> {
        let slot = &mut self.known[usize::from(byte & 0x7f)];
        if let Some(found) = remembered(*slot, from) {
            return found;
        }
        let bytes = self.bytes.get(from..).unwrap_or_default();
        let found = bytes.iter().position(|b| *b == byte).map(|at| from + at);
        *slot = Some((from, found));
        found
    }

    /// The first `'` at `from` or later that ends a word and starts none.
    pub(super) fn closing_quote(&mut self, from: usize) -> Option<usize> {
        if let Some(found) = remembered(self.closing, from) {
            return found;
        }
        let closes = |at: usize| {
            self.bytes[at] == b'\''
                && !self.bytes[at - 1].is_ascii_whitespace()
                && !self
                    .bytes
                    .get(at + 1)
                    .is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
        };
        let found = (from..self.bytes.len()).find(|at| closes(*at));
        self.closing = Some((from, found));
        found
    }

    /// The end of the first of these characters at `from` or later that is not inside a word.
    pub(super) fn next_char(&mut self, any: &[char], from: usize, line: &str) -> Option<usize> {
        let key = any[0];
        if let Some(found) = remembered(self.chars.get(&key).copied().flatten(), from) {
            return found;
        }
        let closes = |at: usize, c: char| {
            let next = line[at + c.len_utf8()..].chars().next();
            any.contains(&c) && !(c == '’' && next.is_some_and(char::is_alphanumeric))
        };
        let found = line
            .get(from..)?
            .char_indices()
            .find(|(at, c)| closes(from + at, *c))
            .map(|(at, c)| from + at + c.len_utf8());
        self.chars.insert(key, Some((from, found)));
        found
    }
}

/// The runs of backticks of a line.
pub(super) fn backticks(bytes: &[u8]) -> Vec<Ticks> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| **b == b'`').count();
        if length > 0 {
            runs.push(Ticks {
                start: at,
                length,
                partner: None,
            });
        }
        at += length.max(1);
    }
    let mut next = BTreeMap::new();
    for run in runs.iter_mut().rev() {
        run.partner = next.insert(run.length, run.start);
    }
    runs
}

/// What an earlier search says about one that starts at `from`.
#[expect(
    clippy::option_option,
    reason = "an earlier search may say that there is nothing to find"
)]
fn remembered(slot: Search, from: usize) -> Option<Option<usize>> {
    let (asked, found) = slot?;
    (asked <= from && found.is_none_or(|at| at >= from)).then_some(found)
}
