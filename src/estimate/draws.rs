//! What a log does not tell, drawn from what it tells of other answers, or else assumed: always the same for the same
//! request at the same place.

use std::time::Duration;

/// The lengths, in tokens, of answers of a log that tells none: 200 in the median, 295 in the mean.
pub(super) const ASSUMED_TOKENS: [u64; 10] = [20, 50, 90, 130, 180, 220, 310, 450, 600, 900];
/// How long an answer takes that does not say so, and how much longer with each of its tokens.
pub(super) const FIRST_TOKEN: Duration = Duration::from_millis(500);
pub(super) const EACH_TOKEN: Duration = Duration::from_millis(20);

/// So many of the answers that were observed are drawn from.
const SAMPLE: usize = 1_024;

/// What was observed so far.
#[derive(Default)]
pub(super) struct Draws {
    tokens: Sample,
    latencies: Sample,
}

#[derive(Default)]
struct Sample {
    observed: Vec<u64>,
    count: u64,
}

// === impl Draws ===

impl Draws {
    /// An answer was recorded with so many tokens.
    pub(super) fn observe_tokens(&mut self, tokens: u64) {
        self.tokens.observe(tokens);
    }

    /// An answer was recorded to have taken so long.
    pub(super) fn observe_latency(&mut self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.latencies.observe(millis);
    }

    /// The length of an answer, by the digest of its request.
    pub(super) fn tokens(&self, seed: u64) -> u64 {
        let assumed = || ASSUMED_TOKENS[usize_of(seed) % ASSUMED_TOKENS.len()];
        self.tokens.draw(seed).unwrap_or_else(assumed)
    }

    /// How long an answer of so many tokens took.
    pub(super) fn latency(&self, seed: u64, tokens: u64) -> Duration {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let assumed = || FIRST_TOKEN.saturating_add(EACH_TOKEN.saturating_mul(tokens));
        let drawn = self.latencies.draw(seed.rotate_left(32));
        drawn.map_or_else(assumed, Duration::from_millis)
    }
}

// === impl Sample ===

impl Sample {
    /// The sample keeps its size: a further value takes the place of another.
    fn observe(&mut self, value: u64) {
        self.count += 1;
        if self.observed.len() < SAMPLE {
            self.observed.push(value);
            return;
        }
        // Each value is in it with the same probability (Vitter's algorithm R), on draws that repeat.
        let place = mix(self.count) % self.count;
        if let Some(known) = self.observed.get_mut(usize_of(place)) {
            *known = value;
        }
    }

    fn draw(&self, seed: u64) -> Option<u64> {
        let place = usize_of(mix(seed)).checked_rem(self.observed.len())?;
        self.observed.get(place).copied()
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number & 0xffff_ffff).unwrap_or(0)
}

/// `SplitMix64`'s finaliser.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_observed_is_assumed_and_always_the_same() {
        let mut draws = Draws::default();
        let mean = (0..10).map(|seed| draws.tokens(seed)).sum::<u64>() / 10;
        assert_eq!(mean, 295);
        assert_eq!(draws.latency(7, 100), Duration::from_millis(2_500));
        draws.observe_tokens(33);
        draws.observe_latency(Duration::from_millis(70));
        assert!((0..100).all(|seed| draws.tokens(seed) == 33));
        assert_eq!(draws.latency(7, 100), Duration::from_millis(70));
    }

    #[test]
    fn a_long_log_is_drawn_from_all_along() {
        let mut draws = Draws::default();
        (0..100_000).for_each(|tokens| draws.observe_tokens(tokens));
        let some: Vec<_> = (0..1_000).map(|seed| draws.tokens(seed)).collect();
        let early = some.iter().filter(|tokens| **tokens < 50_000).count();
        assert!((400..600).contains(&early), "{early}");
    }
}
