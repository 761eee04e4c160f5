//! How likely it is that something is asked, and how much such a likelihood was worth before.

use std::time::Duration;

use tokio::time::Instant;

/// Forecasts are told apart by tenths.
const TENTHS: usize = 10;
/// What came of a forecast so many forecasts ago counts half.
const HALF_LIFE: f64 = 256.0;
/// A forecast is worth half of what it says, as if that had been seen so often.
const PRIOR: f64 = 2.0;

/// How often something is asked: a count that fades, with a half-life of a quarter of its answer's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    count: f64,
    at: Instant,
    begun: Instant,
}

/// Why something may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It was asked again and again.
    Renewal,
    /// It usually follows what was just asked.
    Follower,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Renewal, Self::Follower];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renewal => "renewal",
            Self::Follower => "follower",
        }
    }
}

/// What became of forecasts, by what they said.
#[derive(Debug, Clone, Default)]
pub(super) struct Calibration {
    /// How many there were, and how many came true.
    tenths: [[(f64, f64); TENTHS]; 2],
}

// === impl Demand ===

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            count: 0.0,
            at: now,
            begun: now,
        }
    }

    fn faded(&self, ttl: Duration, now: Instant) -> f64 {
        let past = now.duration_since(self.at).as_secs_f64();
        self.count * (-past / half_life(ttl)).exp2()
    }

    /// It is asked.
    pub(super) fn asked(&mut self, ttl: Duration, now: Instant) {
        self.count = self.faded(ttl, now) + 1.0;
        self.at = now;
    }

    /// How likely it is to be asked within `window`, if it is asked as often as lately: by Poisson.
    pub(super) fn likelihood(&self, ttl: Duration, window: Duration, now: Instant) -> f64 {
        // A count that has not had the time to fade stands for the time that it had.
        let life = half_life(ttl) / std::f64::consts::LN_2;
        let seen = now.duration_since(self.begun).as_secs_f64();
        let span = life * (1.0 - (-seen / life).exp());
        let rate = self.faded(ttl, now) / span.max(1.0);
        1.0 - (-rate * window.as_secs_f64()).exp()
    }
}

fn half_life(ttl: Duration) -> f64 {
    (ttl.as_secs_f64() / 4.0).max(1.0)
}

// === impl Calibration ===

impl Calibration {
    /// What a forecast is worth by those before it.
    pub(super) fn adjust(&self, kind: Kind, forecast: f64) -> f64 {
        let (made, true_) = self.tenths[kind as usize][tenth(forecast)];
        PRIOR.mul_add(forecast / 2.0, true_) / (made + PRIOR)
    }

    /// What became of one.
    pub(super) fn note(&mut self, kind: Kind, forecast: f64, came_true: bool) {
        let fade = 1.0 - std::f64::consts::LN_2 / HALF_LIFE;
        let (made, true_) = &mut self.tenths[kind as usize][tenth(forecast)];
        *made = made.mul_add(fade, 1.0);
        *true_ = true_.mul_add(fade, if came_true { 1.0 } else { 0.0 });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a likelihood is from 0 to 1, and casts saturate"
)]
fn tenth(likelihood: f64) -> usize {
    ((likelihood * 10.0) as usize).min(TENTHS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_mins(10);

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_often_will_be_and_what_was_a_burst_was_one() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let (mut steady, mut burst, mut rare) =
            (Demand::new(begun), Demand::new(begun), Demand::new(begun));
        for n in 0..20 {
            steady.asked(TTL, at(30 * n));
            burst.asked(TTL, at(n));
        }
        rare.asked(TTL, begun);
        let likelihood = |demand: &Demand| demand.likelihood(TTL, TTL, at(600));
        assert!(likelihood(&steady) > 0.99);
        let later = |demand: &Demand| demand.likelihood(TTL, TTL, at(1_800));
        assert!(later(&burst) < 0.1, "{}", later(&burst));
        assert!(likelihood(&rare) < 0.3, "{}", likelihood(&rare));
    }

    #[test]
    fn forecasts_are_worth_what_came_of_those_before_them() {
        let mut calibration = Calibration::default();
        assert!((calibration.adjust(Kind::Renewal, 0.9) - 0.45).abs() < 1e-9);
        for n in 0..1_000 {
            calibration.note(Kind::Renewal, 0.95, n % 10 < 8);
            calibration.note(Kind::Follower, 0.95, false);
        }
        assert!((calibration.adjust(Kind::Renewal, 0.99) - 0.8).abs() < 0.02);
        assert!(calibration.adjust(Kind::Follower, 0.99) < 0.01);
        // Of others nothing is known.
        assert!((calibration.adjust(Kind::Renewal, 0.5) - 0.25).abs() < 1e-9);
        // It learns that times have changed.
        for _ in 0..1_000 {
            calibration.note(Kind::Renewal, 0.95, false);
        }
        assert!(calibration.adjust(Kind::Renewal, 0.95) < 0.1);
    }
}
