//! How long answers are that nobody limited but the proxy, and which limit they need.

use super::words::{count, percent};

/// A limit is at least so long that this share of the answers fits in.
const FITS: f64 = 0.99;
/// And longer still by this, since tomorrow's answers are not today's.
const MARGIN: f64 = 1.25;
/// Of fewer answers nothing is concluded.
pub(super) const LEAST_ANSWERS: u64 = 300;
/// The buckets of lengths: each a tenth longer than the one before, from 16 tokens on.
const BUCKETS: usize = 96;
const FIRST: f64 = 16.0;
const STEP: f64 = 1.1;
/// Limits are whole multiples of this.
const ROUND: u32 = 50;

/// The lengths of answers under one limit.
#[derive(Debug, Clone)]
pub(super) struct Lengths {
    buckets: [u32; BUCKETS],
    /// Answers that ended by themselves.
    complete: u64,
    /// Answers that were cut off at the limit.
    cut: u64,
    /// Their tokens.
    cut_tokens: u64,
}

/// Another limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advice {
    pub limit: u32,
    /// Tokens for each request.
    pub gain: f64,
    pub evidence: String,
}

impl Default for Lengths {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            complete: 0,
            cut: 0,
            cut_tokens: 0,
        }
    }
}

impl Lengths {
    /// An answer ended by itself after so many tokens.
    pub(super) fn ended(&mut self, tokens: u64) {
        self.complete += 1;
        if let Some(bucket) = self.buckets.get_mut(bucket_of(tokens)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// An answer was cut off after so many tokens.
    pub(super) fn cut_off(&mut self, tokens: u64) {
        self.cut += 1;
        self.cut_tokens = self.cut_tokens.saturating_add(tokens);
    }

    /// Answers so far.
    pub(super) fn all(&self) -> u64 {
        self.complete.saturating_add(self.cut)
    }

    /// The share of answers that were cut off.
    pub(super) fn cut_share(&self) -> f64 {
        ratio(self.cut, self.all())
    }

    /// Tokens that were paid for answers that had to be asked for again, for each request.
    pub(super) fn wasted(&self) -> f64 {
        ratio(self.cut_tokens, self.all())
    }

    /// The length that so many of the answers do not exceed which ended by themselves or would have; `None` where more
    /// than that were cut.
    fn fits(&self) -> Option<f64> {
        let needed = FITS * float(self.all());
        let mut sum = 0.0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            sum += f64::from(*bucket);
            if sum >= needed {
                return Some(top_of(index));
            }
        }
        None
    }

    /// Another limit than this one that pays, within bounds, once enough answers came.
    pub(super) fn advise(&self, limit: u32, (least, most): (u32, u32)) -> Option<Advice> {
        if self.all() < LEAST_ANSWERS {
            return None;
        }
        let answers = count(float(self.all()));
        if self.cut_share() > 1.0 - FITS {
            let higher = limit.saturating_mul(2).min(most);
            let evidence = format!(
                "Of {answers} answers {} were cut off at {limit} tokens, a limit that no client asked for: {} tokens a request were paid \
                 for answers that nobody could use whole.",
                percent(self.cut_share()),
                count(self.wasted()),
            );
            let advice = Advice {
                limit: higher,
                gain: self.wasted(),
                evidence,
            };
            return (higher > limit).then_some(advice);
        }
        let needed = round(self.fits()? * MARGIN).clamp(least, most);
        // A little less room would free next to nothing.
        if needed > limit / 4 * 3 {
            return None;
        }
        let evidence = format!(
            "Of {answers} answers 99 % had at most {} tokens, and {} were cut off. A limit of {needed} leaves a quarter more than that, and \
             frees what providers reserve for each request up to {limit}.",
            count(self.fits()?),
            count(float(self.cut)),
        );
        Some(Advice {
            limit: needed,
            gain: f64::from(limit - needed),
            evidence,
        })
    }
}

fn bucket_of(tokens: u64) -> usize {
    let position = (float(tokens.max(1)) / FIRST).log(STEP).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is clamped to the buckets"
    )]
    let index = position.clamp(0.0, float(BUCKETS as u64 - 1)) as usize;
    index
}

/// The longest answer of a bucket.
fn top_of(bucket: usize) -> f64 {
    FIRST * STEP.powf(float(bucket as u64))
}

/// Up to the next multiple.
fn round(tokens: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is saturated"
    )]
    let tokens = tokens.ceil() as u32;
    tokens.div_ceil(ROUND).saturating_mul(ROUND)
}

#[expect(clippy::cast_precision_loss, reason = "counts that are shown")]
fn float(n: u64) -> f64 {
    n as f64
}

fn ratio(part: u64, all: u64) -> f64 {
    float(part) / float(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_never_reached_comes_down_to_what_99_percent_need() {
        let mut lengths = Lengths::default();
        for n in 0..1_000 {
            lengths.ended(if n % 200 == 0 { 1_900 } else { 300 + n % 100 });
        }
        let advice = lengths.advise(2_000, (256, 16_000)).unwrap();
        // 399 tokens, the top of its bucket, and a quarter more.
        assert!((500..=600).contains(&advice.limit), "{}", advice.limit);
        assert!(advice.limit >= 399);
        assert!((advice.gain - f64::from(2_000 - advice.limit)).abs() < 0.001);
        // Once there, it stays.
        assert_eq!(lengths.advise(advice.limit, (256, 16_000)), None);
        // The bound counts.
        let bound = lengths.advise(2_000, (1_000, 16_000)).unwrap();
        assert_eq!(bound.limit, 1_000);
    }

    #[test]
    fn a_limit_that_cuts_goes_up() {
        let mut lengths = Lengths::default();
        for n in 0..1_000 {
            if n % 50 == 0 {
                lengths.cut_off(2_000);
            } else {
                lengths.ended(500);
            }
        }
        let advice = lengths.advise(2_000, (256, 16_000)).unwrap();
        assert_eq!((advice.limit, advice.gain), (4_000, 40.0));
        assert_eq!(lengths.advise(16_000, (256, 16_000)), None);
    }

    #[test]
    fn a_few_answers_say_nothing() {
        let mut lengths = Lengths::default();
        for _ in 1..LEAST_ANSWERS {
            lengths.ended(20);
        }
        assert_eq!(lengths.advise(2_000, (16, 16_000)), None);
        lengths.ended(20);
        assert!(lengths.advise(2_000, (16, 16_000)).is_some());
    }

    #[test]
    fn all_lengths_have_a_bucket_that_they_do_not_exceed() {
        for tokens in [0, 1, 16, 17, 100, 4_000, 100_000, 130_000] {
            assert!(top_of(bucket_of(tokens)) >= float(tokens), "{tokens}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
