//! The loop that looks at what was seen, decides, measures what came of it and takes back what did harm.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::accesses::{Access, Accesses};
use super::cache::{Advice, Bounds, Scales};
use super::concurrency::Gates;
use super::journal::{Action, Decision, Gain, Id, Journal, Unit};
use super::limits::Limits;
use super::reuse::Reuse;
use super::takings::{Sums, Takings};
use super::times::Times;
use super::window::{Setting, Window};
use super::words::{about, bytes, duration, usd};
use crate::config::{Config, TuningMode};
use crate::metering::books::{self, Books};
use crate::request::Route;
use crate::store::Memory;

pub use standing::{Line, Standing};

mod standing;

/// What is asked and kept is taken in once in this time, while there is any.
const GATHER: Duration = Duration::from_secs(1);
/// Of fewer questions that are followed nothing is concluded.
const LEAST_ASKED: u64 = 500;
/// A window that saw too few in this time is begun anew: traffic changes.
const LONGEST_WINDOW: Duration = Duration::from_hours(24);
/// What did harm is not tried again for so long.
const HELD: Duration = Duration::from_hours(24);
/// What the window says that the cache gave may differ by so much from what it gave, as a share and in answers.
const AGREES: (f64, f64) = (0.25, 50.0);

/// What adjusts itself. Cheap to clone.
#[derive(Clone)]
pub struct Optimizer {
    shared: Arc<Shared>,
}

struct Shared {
    mode: TuningMode,
    interval: Duration,
    journal: Journal,
    /// Of the cache, where answers are kept.
    cache: Option<Cache>,
    limits: Limits,
    gates: Gates,
    desk: Mutex<Desk>,
}

/// What of the cache is watched and moved.
struct Cache {
    memory: Memory,
    times: Times,
    accesses: Arc<Accesses>,
    takings: Takings,
    bounds: Bounds,
    /// Dollars for a GiB in a month.
    memory_price: f64,
    configured: Setting,
}

/// What the loop has before it.
struct Desk {
    is_frozen: bool,
    next: Instant,
    reuse: Reuse,
    window: Window,
    trial: Option<Trial>,
    held: HashMap<What, Instant>,
    doubts: Option<String>,
}

/// What of the cache is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Capacity,
    Ttl(Route),
}

/// A change that is in force until it is known what it brings.
struct Trial {
    id: Id,
    what: What,
    before: Setting,
    after: Setting,
}

impl Optimizer {
    /// Watches this cache, if there is one; nothing where it is switched off.
    pub(crate) fn new(
        config: &Config,
        memory: Option<Memory>,
        times: &Times,
        journal: &Journal,
    ) -> Option<Self> {
        let tuning = &config.tuning;
        if tuning.mode == TuningMode::Off {
            return None;
        }
        let acts = tuning.mode == TuningMode::Act;
        let now = Instant::now();
        let cache = memory.map(|memory| {
            let accesses = Arc::new(Accesses::default());
            memory.watched_by(&accesses);
            Cache {
                memory,
                times: times.clone(),
                accesses,
                takings: Takings::default(),
                bounds: Bounds {
                    entries: (tuning.min_entries, tuning.max_entries),
                    max_bytes: tuning.max_bytes,
                    ttl: (tuning.min_ttl, tuning.max_ttl),
                },
                memory_price: tuning.memory_usd_per_gib_month,
                configured: Setting {
                    entries: config.cache.max_entries,
                    bytes: config.cache.max_bytes,
                    ttl: Route::ALL.map(|route| config.cache.ttl_of(route)),
                },
            }
        });
        let shared = Shared {
            mode: tuning.mode,
            interval: tuning.interval,
            journal: journal.clone(),
            cache,
            limits: Limits::new(config, acts),
            gates: Gates::new(config, acts),
            desk: Mutex::new(Desk {
                is_frozen: false,
                next: now + tuning.interval,
                reuse: Reuse::default(),
                window: Window::new(now),
                trial: None,
                held: HashMap::new(),
                doubts: None,
            }),
        };
        Some(Self {
            shared: Arc::new(shared),
        })
    }

    /// What takes in what is asked for, where answers are kept.
    pub fn accesses(&self) -> Option<Arc<Accesses>> {
        let cache = self.shared.cache.as_ref()?;
        Some(Arc::clone(&cache.accesses))
    }

    /// The answer limits in force.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The gates before the upstream.
    pub fn gates(&self) -> &Gates {
        &self.shared.gates
    }

    /// What is to be told of requests that are over.
    pub(crate) fn reader(&self) -> Option<Box<dyn books::Reader>> {
        Some(self.shared.cache.as_ref()?.takings.reader())
    }

    /// Looks at what was seen, again and again; at what these books have when all that is over has been read.
    pub async fn run(&self, books: Option<&Books>) -> Infallible {
        loop {
            let next = self.shared.desk.lock().next;
            tokio::select! {
                () = sleep_until(next) => {
                    if let Some(books) = books {
                        books.settled().await;
                    }
                    self.look(Instant::now());
                }
                () = self.come() => {
                    sleep(GATHER.min(self.shared.interval)).await;
                    self.take_in(Instant::now());
                }
            }
        }
    }

    async fn come(&self) {
        match &self.shared.cache {
            Some(cache) => cache.accesses.come().await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what was asked and kept.
    fn take_in(&self, now: Instant) {
        let Some(cache) = &self.shared.cache else {
            return;
        };
        let desk = &mut *self.shared.desk.lock();
        desk.reuse.lower(cache.accesses.threshold());
        let gathered = cache.accesses.take();
        for access in gathered.accesses {
            match access {
                Access::Asked { key, route } if key <= desk.reuse.threshold() => {
                    let between = desk.reuse.asked(key, now);
                    let weight = desk.reuse.weight() * gathered.weight;
                    desk.window.note(route, between, weight);
                }
                Access::Stored { key, bytes, age } if key <= desk.reuse.threshold() => {
                    let made = now.checked_sub(age).unwrap_or(now);
                    desk.reuse.stored(key, bytes, made);
                }
                Access::Cleared => desk.reuse.cleared(),
                Access::Asked { .. } | Access::Stored { .. } => {}
            }
        }
        cache.accesses.lower(desk.reuse.threshold());
    }

    /// Looks at what was seen since the last time.
    fn look(&self, now: Instant) {
        self.take_in(now);
        let shared = &*self.shared;
        shared.limits.look(&shared.journal, now);
        shared.gates.look(&shared.journal, now);
        let desk = &mut *shared.desk.lock();
        desk.next = now + shared.interval;
        let Some(cache) = &shared.cache else { return };
        if desk.window.asked() < LEAST_ASKED && desk.window.age(now) < LONGEST_WINDOW {
            return;
        }
        let sums = cache.takings.take();
        self.decide(cache, desk, sums, now);
        desk.window = Window::new(now);
    }

    /// Decides about the cache: one change at a time, so that each can be measured.
    fn decide(&self, cache: &Cache, desk: &mut Desk, sums: Sums, now: Instant) {
        let current = cache.in_force();
        let length = desk.window.age(now);
        desk.doubts = doubts(desk, sums, &current);
        if let Some(doubts) = &desk.doubts {
            tracing::debug!(doubts, "tuning: nothing is decided about the cache");
            return;
        }
        let Some(worth) = sums.worth().or_else(|| desk.trial.is_some().then_some(0.0)) else {
            desk.doubts = Some(
                "No answer of the cache has a price, so nothing can be weighed; metering.prices_file sets prices.".to_owned(),
            );
            return;
        };
        let scales = Scales {
            window: &desk.window,
            reuse: &desk.reuse,
            length,
            now,
            life: cache.memory.life(),
            worth,
            entry_bytes: cache.entry_bytes(),
            memory: cache.memory_price,
            bounds: cache.bounds,
        };
        if desk.trial.is_some() && desk.is_frozen {
            return;
        }
        if let Some(trial) = desk.trial.take() {
            self.measure(cache, &scales, &trial, sums.hits, &mut desk.held);
            return;
        }
        let is_free = |what: What| desk.held.get(&what).is_none_or(|until| *until <= now);
        let wanted = [What::Capacity]
            .into_iter()
            .chain(Route::ALL.map(What::Ttl));
        for what in wanted.filter(|what| is_free(*what)) {
            let advice = match what {
                What::Capacity => scales.capacity(&current),
                What::Ttl(route) => scales.ttl(&current, route),
            };
            let Some(advice) = advice else { continue };
            let acts = self.shared.mode == TuningMode::Act && !desk.is_frozen;
            let id = self
                .shared
                .journal
                .note(decision(what, &current, &advice, acts));
            if acts {
                cache.set(&advice.to);
                desk.trial = Some(Trial {
                    id,
                    what,
                    before: current,
                    after: advice.to,
                });
                return;
            }
        }
    }

    /// What a change has brought: by what it gave in this window, and what the setting before it would have given in
    /// the same one, whatever the traffic is by now.
    fn measure(
        &self,
        cache: &Cache,
        scales: &Scales<'_>,
        trial: &Trial,
        given: u64,
        held: &mut HashMap<What, Instant>,
    ) {
        let amount = scales.brought(&trial.before, &trial.after, given);
        let unit = Unit::UsdPerDay;
        self.shared
            .journal
            .measured(trial.id, Gain { amount, unit });
        if amount >= 0.0 {
            return;
        }
        cache.set(&trial.before);
        held.insert(trial.what, scales.now + HELD);
        self.shared.journal.note(Decision {
            subject: subject(trial.what).into(),
            action: Action::RolledBack,
            before: value(trial.what, &trial.after).into(),
            after: value(trial.what, &trial.before).into(),
            evidence: format!(
                "In the last {} it cost {} a day more than it saved. It is not tried again for a day.",
                about(scales.length),
                usd(-amount)
            )
            .into(),
            expected: None,
        });
    }

    /// Leaves everything as it is until somebody says otherwise, or no longer.
    pub fn freeze(&self, is_frozen: bool) {
        let shared = &*self.shared;
        shared.limits.freeze(is_frozen);
        shared.gates.freeze(is_frozen);
        let was_frozen = std::mem::replace(&mut shared.desk.lock().is_frozen, is_frozen);
        if was_frozen != is_frozen {
            let name = |is_frozen| if is_frozen { "frozen" } else { "moving" };
            let evidence = if is_frozen {
                "An operator froze the settings as they are; what would be done is still said."
            } else {
                "An operator lets the settings move again."
            };
            shared.order(name(was_frozen), name(is_frozen), evidence);
        }
    }

    /// Puts everything back to what is set, and forgets what was learnt.
    pub fn reset(&self) {
        let shared = &*self.shared;
        let now = Instant::now();
        shared.limits.reset();
        shared.gates.reset();
        {
            let desk = &mut *shared.desk.lock();
            if let Some(cache) = &shared.cache {
                cache.set(&cache.configured);
                cache.takings.take();
                cache.accesses.renew();
            }
            (desk.trial, desk.doubts) = (None, None);
            desk.held.clear();
            desk.window = Window::new(now);
            desk.reuse = Reuse::default();
        }
        shared.order(
            "as learnt",
            "as set",
            "An operator put all settings back to the configuration.",
        );
    }

    /// Whether an operator wants everything left as it is.
    pub fn is_frozen(&self) -> bool {
        self.shared.desk.lock().is_frozen
    }
}

impl Shared {
    fn order(&self, before: &str, after: &str, evidence: &str) {
        self.journal.note(Decision {
            subject: "tuning".into(),
            action: Action::Ordered,
            before: before.into(),
            after: after.into(),
            evidence: evidence.into(),
            expected: None,
        });
    }
}

impl Cache {
    fn in_force(&self) -> Setting {
        let (entries, bytes) = self.memory.capacity();
        Setting {
            entries,
            bytes,
            ttl: Route::ALL.map(|route| self.times.of(route)),
        }
    }

    fn set(&self, setting: &Setting) {
        self.memory.resize(setting.entries, setting.bytes);
        for route in Route::ALL {
            self.times.set(route, setting.ttl_of(route));
        }
    }

    fn entry_bytes(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = self.memory.bytes() as f64 / self.memory.len().max(1) as f64;
        mean
    }
}

/// Why the window is not believed, if it is not.
fn doubts(desk: &Desk, sums: Sums, current: &Setting) -> Option<String> {
    if desk.window.asked() < LEAST_ASKED {
        return Some("Too few questions came to conclude anything from.".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "a comparison")]
    let given = sums.hits as f64;
    let said = desk.window.hits(current);
    let (share, answers) = AGREES;
    ((said - given).abs() > (given * share).max(answers)).then(|| {
        format!(
            "The cache gave {given:.0} answers, and what was followed says {said:.0}: they differ too much to conclude anything \
             (several answers to a question, a cleared cache, or eviction by value do that)."
        )
    })
}

fn decision(what: What, current: &Setting, advice: &Advice, acts: bool) -> Decision {
    Decision {
        subject: subject(what).into(),
        action: if acts {
            Action::Applied
        } else {
            Action::Proposed
        },
        before: value(what, current).into(),
        after: value(what, &advice.to).into(),
        evidence: advice.evidence.as_str().into(),
        expected: Some(Gain {
            amount: advice.gain,
            unit: Unit::UsdPerDay,
        }),
    }
}

fn subject(what: What) -> String {
    match what {
        What::Capacity => "cache.max_entries, cache.max_bytes".to_owned(),
        What::Ttl(route) => format!("cache.ttl ({})", route.as_str()),
    }
}

fn value(what: What, setting: &Setting) -> String {
    match what {
        What::Capacity => format!("{}, {}", setting.entries, bytes(setting.bytes)),
        What::Ttl(route) => duration(setting.ttl_of(route)),
    }
}

#[cfg(test)]
mod tests;
