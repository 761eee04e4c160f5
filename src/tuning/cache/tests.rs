use tokio::time::Instant;

use super::*;
use crate::tuning::reuse::Reuse;

const BOUNDS: Bounds = Bounds {
    entries: (100, 100_000),
    max_bytes: 1 << 30,
    ttl: (Duration::from_mins(5), Duration::from_hours(24)),
};

/// A traffic in the eyes of a cache with `ttl` and room for all: a question a second.
struct Traffic {
    reuse: Reuse,
    window: Window,
    begun: Instant,
    now: Instant,
    ttl: Duration,
}

impl Traffic {
    fn new(ttl: Duration) -> Self {
        let now = Instant::now();
        Self {
            reuse: Reuse::default(),
            window: Window::new(now),
            begun: now,
            now,
            ttl,
        }
    }

    fn ask(&mut self, question: u64) {
        self.now += Duration::from_secs(1);
        let key = question.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let between = self.reuse.asked(key, self.now);
        if between.is_none_or(|between| between.age > self.ttl) {
            self.reuse.stored(key, 2_000, self.now);
        }
        self.window
            .note(Route::Create, between, self.reuse.weight());
    }

    fn scales(&self, worth: f64) -> Scales<'_> {
        Scales {
            window: &self.window,
            reuse: &self.reuse,
            length: self.now - self.begun,
            now: self.now,
            life: Duration::from_hours(25),
            worth,
            entry_bytes: 2_000.0,
            memory: 5.0,
            bounds: BOUNDS,
        }
    }
}

fn setting(entries: u64, ttl: Duration) -> Setting {
    Setting {
        entries,
        bytes: 256 << 20,
        ttl: [ttl; Route::ALL.len()],
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_a_little_too_late_wants_more_room() {
    let mut traffic = Traffic::new(Duration::from_hours(24));
    // In turns, 1,500 questions: a cache for 1,000 of the least recently used has none of them.
    for n in 0..15_000 {
        traffic.ask(n % 1_500);
    }
    let current = setting(1_000, Duration::from_hours(24));
    let scales = traffic.scales(0.002);
    assert!(scales.window.hits(&current) < 1.0);
    let advice = scales.capacity(&current).unwrap();
    assert_eq!(advice.to.entries, 2_000);
    assert!(advice.gain > 100.0, "{}", advice.gain);
    assert!(
        advice.evidence.contains("13,500 more"),
        "{}",
        advice.evidence
    );
    // Where all have room, more of it brings nothing.
    assert_eq!(scales.capacity(&advice.to), None);
}

#[tokio::test(start_paused = true)]
async fn room_that_nothing_comes_back_to_is_given_up_only_if_it_costs_anything() {
    let mut traffic = Traffic::new(Duration::from_hours(24));
    for n in 0..20_000 {
        traffic.ask(n);
    }
    let current = setting(20_000, Duration::from_hours(24));
    assert_eq!(traffic.scales(0.002).capacity(&current), None);
    let dear = Scales {
        memory: 5_000.0,
        ..traffic.scales(0.002)
    };
    let advice = dear.capacity(&current).unwrap();
    assert_eq!(advice.to.entries, 10_000);
    assert!(
        advice.evidence.contains("0 fewer") || advice.evidence.contains("0 more"),
        "{}",
        advice.evidence
    );
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_asked_for_when_they_have_just_expired_want_to_live_longer() {
    let mut traffic = Traffic::new(Duration::from_hours(1));
    // Each comes back after an hour and a half.
    for n in 0..54_000 {
        traffic.ask(n % 5_400);
    }
    let current = setting(100_000, Duration::from_hours(1));
    let scales = traffic.scales(0.002);
    assert_eq!(scales.capacity(&current), None);
    let advice = scales.ttl(&current, Route::Create).unwrap();
    assert_eq!(advice.to.ttl_of(Route::Create), Duration::from_mins(90));
    assert_eq!(advice.to.ttl_of(Route::CreateChat), Duration::from_hours(1));
    assert!(advice.gain > 1.0);
    assert_eq!(scales.ttl(&current, Route::CreateChat), None);
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_asks_for_when_they_are_old_need_not_live_long() {
    let mut traffic = Traffic::new(Duration::from_hours(1));
    // Each is asked for twice within two minutes, and never again.
    for n in 0..12_000 {
        traffic.ask(n / 120 * 60 + n % 60);
    }
    let current = setting(100_000, Duration::from_hours(1));
    let advice = traffic.scales(0.002).ttl(&current, Route::Create).unwrap();
    assert_eq!(advice.to.ttl_of(Route::Create), BOUNDS.ttl.0);
    assert!(advice.gain.abs() < 0.001);
    // What was seen for less than twice its time says nothing.
    let longer = setting(100_000, Duration::from_hours(2));
    assert_eq!(traffic.scales(0.002).ttl(&longer, Route::Create), None);
}

/// Questions that never come back: nothing pays, whatever is set.
#[tokio::test(start_paused = true)]
async fn where_nothing_comes_back_nothing_is_changed() {
    let mut traffic = Traffic::new(Duration::from_hours(1));
    for n in 0..20_000 {
        traffic.ask(n);
    }
    let current = setting(1_000, Duration::from_hours(1));
    let scales = traffic.scales(0.002);
    assert_eq!(scales.capacity(&current), None);
    for route in Route::ALL {
        assert_eq!(scales.ttl(&current, route), None);
    }
}
