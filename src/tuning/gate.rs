//! How many calls to one model may be under way at once: found out by additive increase and multiplicative decrease.
//!
//! As TCP finds its window (D.-M. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for congestion
//! avoidance in computer networks", 1989): with each call that went well while nearly all places were taken there is a
//! little more room; where the upstream says that it is too much (429, 503), lets calls run out of time, or becomes twice
//! as slow as it used to be, there is less.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the limit after a sign of overload.
const DECREASE: f64 = 0.75;
/// What is left of it where the upstream has become slow.
const EASE: f64 = 0.9;
/// Calls that were under way together tell of one overload, not of many: there is one sign in the time that a call takes,
/// and in so much at most.
const PAUSE: Duration = Duration::from_secs(1);
/// And in so much at least.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Within one place of where it last was too much, the limit grows by so much of what it grows by otherwise.
const CAREFUL: f64 = 0.1;
/// So many times as slow as usual is a sign.
const SLOW: f64 = 2.0;
/// With so few calls nothing is usual yet.
const USUAL: u32 = 50;
/// The share of the places that are taken from which on more of them mean something.
const BUSY: f64 = 0.8;

/// The limit of one model, and what it is found out by.
#[derive(Debug, Clone)]
pub(super) struct Window {
    least: f64,
    most: f64,
    limit: f64,
    decreased: Option<Instant>,
    /// Where it was too much last.
    ceiling: f64,
    /// How long calls take that go well.
    time: Time,
    /// Of whole answers, and of streams.
    pace: [Pace; 2],
}

/// How fast answers come: now, and usually.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    calls: u32,
    now: f64,
    usual: f64,
}

/// How long calls take, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    calls: u32,
    mean: f64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    /// Well: in so many seconds, for each 100 tokens of a whole answer, or until a stream's head.
    Well { seconds: f64, is_stream: bool },
    /// The upstream says that it is too much, or ran out of time.
    Overload,
    /// In a way that says nothing of the upstream's load.
    Otherwise,
}

impl Window {
    pub(super) fn new(least: usize, most: usize) -> Self {
        let most = float(most.max(1));
        Self {
            least: float(least.max(1)).min(most),
            most,
            limit: most,
            decreased: None,
            ceiling: most,
            time: Time::default(),
            pace: [Pace::default(); 2],
        }
    }

    /// So many calls may be under way.
    pub(super) fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between two counts"
        )]
        let limit = self.limit as usize;
        limit
    }

    /// Whether there are fewer places than there could be, by more than what comes and goes.
    pub(super) fn is_narrow(&self) -> bool {
        self.limit < self.most * 0.9
    }

    /// All places are there again.
    pub(super) fn open(&mut self) {
        (self.limit, self.ceiling) = (self.most, self.most);
    }

    /// A call ended that took so long, of so many that were under way with it.
    pub(super) fn ended(
        &mut self,
        outcome: Outcome,
        in_flight: usize,
        took: Duration,
        now: Instant,
    ) {
        match outcome {
            Outcome::Overload => {
                let before = self.limit;
                if self.decrease(DECREASE, self.time.pause(), now) {
                    self.ceiling = before;
                }
            }
            Outcome::Well { seconds, is_stream } => {
                self.time.note(took);
                let [whole, stream] = &mut self.pace;
                let pace = if is_stream { stream } else { whole };
                if pace.note(seconds) {
                    self.decrease(EASE, PAUSE, now);
                } else if float(in_flight) >= self.limit * BUSY {
                    let is_near = (self.limit - self.ceiling).abs() < 1.0;
                    let more = if is_near { CAREFUL } else { 1.0 };
                    self.limit = (self.limit + more / self.limit).min(self.most);
                }
            }
            Outcome::Otherwise => {}
        }
    }

    /// Lowers the limit, unless that was done within `pause`; says whether.
    fn decrease(&mut self, factor: f64, pause: Duration, now: Instant) -> bool {
        let is_same = self
            .decreased
            .is_some_and(|at| now.saturating_duration_since(at) < pause);
        if is_same {
            return false;
        }
        self.decreased = Some(now);
        // Of the limit, not of the calls under way: one refusal among few calls says little about many.
        self.limit = (self.limit * factor).max(self.least);
        true
    }
}

impl Time {
    fn note(&mut self, took: Duration) {
        self.calls = self.calls.saturating_add(1);
        self.mean += (took.as_secs_f64() - self.mean) / f64::from(self.calls).min(32.0);
    }

    /// In which there is one sign of overload.
    fn pause(&self) -> Duration {
        if self.calls == 0 {
            return PAUSE;
        }
        let mean = Duration::try_from_secs_f64(self.mean).unwrap_or(PAUSE);
        mean.clamp(SHORTEST_PAUSE, PAUSE)
    }
}

impl Pace {
    /// Takes a call in and says whether calls have become slow.
    fn note(&mut self, seconds: f64) -> bool {
        self.calls = self.calls.saturating_add(1);
        // Averages from the first call on; later ones forget.
        let calls = f64::from(self.calls);
        self.now += (seconds - self.now) / calls.min(16.0);
        self.usual += (seconds - self.usual) / calls.min(512.0);
        let is_slow = self.calls >= USUAL && self.now > self.usual * SLOW;
        if is_slow {
            // What is slow for long is how it is now.
            self.usual *= 1.01;
        }
        is_slow
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls under way")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Outcome = Outcome::Well {
        seconds: 1.0,
        is_stream: false,
    };

    /// An upstream that stands so many calls at once, asked by more: how the limit ends, and the share of the calls
    /// that were too many, in the first rounds and in the last.
    fn simulate(capacity: usize) -> (usize, f64, f64) {
        simulate_calls_of(Duration::from_secs(2), capacity)
    }

    /// The same where each call that goes well takes so long.
    fn simulate_calls_of(time: Duration, capacity: usize) -> (usize, f64, f64) {
        let mut window = Window::new(4, 100);
        let mut now = Instant::now();
        let mut shares = Vec::new();
        for _ in 0..400 {
            let calls = window.limit();
            for n in 0..calls {
                let outcome = if n < capacity {
                    WELL
                } else {
                    Outcome::Overload
                };
                window.ended(outcome, calls, time, now);
            }
            shares.push(float(calls.saturating_sub(capacity)) / float(calls));
            now += time;
        }
        let mean = |shares: &[f64]| shares.iter().sum::<f64>() / float(shares.len());
        (window.limit(), mean(&shares[..5]), mean(&shares[200..]))
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_settles_where_the_upstream_stands_it() {
        let (limit, first, last) = simulate(20);
        assert!((14..=21).contains(&limit), "{limit}");
        assert!(first > 0.3, "{first}");
        assert!(last < 0.02, "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_so_too_where_calls_are_short_and_places_few() {
        for capacity in [6, 20] {
            let (limit, _, last) = simulate_calls_of(Duration::from_millis(50), capacity);
            assert!(
                (capacity * 2 / 3..=capacity + 1).contains(&limit),
                "{limit}"
            );
            assert!(last < 0.03, "{last}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_stands_everything_is_not_held_back() {
        assert_eq!(simulate(1_000).0, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn many_refusals_at_once_are_one_sign_and_the_bound_holds() {
        let mut window = Window::new(4, 100);
        let now = Instant::now();
        for _ in 0..50 {
            window.ended(Outcome::Overload, 100, PAUSE, now);
        }
        assert_eq!(window.limit(), 75);
        for n in 1..50 {
            window.ended(Outcome::Overload, 75, PAUSE, now + PAUSE * n);
        }
        assert_eq!(window.limit(), 4);
        assert!(window.is_narrow());
        window.ended(Outcome::Otherwise, 4, PAUSE, now + PAUSE * 60);
        assert_eq!(window.limit(), 4);
        window.open();
        assert_eq!(window.limit(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn one_refusal_among_few_calls_costs_a_quarter() {
        let mut window = Window::new(4, 100);
        window.ended(Outcome::Overload, 1, PAUSE, Instant::now());
        assert_eq!(window.limit(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn what_becomes_slow_is_asked_less_until_that_is_how_it_is() {
        let mut window = Window::new(4, 100);
        let mut now = Instant::now();
        let mut call = |seconds| {
            now += Duration::from_secs(2);
            let outcome = Outcome::Well {
                seconds,
                is_stream: true,
            };
            window.ended(outcome, 100, PAUSE, now);
            window.limit()
        };
        for _ in 0..1_000 {
            call(1.0);
        }
        assert_eq!(call(1.5), 100);
        for _ in 0..60 {
            call(5.0);
        }
        let narrow = call(5.0);
        assert!(narrow < 50, "{narrow}");
        for _ in 0..5_000 {
            call(5.0);
        }
        assert!(call(5.0) > 90);
    }
}
