//! How durations are spread.

/// The borders of the buckets of latencies, in microseconds: from what a hit takes to the longest answers.
pub const BUCKETS: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 15_000_000, 60_000_000,
];

/// How many durations fell between the borders of [`BUCKETS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Those of each bucket by itself; the last one holds what is beyond all borders.
    pub counts: [u64; BUCKETS.len() + 1],
    /// All of them together, in microseconds.
    pub sum: u64,
}

impl Histogram {
    /// Adds a duration, in microseconds.
    pub fn add(&mut self, micros: u64) {
        self.counts[BUCKETS.partition_point(|border| *border < micros)] += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds another one's durations.
    pub fn add_all(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Together with another one.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.add_all(other);
        self
    }

    /// The duration that so many per mille do not exceed, in microseconds, straight between the borders of its bucket;
    /// `None` where there are none.
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (count * per_mille).div_ceil(1_000).max(1);
        let mut below = 0;
        for (at, inside) in self.counts.iter().enumerate() {
            if below + inside >= rank {
                let low = at.checked_sub(1).map_or(0, |at| BUCKETS[at]);
                let high = BUCKETS.get(at).copied().unwrap_or(low);
                return Some(low + (high - low) * (rank - below) / inside);
            }
            below += inside;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), None);
        for micros in [10, 50, 60, 99, 100, 200_000_000] {
            histogram.add(micros);
        }
        assert_eq!(histogram.counts[0], 2);
        assert_eq!(histogram.counts[1], 3);
        assert_eq!(histogram.quantile(500), Some(66));
        assert_eq!(histogram.quantile(1), Some(25));
        assert_eq!(histogram.quantile(1_000), Some(60_000_000));
        assert_eq!(histogram.plus(&histogram).count(), 12);
    }
}
