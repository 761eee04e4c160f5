//! Finds how little of a request's text must be counted to know what an edit changes.
//!
//! Between two characters that [`is_cut`] knows, both vocabularies end a piece, and the pieces on either side
//! are what they would be if the other side were not there. So all that an edit can change lies between such a
//! place before it and one after it, which must be there both before and after the edit is made.

use std::ops::Range;

use super::class::{Class, class_of};

/// A range of the text, and what stands there instead after the edit.
pub(super) type Edit<'a> = (Range<usize>, &'a str);

/// Calls `count` with each part of the text that edits change: the numbers of the edits, the part's bytes, and
/// what stands there before and after them. The parts are as small as can be told from two characters at a
/// time, and no piece crosses their borders.
pub(super) fn each(
    text: &str,
    edits: &[Edit<'_>],
    mut count: impl FnMut(Range<usize>, Range<usize>, &str, &str),
) {
    let edits = Edits {
        text,
        edits: valid(text, edits),
    };
    let (mut first, mut from) = (0, 0);
    while first < edits.edits.len() {
        let start = edits.cut_before(first, from);
        // Edits without a cut between them are counted together.
        let found = (first..edits.edits.len())
            .find_map(|last| edits.cut_after(last).map(|end| (last + 1, end)));
        let (next, end) = found.unwrap_or((edits.edits.len(), text.len()));
        let before = text.get(start..end).unwrap_or_default();
        match edits.edits.get(first..next).unwrap_or_default() {
            [(range, with)] if *range == (start..end) => {
                count(first..next, start..end, before, with);
            }
            these => {
                let after = edited(text, start..end, these);
                count(first..next, start..end, before, &after);
            }
        }
        (first, from) = (next, end);
    }
}

/// The edits up to the first that is out of order or does not lie on characters.
fn valid<'e, 'a>(text: &str, edits: &'e [Edit<'a>]) -> &'e [Edit<'a>] {
    let mut from = 0;
    let valid = edits.iter().take_while(|(range, _)| {
        let fits = range.start >= from && text.get(range.clone()).is_some();
        from = range.end;
        fits
    });
    edits.get(..valid.count()).unwrap_or_default()
}

/// This part of the text after the edits, all of which lie in it.
fn edited(text: &str, part: Range<usize>, edits: &[Edit<'_>]) -> String {
    let more: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut after = String::with_capacity(part.len() + more);
    let mut at = part.start;
    for (range, with) in edits {
        after.push_str(text.get(at..range.start).unwrap_or_default());
        after.push_str(with);
        at = range.end;
    }
    after.push_str(text.get(at..part.end).unwrap_or_default());
    after
}

/// The edits, in order, with the text they are made in.
#[derive(Debug)]
struct Edits<'t, 'e, 'a> {
    text: &'t str,
    edits: &'e [Edit<'a>],
}

impl Edits<'_, '_, '_> {
    /// The last cut before this edit, but not before `from`, which is one; only edits from this one on lie
    /// after `from`.
    fn cut_before(&self, edit: usize, from: usize) -> usize {
        let (start, kept) = match self.edits.get(edit) {
            Some((range, _)) => (
                range.start,
                self.text.get(from..range.start).unwrap_or_default(),
            ),
            None => return from,
        };
        let Some(last) = kept.chars().next_back() else {
            return from;
        };
        let old = self.text.get(start..).and_then(|text| text.chars().next());
        if is_cut(Some(last), old) && self.begins(edit, |new| is_cut(Some(last), new)) {
            return start;
        }
        let mut after = None;
        for (at, character) in kept.char_indices().rev() {
            if let Some((cut, after)) = after
                && is_cut(Some(character), Some(after))
            {
                return from + cut;
            }
            after = Some((at, character));
        }
        from
    }

    /// The first cut after this edit and before the next; the text's end is one.
    fn cut_after(&self, edit: usize) -> Option<usize> {
        let (range, _) = self.edits.get(edit)?;
        let kept = self
            .text
            .get(range.end..self.next(edit).unwrap_or(self.text.len()))?;
        if let Some(first) = kept.chars().next() {
            let old = self
                .text
                .get(..range.end)
                .and_then(|text| text.chars().next_back());
            if is_cut(old, Some(first)) && self.ends(edit, |new| is_cut(new, Some(first))) {
                return Some(range.end);
            }
        }
        let mut before = None;
        for (at, character) in kept.char_indices() {
            if before.is_some() && is_cut(before, Some(character)) {
                return Some(range.end + at);
            }
            before = Some(character);
        }
        self.next(edit).is_none().then_some(self.text.len())
    }

    /// Whether this holds for the character that stands at this edit's start once all are made.
    fn begins(&self, edit: usize, holds: impl Fn(Option<char>) -> bool) -> bool {
        let Some((range, with)) = self.edits.get(edit) else {
            return false;
        };
        if !with.is_empty() {
            return holds(with.chars().next());
        }
        // Where the next edit follows at once, it has a say as well: that is left alone.
        self.next(edit).is_none_or(|next| next > range.end)
            && holds(
                self.text
                    .get(range.end..)
                    .and_then(|text| text.chars().next()),
            )
    }

    /// Whether this holds for the character that stands before this edit's end once all are made.
    fn ends(&self, edit: usize, holds: impl Fn(Option<char>) -> bool) -> bool {
        let Some((range, with)) = self.edits.get(edit) else {
            return false;
        };
        if !with.is_empty() {
            return holds(with.chars().next_back());
        }
        let previous = edit
            .checked_sub(1)
            .and_then(|previous| self.edits.get(previous));
        previous.is_none_or(|(previous, _)| previous.end < range.start)
            && holds(
                self.text
                    .get(..range.start)
                    .and_then(|text| text.chars().next_back()),
            )
    }

    /// Where the next edit starts.
    fn next(&self, edit: usize) -> Option<usize> {
        self.edits.get(edit + 1).map(|(range, _)| range.start)
    }
}

/// Whether a piece of both vocabularies ends between these two characters, whatever stands around them, and
/// would end there as well if the text did; none stands for an end of the text.
///
/// A blank can only be first in a piece, unless white space is before it. A number's piece holds numbers
/// alone. A letter's piece goes on with letters, marks and an apostrophe. A line end is followed in its piece
/// by white space or a slash alone. Only white space looks at what comes after its piece: whether there is a
/// character that is no white space, for which it leaves its last blank; that is why there is no cut between
/// the two, but after a line end, which is never left.
pub(super) fn is_cut(before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return true;
    };
    match (class_of(before), class_of(after)) {
        (before, Class::Blank) => !before.is_space(),
        (before, Class::LineEnd) => before.is_letter() || before == Class::Number,
        (Class::LineEnd, _) => after != '/',
        (Class::Blank, _) => false,
        (Class::Number, after) => after != Class::Number,
        (_, Class::Number) => true,
        (before, Class::Other) => before.is_letter() && after != '\'',
        _ => false,
    }
}
