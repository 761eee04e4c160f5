//! Counts strings, so that two texts can be compared by what they hold and how often.

use std::collections::BTreeMap;

/// Strings, each with the number of times it was met.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Bag(BTreeMap<String, usize>);

impl Bag {
    pub(super) fn add(&mut self, text: &str, times: usize) {
        if times > 0 {
            *self.0.entry(text.to_owned()).or_default() += times;
        }
    }

    pub(super) fn count(&self, text: &str) -> usize {
        self.0.get(text).copied().unwrap_or_default()
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    pub(super) fn total(&self) -> usize {
        self.0.values().sum()
    }

    pub(super) fn first(&self) -> &str {
        self.0.keys().next().map_or("", String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(text, &times)| (text.as_str(), times))
    }

    /// What this bag holds more often than `other`, by as much as it does.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (text, times) in self.iter() {
            rest.add(text, times.saturating_sub(other.count(text)));
        }
        rest
    }

    /// Takes one `text` out; says whether there was one.
    pub(super) fn take(&mut self, text: &str) -> bool {
        match self.0.get_mut(text) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    /// Only the strings that `keep` accepts.
    pub(super) fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        self.iter().filter(|&(text, _)| keep(text)).collect()
    }
}

impl<'a> FromIterator<(&'a str, usize)> for Bag {
    fn from_iter<I: IntoIterator<Item = (&'a str, usize)>>(strings: I) -> Self {
        let mut bag = Self::default();
        for (text, times) in strings {
            bag.add(text, times);
        }
        bag
    }
}

impl<'a> FromIterator<&'a str> for Bag {
    fn from_iter<I: IntoIterator<Item = &'a str>>(strings: I) -> Self {
        strings.into_iter().map(|text| (text, 1)).collect()
    }
}
