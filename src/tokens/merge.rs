//! Counts the tokens of one piece of a request's text: again and again, of all neighbours that together are a
//! token, those of the lowest rank become one, the leftmost first.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::table::{NO_RANK, Table};

/// Most bytes of a piece that is merged by looking through all of its neighbours for each merge.
const SHORT: usize = 64;

/// Bytes of a longer piece that are merged at a time, at first: it bounds the memory, not the piece.
const STRETCH: usize = 4096;

/// The number of tokens of the piece `bytes[start..end]`. The bytes after it help to read it quickly.
#[inline]
pub(super) fn count(table: &Table, bytes: &[u8], start: usize, end: usize) -> usize {
    let length = end.saturating_sub(start);
    if length < 2 || table.rank(bytes, start, end) != NO_RANK {
        return length.min(1);
    }
    if length <= SHORT {
        short(table, bytes, start, end)
    } else {
        long(table, bytes, start, end)
    }
}

/// Counts a piece that is no token and no longer than [`SHORT`].
fn short(table: &Table, bytes: &[u8], start: usize, end: usize) -> usize {
    // Part `i` is `starts[i]..starts[i + 1]`, and `ranks[i]` that of it and the next part together.
    let mut starts = [end; SHORT + 2];
    let mut ranks = [NO_RANK; SHORT + 2];
    let mut parts = 0;
    for at in start..end.min(start + SHORT) {
        starts[parts] = at;
        if at + 1 < end {
            ranks[parts] = table.pair(bytes[at], bytes[at + 1]);
        }
        parts += 1;
    }
    while parts > 1 {
        let (mut lowest, mut merged) = (NO_RANK, 0);
        for (at, &rank) in ranks[..parts - 1].iter().enumerate() {
            if rank < lowest {
                (lowest, merged) = (rank, at);
            }
        }
        if lowest == NO_RANK {
            break;
        }
        starts.copy_within(merged + 2..=parts, merged + 1);
        ranks.copy_within(merged + 2..=parts, merged + 1);
        parts -= 1;
        ranks[merged] = if merged + 1 < parts {
            table.rank(bytes, starts[merged], starts[merged + 2])
        } else {
            NO_RANK
        };
        if merged > 0 {
            ranks[merged - 1] = table.rank(bytes, starts[merged - 1], starts[merged + 1]);
        }
    }
    parts
}

/// Counts a piece of any length, in stretches whose length bounds the memory.
pub(super) fn long(table: &Table, bytes: &[u8], start: usize, end: usize) -> usize {
    let mut stretch = STRETCH;
    loop {
        // What is longer than the piece takes it whole.
        if let Some(tokens) = in_stretches(table, bytes, start, end, stretch) {
            return tokens;
        }
        stretch = stretch.saturating_mul(2);
    }
}

/// Counts a piece in stretches; none if they do not fit together.
///
/// A row of tokens is what merging their bytes gives if, and only if, it is so for each two neighbours: the
/// first merge across a border would be the first across it for the two neighbours alone, since until then
/// the merges within both are the same and in the same order. So a stretch is merged, its tokens are kept but
/// for the last ones, which may be other than they are once more follows, and the next stretch begins there;
/// only the two tokens at that border are left to be tried.
pub(super) fn in_stretches(
    table: &Table,
    bytes: &[u8],
    start: usize,
    end: usize,
    stretch: usize,
) -> Option<usize> {
    let mut tokens = 0;
    let mut at = start;
    let mut token_before = None;
    let mut merger = Merger::default();
    loop {
        let stop = end.min(at.saturating_add(stretch));
        merger.merge(table, bytes, at, stop);
        let borders = merger.borders(at);
        if let Some(before) = token_before {
            let next = borders.get(1).copied().unwrap_or(stop);
            let mut pair = Merger::default();
            pair.merge(table, bytes, before, next);
            if pair.borders(before) != [before, at] {
                return None;
            }
        }
        if stop == end {
            return Some(tokens + borders.len());
        }
        let kept = borders
            .iter()
            .rposition(|&border| border <= stop - stretch / 8)?;
        token_before = Some(*borders.get(kept.checked_sub(1)?)?);
        at = *borders.get(kept)?;
        tokens += kept;
    }
}

/// Merges many bytes: a list of parts that knows both neighbours of each, and a heap of what can be merged.
#[derive(Debug, Default)]
struct Merger {
    /// By the offset at which a part starts.
    parts: Vec<Part>,
    /// Rank and offset; what is no longer as it was when it was put in is passed over.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    /// Where the part before starts.
    before: u32,
    /// Where the part after starts.
    after: u32,
    /// The rank of the part together with the next one.
    rank: u32,
}

impl Merger {
    /// Merges `bytes[start..end]`, fewer than 4 GiB.
    fn merge(&mut self, table: &Table, bytes: &[u8], start: usize, end: usize) {
        self.parts.clear();
        self.heap.clear();
        let length = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
        for at in 0..length {
            let rank = match bytes.get(start + at as usize..end) {
                Some([first, second, ..]) => table.pair(*first, *second),
                _ => NO_RANK,
            };
            self.parts.push(Part {
                before: at.saturating_sub(1),
                after: at + 1,
                rank,
            });
            self.wait(at, rank);
        }
        while let Some(Reverse((rank, at))) = self.heap.pop() {
            let Some(part) = self.part(at).filter(|part| part.rank == rank) else {
                continue;
            };
            let (before, gone) = (part.before, part.after);
            let Some(after) = self.part(gone).map(|part| part.after) else {
                continue;
            };
            if let Some(part) = self.parts.get_mut(gone as usize) {
                part.rank = NO_RANK;
            }
            if let Some(part) = self.parts.get_mut(after as usize) {
                part.before = at;
            }
            if let Some(part) = self.parts.get_mut(at as usize) {
                part.after = after;
            }
            self.look(table, bytes, start, at);
            if at > 0 {
                self.look(table, bytes, start, before);
            }
        }
    }

    /// Where the parts start that are left, as offsets into the bytes that were merged from `start` on.
    fn borders(&self, start: usize) -> Vec<usize> {
        let mut borders = Vec::new();
        let mut at = 0;
        while let Some(part) = self.part(at) {
            borders.push(start + at as usize);
            at = part.after;
        }
        borders
    }

    /// Notes the rank of the part at `at` together with the next one.
    fn look(&mut self, table: &Table, bytes: &[u8], start: usize, at: u32) {
        let next = self.part(at).and_then(|part| self.part(part.after));
        let rank = next.map_or(NO_RANK, |next| {
            table.rank(bytes, start + at as usize, start + next.after as usize)
        });
        if let Some(part) = self.parts.get_mut(at as usize) {
            part.rank = rank;
        }
        self.wait(at, rank);
    }

    fn wait(&mut self, at: u32, rank: u32) {
        if rank != NO_RANK {
            self.heap.push(Reverse((rank, at)));
        }
    }

    fn part(&self, at: u32) -> Option<&Part> {
        self.parts.get(at as usize)
    }
}
