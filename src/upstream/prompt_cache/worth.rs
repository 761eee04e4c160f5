//! Whether marking a model's prompts pays: what it saved against what it cost, and when to stop.

use std::time::Duration;

use tokio::time::Instant;

/// It is judged after so many calls,
const CALLS: u32 = 32;
/// and not before twice the provider's life of a prompt: what is put into its cache is used after.
const WINDOW: Duration = Duration::from_mins(10);
/// Where it does not pay it is tried again after this, then after twice as long,
const PAUSE: Duration = Duration::from_hours(1);
/// up to a day. What the upstream refuses is tried again after a day.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// What came of marking one model's prompts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Worth {
    window: Sums,
    since: Option<Instant>,
    /// Stopped until then.
    stopped: Option<Instant>,
    pause: Duration,
}

/// What a window came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) calls: u32,
    pub(super) read_tokens: u64,
    pub(super) written_tokens: u64,
    /// In nano-dollars.
    pub(super) saved: u64,
    /// In nano-dollars.
    pub(super) dearer: u64,
    pub(super) time: Duration,
}

/// What follows from a window.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It pays.
    Pays(Sums),
    /// It does not: nothing is marked for so long.
    Stop(Sums, Duration),
}

/// Whether prompts are marked at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// They are.
    On,
    /// They are from now on, after a stop.
    OnAgain,
    /// They are not.
    Off,
}

// === impl Worth ===

impl Worth {
    /// Whether prompts are marked.
    pub(super) fn state(&mut self, now: Instant) -> State {
        match self.stopped {
            None => State::On,
            Some(until) if now < until => State::Off,
            Some(_) => {
                self.stopped = None;
                State::OnAgain
            }
        }
    }

    /// Stops for so long.
    pub(super) fn stop(&mut self, now: Instant, pause: Duration) {
        self.stopped = Some(now + pause);
        (self.window, self.since) = (Sums::default(), None);
    }

    /// A marked call has come to this.
    pub(super) fn note(&mut self, call: Sums, now: Instant) -> Option<Verdict> {
        let since = *self.since.get_or_insert(now);
        self.window = self.window.plus(call);
        let time = now.duration_since(since);
        if self.window.calls < CALLS || time < WINDOW {
            return None;
        }
        let sums = Sums {
            time,
            ..self.window
        };
        (self.window, self.since) = (Sums::default(), None);
        if sums.saved >= sums.dearer {
            self.pause = PAUSE;
            return Some(Verdict::Pays(sums));
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        self.stop(now, pause);
        Some(Verdict::Stop(sums, pause))
    }
}

impl Default for Worth {
    fn default() -> Self {
        Self {
            window: Sums::default(),
            since: None,
            stopped: None,
            pause: PAUSE,
        }
    }
}

// === impl Sums ===

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            read_tokens: self.read_tokens + other.read_tokens,
            written_tokens: self.written_tokens + other.written_tokens,
            saved: self.saved.saturating_add(other.saved),
            dearer: self.dearer.saturating_add(other.dearer),
            time: self.time,
        }
    }

    /// What it brings in a day, in dollars, if it goes on like this.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an extrapolation is not exact to the nano-dollar"
    )]
    pub(super) fn usd_per_day(&self) -> f64 {
        let gain = self.saved as f64 - self.dearer as f64;
        let days = self.time.as_secs_f64() / 86_400.0;
        if days > 0.0 { gain / 1e9 / days } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(saved: u64, dearer: u64) -> Sums {
        Sums {
            calls: 1,
            saved,
            dearer,
            ..Sums::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pay_is_stopped_and_tried_again_ever_later() {
        let mut worth = Worth::default();
        let mut window = async |saved, dearer| {
            let mut verdict = None;
            for _ in 0..2 * CALLS {
                assert_eq!(verdict, None);
                verdict = worth.note(call(saved, dearer), Instant::now());
                tokio::time::advance(WINDOW / (2 * CALLS - 1)).await;
                // The division rounds down.
                tokio::time::advance(Duration::from_nanos(1)).await;
            }
            let begun = Instant::now();
            if worth.state(begun) == State::On {
                return (verdict, Duration::ZERO);
            }
            let until = worth.stopped.unwrap();
            assert_eq!(worth.state(begun + (until - begun) / 2), State::Off);
            tokio::time::advance(until - begun).await;
            assert_eq!(worth.state(Instant::now()), State::OnAgain);
            assert_eq!(worth.state(Instant::now()), State::On);
            (verdict, until - begun)
        };
        for (hours, (saved, dearer)) in [
            (0, (3, 2)),
            (1, (1, 2)),
            (2, (1, 2)),
            (4, (0, 2)),
            (0, (2, 2)),
            (1, (1, 2)),
        ] {
            let (verdict, pause) = window(saved, dearer).await;
            let is_stop = matches!(verdict, Some(Verdict::Stop(..)));
            assert_eq!(is_stop, hours > 0, "{verdict:?}");
            let expected = Duration::from_hours(hours);
            assert!(pause <= expected && pause + Duration::from_mins(1) > expected);
        }
    }
}
