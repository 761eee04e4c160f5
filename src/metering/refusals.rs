//! Counts the answers that were not kept, by what kept them out.

use super::Counter;
use crate::chat::Quality;
use crate::store::NotKept;

/// Why an upstream's answer is not in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is of a kind that is not admitted.
    Quality(Quality),
    /// There is no complete answer: an error status, a stream that was cut or cannot be put together.
    Error,
    /// The store did not take it.
    NotKept(NotKept),
}

/// A counter for each [`Refusal`].
#[derive(Debug, Default)]
pub struct Refusals {
    qualities: [Counter; Quality::ALL.len()],
    errors: Counter,
    too_large: Counter,
    cleared: Counter,
}

// === impl Refusals ===

impl Refusals {
    /// Counts one.
    pub fn add(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Quality(quality) => &self.qualities[quality as usize],
            Refusal::Error => &self.errors,
            Refusal::NotKept(NotKept::TooLarge) => &self.too_large,
            Refusal::NotKept(NotKept::Cleared) => &self.cleared,
        };
        counter.add(1);
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.by_reason().map(|(_, count)| count).sum()
    }

    /// Every reason with its count, those that never came included.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let qualities = Quality::ALL.iter().map(|quality| quality.as_str());
        let others = [
            ("error", &self.errors),
            ("too_large", &self.too_large),
            ("cleared", &self.cleared),
        ];
        qualities
            .zip(&self.qualities)
            .chain(others)
            .map(|(reason, counter)| (reason, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let refusals = Refusals::default();
        let qualities = Quality::ALL.map(Refusal::Quality);
        let others = [
            Refusal::Error,
            Refusal::NotKept(NotKept::TooLarge),
            Refusal::NotKept(NotKept::Cleared),
        ];
        let all: Vec<_> = qualities.into_iter().chain(others).collect();
        for (at, refusal) in all.iter().enumerate() {
            for _ in 0..=at {
                refusals.add(*refusal);
            }
        }
        let counts: Vec<_> = refusals.by_reason().map(|(_, count)| count).collect();
        let expected: Vec<_> = (1..=all.len() as u64).collect();
        assert_eq!(counts, expected);
        assert_eq!(refusals.total(), expected.iter().sum::<u64>());
        let names: BTreeMap<_, _> = refusals.by_reason().collect();
        assert_eq!(names.len(), all.len());
        assert_eq!((names["stop"], names["cleared"]), (1, all.len() as u64));
    }
}
