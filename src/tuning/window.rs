//! What was asked again between two looks: a sample of it, of which one can ask what other settings would have done.

use std::time::Duration;

use tokio::time::Instant;

use super::reuse::Between;
use crate::request::Route;

/// So many uses are kept (40 bytes each).
const MOST: usize = 8_192;

/// The uses of kept answers since its beginning.
pub(super) struct Window {
    begun: Instant,
    /// An even sample of them (J. S. Vitter's algorithm R, 1985).
    uses: Vec<Use>,
    seen: u64,
    /// Questions that were followed.
    asked: u64,
    dice: fastrand::Rng,
}

/// The use of an answer that was kept, whether the cache still had it or not.
#[derive(Debug, Clone, Copy)]
struct Use {
    route: Route,
    entries: f64,
    bytes: f64,
    age: Duration,
    /// For how many it stands.
    weight: f64,
}

/// Settings of a cache, of which a window can be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setting {
    /// `cache.max_entries`
    pub entries: u64,
    /// `cache.max_bytes`
    pub bytes: u64,
    /// The time of each endpoint.
    pub ttl: [Duration; Route::ALL.len()],
}

impl Window {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            uses: Vec::new(),
            seen: 0,
            asked: 0,
            // The same draws each time: of two runs with the same traffic neither decides otherwise.
            dice: fastrand::Rng::with_seed(7),
        }
    }

    /// How long ago it began.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// So many questions were followed.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// A question was asked, for `weight` of them; of an answer that was kept it is known what lies between.
    pub(super) fn note(&mut self, route: Route, between: Option<Between>, weight: f64) {
        self.asked += 1;
        let Some(between) = between else { return };
        let one = Use {
            route,
            entries: between.entries,
            bytes: between.bytes,
            age: between.age,
            weight,
        };
        self.seen += 1;
        if self.uses.len() < MOST {
            self.uses.push(one);
            return;
        }
        let place = usize::try_from(self.dice.u64(0..self.seen)).unwrap_or(usize::MAX);
        if let Some(old) = self.uses.get_mut(place) {
            *old = one;
        }
    }

    /// How many of them a cache with this setting would have answered.
    pub(super) fn hits(&self, setting: &Setting) -> f64 {
        self.count(|one| setting.has_room(one) && one.age <= setting.ttl[one.route as usize])
    }

    /// The ages of what a cache of this capacity would have had for an endpoint, whatever its time: with what each
    /// stands for, in order.
    pub(super) fn ages(&self, setting: &Setting, route: Route) -> Vec<(Duration, f64)> {
        let scale = self.scale();
        let ours = self.uses.iter();
        let ours = ours.filter(|one| one.route == route && setting.has_room(one));
        let mut ages: Vec<_> = ours.map(|one| (one.age, one.weight * scale)).collect();
        ages.sort_by_key(|(age, _)| *age);
        ages
    }

    fn count(&self, wanted: impl Fn(&Use) -> bool) -> f64 {
        let uses = self.uses.iter().filter(|one| wanted(one));
        uses.map(|one| one.weight).sum::<f64>() * self.scale()
    }

    /// For how many of those that were seen each one stands that is kept.
    fn scale(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let scale = self.seen as f64 / self.uses.len().max(1) as f64;
        scale
    }
}

impl Setting {
    #[expect(clippy::cast_precision_loss, reason = "bounds of a cache in memory")]
    fn has_room(&self, one: &Use) -> bool {
        one.entries < self.entries as f64 && one.bytes <= self.bytes as f64
    }

    /// The time of an endpoint.
    pub(super) fn ttl_of(&self, route: Route) -> Duration {
        self.ttl.get(route as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sample_stands_for_all_of_them() {
        let mut window = Window::new(Instant::now());
        for n in 0..100_000_u32 {
            let between = Between {
                entries: f64::from(n % 1_000),
                bytes: 10.0,
                age: Duration::from_secs(u64::from(n % 60)),
            };
            window.note(Route::Create, Some(between), 2.0);
            window.note(Route::Create, None, 2.0);
        }
        let setting = |entries, secs| Setting {
            entries,
            bytes: 10,
            ttl: [Duration::from_secs(secs); Route::ALL.len()],
        };
        assert_eq!(window.asked(), 200_000);
        assert!(window.uses.len() <= MOST);
        for (setting, expected) in [
            (setting(1_000, 60), 200_000.0),
            (setting(500, 60), 100_000.0),
            (setting(1_000, 29), 100_000.0),
        ] {
            let ratio = window.hits(&setting) / expected;
            assert!((0.96..1.04).contains(&ratio), "{ratio}");
        }
        let no_room = Setting {
            bytes: 9,
            ..setting(1_000, 60)
        };
        assert!(window.hits(&no_room) < 1.0);
        let ages = window.ages(&setting(1_000, 0), Route::Create);
        assert!(ages.is_sorted() && ages.len() == MOST);
        assert!(
            window
                .ages(&setting(1_000, 0), Route::CreateChat)
                .is_empty()
        );
    }
}
