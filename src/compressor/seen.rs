//! Remembers lines that the model can read, and finds where lines to come stand among them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::ops::Range;

use foldhash::quality::RandomState;

use super::lines;
use super::references::is_fence;

/// So many places of one line are remembered, the latest ones.
const PLACES: usize = 8;

/// Lines that agree in so many bytes, after their indentation, may have the same name: no name is shorter.
pub(super) const BEGINNING: usize = 6;
/// So many comparisons for each line of a text are enough for any that folds, and so many for a small one.
const PER_LINE: usize = 32;
const SMALL: usize = 10_000;
/// So many lines that begin alike are looked at, the latest ones.
pub(super) const ALIKE: usize = 64;

/// Lines in the order in which the model reads them.
#[derive(Default)]
pub(super) struct Seen<'t> {
    texts: Vec<Cow<'t, str>>,
    /// Text and bytes of each line; `None` where two neighbours do not stand together.
    lines: Vec<Option<(usize, Range<usize>)>>,
    /// By the hash of a line, the latest places where it stands.
    places: HashMap<u64, VecDeque<usize>>,
    /// By the hash of a line's first bytes, the latest places of lines that begin so.
    beginnings: HashMap<u64, VecDeque<usize>>,
    hasher: RandomState,
    /// Lines compared since [`Seen::allow`], and how many may be.
    compared: Cell<usize>,
    allowed: usize,
}

// === impl Seen ===

impl<'t> Seen<'t> {
    /// Whether nothing was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// For a text of so many lines: without a limit, lines that are found again and again and never folded would be
    /// compared as often as the square of their number.
    pub(super) fn allow(&mut self, lines: usize) {
        self.compared.set(0);
        self.allowed = PER_LINE * lines + SMALL;
    }

    /// Whether no more may be compared.
    pub(super) fn is_spent(&self) -> bool {
        self.compared.get() > self.allowed
    }

    fn spend(&self, lines: usize) {
        self.compared.set(self.compared.get() + lines + 1);
    }

    /// The lines to come are of this text.
    pub(super) fn begin(&mut self, text: impl Into<Cow<'t, str>>) {
        self.texts.push(text.into());
        self.lines.push(None);
    }

    /// The text begun last.
    pub(super) fn text(&self) -> &str {
        self.texts.last().map_or("", |text| text)
    }

    /// The next line of the text begun last: its bytes without trailing blanks.
    pub(super) fn push(&mut self, line: Range<usize>) {
        let text = self.texts.len() - 1;
        let written = &self.texts[text][line.clone()];
        if !written.is_empty() {
            let line = self.hasher.hash_one(written);
            let start = self.hasher.hash_one(beginning(written));
            let place = self.lines.len();
            keep(self.places.entry(line).or_default(), place, PLACES);
            keep(self.beginnings.entry(start).or_default(), place, ALIKE);
        }
        self.lines.push(Some((text, line)));
    }

    /// The next line stands for others, or was not kept: nothing goes across it.
    pub(super) fn part(&mut self) {
        self.lines.push(None);
    }

    /// How many of `lines`, from the first one on, stand at the latest place where a line begins with `name`; `lead` lines
    /// stand before it, which open a fence.
    pub(super) fn latest(&self, lines: &[&str], lead: usize, name: &str) -> usize {
        let Some(alike) = self.beginnings.get(&self.hasher.hash_one(beginning(name))) else {
            return 0;
        };
        for place in alike.iter().rev() {
            self.spend(1);
            let is_named = self
                .line(*place)
                .is_some_and(|line| line.trim_start().starts_with(name));
            let Some(first) = place.checked_sub(lead).filter(|_| is_named) else {
                continue;
            };
            if lead > 0 && !self.line(first).is_some_and(is_fence) {
                continue;
            }
            let there = (first..self.lines.len()).map(|place| self.line(place));
            let same = there
                .zip(lines)
                .take_while(|(there, here)| *there == Some(**here));
            let same = same.count();
            self.spend(same);
            return same;
        }
        0
    }

    /// The line at a place, if one stands there.
    fn line(&self, place: usize) -> Option<&str> {
        let (text, bytes) = self.lines.get(place)?.as_ref()?;
        Some(&self.texts[*text][bytes.clone()])
    }

    /// Whether any line of a text was seen; where none was, none is repeated.
    pub(super) fn has_a_line_of(&self, text: &str) -> bool {
        let is_seen =
            |line: &str| !line.is_empty() && self.places.contains_key(&self.hasher.hash_one(line));
        let mut lines = lines::split(text).into_iter();
        lines.any(|line| is_seen(&text[line.start..line.end]))
    }

    /// How many of `lines`, from the first one on, stand together in what was seen; a blank first line
    /// stands nowhere.
    pub(super) fn longest(&self, lines: &[&str]) -> usize {
        let Some(first) = lines.first().filter(|line| !line.is_empty()) else {
            return 0;
        };
        let places = self.places.get(&self.hasher.hash_one(*first));
        let length = |place: &usize| {
            let there = self.lines[*place..].iter().map(|line| {
                line.as_ref()
                    .map(|(text, bytes)| &self.texts[*text][bytes.clone()])
            });
            let same = there
                .zip(lines)
                .take_while(|(there, here)| *there == Some(**here));
            let same = same.count();
            self.spend(same);
            same
        };
        places.into_iter().flatten().map(length).max().unwrap_or(0)
    }
}

/// Adds a place, and forgets the oldest where there are too many.
fn keep(places: &mut VecDeque<usize>, place: usize, most: usize) {
    if places.len() == most {
        places.pop_front();
    }
    places.push_back(place);
}

/// By what lines are compared before their names are.
pub(super) fn beginning(line: &str) -> &str {
    let line = line.trim_start();
    &line[..line.floor_char_boundary(BEGINNING)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_run_that_stands_together() {
        let mut seen = Seen::default();
        seen.begin("a\nb\nc\na\nb\nd");
        for at in [0, 2, 4] {
            seen.push(at..at + 1);
        }
        seen.part();
        for at in [6, 8, 10] {
            seen.push(at..at + 1);
        }
        assert_eq!(seen.longest(&["a", "b", "d", "e"]), 3);
        assert_eq!(seen.longest(&["a", "b", "c", "a"]), 3);
        assert_eq!(seen.longest(&["c", "d"]), 1);
        assert_eq!(seen.longest(&["x"]), 0);
        assert_eq!(seen.longest(&[""]), 0);
        assert_eq!(seen.longest(&[]), 0);
    }
}
