//! Answer limits where clients give none: watched, and moved to what answers need.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::journal::{Action, Decision, Gain, Id, Journal, Unit};
use super::lengths::{LEAST_ANSWERS, Lengths};
use crate::config;
use crate::metering::account::clip;
use crate::words::{count, percent};

/// Models and sizes of prompts that are told apart; models are named by clients.
const MOST: usize = 192;
/// Whoever is asked again gets so many times the room.
const MORE_ROOM: u32 = 4;
/// What did harm is not tried again for so long.
const HELD: Duration = Duration::from_hours(24);
/// More answers than this share must not be cut off by a limit that was lowered.
const MOST_CUT: f64 = 0.01;

/// How long a prompt is: three settings, `max_tokens.simple`, `medium` and `complex`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// Under 500 characters.
    Simple,
    /// Under 1,500.
    Medium,
    /// From there on.
    Complex,
}

/// The limit that a request was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Given {
    /// By the size of its prompt.
    pub size: Size,
    /// In tokens.
    pub tokens: u32,
}

/// The limits in force. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    shared: Arc<Shared>,
}

struct Shared {
    configured: config::MaxTokens,
    bounds: (u32, u32),
    acts: bool,
    is_frozen: AtomicBool,
    known: Mutex<HashMap<(Arc<str>, Size), Known>>,
}

/// What is known of one model and size.
struct Known {
    limit: u32,
    lengths: Lengths,
    trial: Option<Trial>,
    held_until: Option<Instant>,
}

/// A limit that is being tried.
struct Trial {
    id: Id,
    before: u32,
    /// Tokens for each request that were paid for answers that were cut off.
    wasted: f64,
}

impl Known {
    /// Whether anything is known of it that is worth keeping.
    fn is_of_use(&self, configured: u32) -> bool {
        self.limit != configured
            || self.trial.is_some()
            || self.held_until.is_some()
            || self.lengths.all() >= LEAST_ANSWERS / 10
    }
}

impl Size {
    /// Of a prompt with so many characters.
    pub fn of(chars: usize) -> Self {
        match chars {
            0..500 => Self::Simple,
            500..1500 => Self::Medium,
            _ => Self::Complex,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "max_tokens.simple",
            Self::Medium => "max_tokens.medium",
            Self::Complex => "max_tokens.complex",
        }
    }
}

impl config::MaxTokens {
    /// The limit that is set for prompts of this size.
    pub fn of(&self, size: Size) -> u32 {
        match size {
            Size::Simple => self.simple,
            Size::Medium => self.medium,
            Size::Complex => self.complex,
        }
    }
}

impl Limits {
    pub(super) fn new(config: &config::Config, acts: bool) -> Self {
        let shared = Shared {
            configured: config.max_tokens.clone(),
            bounds: (config.tuning.min_tokens, config.tuning.max_tokens),
            acts,
            is_frozen: AtomicBool::new(false),
            known: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The limit for a prompt of this size. Of a stream it is never less than what is set: once a part of it was given,
    /// it cannot be asked for again.
    pub fn of(&self, model: &str, size: Size, is_stream: bool) -> u32 {
        let configured = self.shared.configured.of(size);
        if !self.shared.acts {
            return configured;
        }
        let known = self.shared.known.lock();
        let tuned = known
            .get(&(Arc::from(model), size))
            .map(|known| known.limit);
        let tuned = tuned.unwrap_or(configured);
        if is_stream {
            tuned.max(configured)
        } else {
            tuned
        }
    }

    /// The limit that is set.
    pub fn configured(&self, size: Size) -> u32 {
        self.shared.configured.of(size)
    }

    /// With how much more room an answer is to be asked for again that was cut off at this limit, if it is: with all that is
    /// set at least.
    pub fn more_room(&self, given: Given) -> Option<u32> {
        let configured = self.shared.configured.of(given.size);
        let more = given.tokens.saturating_mul(MORE_ROOM);
        let more = more.min(self.shared.bounds.1).max(configured);
        (self.shared.acts && more > given.tokens).then_some(more)
    }

    /// An answer of so many tokens ended by itself, or was cut off at its limit.
    pub fn note(&self, model: &Arc<str>, given: Given, tokens: u64, is_cut: bool) {
        let mut all = self.shared.known.lock();
        let place = (Arc::clone(model), given.size);
        if !all.contains_key(&place) && all.len() >= MOST {
            // Clients name models: those that were named once do not keep others out.
            all.retain(|(_, size), known| known.is_of_use(self.shared.configured.of(*size)));
            if all.len() >= MOST {
                return;
            }
        }
        let known = all.entry(place).or_insert_with(|| Known {
            limit: self.shared.configured.of(given.size),
            lengths: Lengths::default(),
            trial: None,
            held_until: None,
        });
        // Of an earlier limit, or of a stream's: it says nothing of this one.
        if given.tokens != known.limit {
            return;
        }
        if is_cut {
            known.lengths.cut_off(tokens);
        } else {
            known.lengths.ended(tokens);
        }
    }

    /// Decides for each model and size of which enough was seen.
    pub(crate) fn look(&self, journal: &Journal, now: Instant) {
        let is_frozen = self.shared.is_frozen.load(Ordering::Relaxed);
        let acts = self.shared.acts && !is_frozen;
        for ((model, size), known) in self.shared.known.lock().iter_mut() {
            if known.lengths.all() < LEAST_ANSWERS {
                continue;
            }
            let subject = || format!("{} ({})", size.as_str(), clip(model)).into_boxed_str();
            if is_frozen && known.trial.is_some() {
                known.lengths = Lengths::default();
                continue;
            }
            if let Some(trial) = known.trial.take() {
                let freed = f64::from(trial.before) - f64::from(known.limit);
                let was_lowered = known.limit < trial.before;
                let cut = known.lengths.cut_share();
                let wasted = known.lengths.wasted();
                let amount = if was_lowered {
                    freed - wasted
                } else {
                    trial.wasted - wasted
                };
                let unit = Unit::TokensPerRequest;
                journal.measured(trial.id, Gain { amount, unit });
                if amount < 0.0 || (was_lowered && cut > MOST_CUT) {
                    journal.note(Decision {
                        subject: subject(),
                        action: Action::RolledBack,
                        before: known.limit.to_string().into(),
                        after: trial.before.to_string().into(),
                        evidence: format!(
                            "With a limit of {} tokens {} of {} answers were cut off and asked for again. It is not tried again for a day.",
                            known.limit,
                            percent(cut),
                            count(known.lengths.all()),
                        )
                        .into(),
                        expected: None,
                    });
                    known.limit = trial.before;
                    known.held_until = Some(now + HELD);
                }
            } else if known.held_until.is_none_or(|until| until <= now)
                && let Some(advice) = known.lengths.advise(known.limit, self.shared.bounds)
            {
                let id = journal.note(Decision {
                    subject: subject(),
                    action: if acts {
                        Action::Applied
                    } else {
                        Action::Proposed
                    },
                    before: known.limit.to_string().into(),
                    after: advice.limit.to_string().into(),
                    evidence: advice.evidence.into(),
                    expected: Some(Gain {
                        amount: advice.gain,
                        unit: Unit::TokensPerRequest,
                    }),
                });
                if acts {
                    known.trial = Some(Trial {
                        id,
                        before: known.limit,
                        wasted: known.lengths.wasted(),
                    });
                    known.limit = advice.limit;
                }
            }
            known.lengths = Lengths::default();
        }
    }

    /// Leaves everything as it is, or no longer.
    pub(super) fn freeze(&self, is_frozen: bool) {
        self.shared.is_frozen.store(is_frozen, Ordering::Relaxed);
    }

    /// Forgets everything: what is set is in force again.
    pub(super) fn reset(&self) {
        self.shared.known.lock().clear();
    }

    /// What may be set.
    pub(super) fn bounds(&self) -> (u32, u32) {
        self.shared.bounds
    }

    /// The limits in force that are not those that are set: of what, what is set, and what is in force.
    pub(super) fn moved(&self) -> Vec<(String, u32, u32)> {
        let known = self.shared.known.lock();
        let moved = known.iter().filter_map(|((model, size), known)| {
            let set = self.shared.configured.of(*size);
            let name = format!("{} ({})", size.as_str(), clip(model));
            (known.limit != set).then_some((name, set, known.limit))
        });
        let mut moved: Vec<_> = moved.collect();
        moved.sort();
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const MODEL: &str = "m";

    fn limits(acts: bool) -> Limits {
        Limits::new(&Config::default(), acts)
    }

    fn answers(limits: &Limits, cut_every: u64, length: u64) {
        let model = Arc::from(MODEL);
        let tokens = limits.of(MODEL, Size::Simple, false);
        let given = Given {
            size: Size::Simple,
            tokens,
        };
        for n in 1..=1_000_u64 {
            let is_cut = n.is_multiple_of(cut_every);
            limits.note(
                &model,
                given,
                if is_cut { tokens.into() } else { length },
                is_cut,
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_too_high_comes_down_and_stays_if_it_does_no_harm() {
        let (limits, journal) = (limits(true), Journal::default());
        answers(&limits, u64::MAX, 300);
        limits.look(&journal, Instant::now());
        let lower = limits.of(MODEL, Size::Simple, false);
        assert!((300..1_000).contains(&lower), "{lower}");
        // Streams cannot be asked for again.
        assert_eq!(limits.of(MODEL, Size::Simple, true), 2_000);
        assert_eq!(limits.of("other", Size::Simple, false), 2_000);
        answers(&limits, 500, 300);
        limits.look(&journal, Instant::now());
        assert_eq!(limits.of(MODEL, Size::Simple, false), lower);
        let entries = journal.entries();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].measured.unwrap().amount > 1_000.0);
        assert_eq!(limits.moved().len(), 1);
        limits.reset();
        assert_eq!(limits.of(MODEL, Size::Simple, false), 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_cuts_is_taken_back_and_not_tried_again_for_a_day() {
        let (limits, journal) = (limits(true), Journal::default());
        answers(&limits, u64::MAX, 300);
        limits.look(&journal, Instant::now());
        // Answers have become longer meanwhile.
        answers(&limits, 20, 300);
        limits.look(&journal, Instant::now());
        assert_eq!(limits.of(MODEL, Size::Simple, false), 2_000);
        let newest = &journal.entries()[0].decision;
        assert_eq!(newest.action, Action::RolledBack);
        assert!(
            newest.evidence.contains("5.0 % of 1,000"),
            "{}",
            newest.evidence
        );
        answers(&limits, u64::MAX, 300);
        limits.look(&journal, Instant::now());
        assert_eq!(limits.of(MODEL, Size::Simple, false), 2_000);
        answers(&limits, u64::MAX, 300);
        limits.look(&journal, Instant::now() + HELD);
        assert!(limits.of(MODEL, Size::Simple, false) < 2_000);
    }

    #[test]
    fn whoever_is_asked_again_gets_all_that_is_set_at_least() {
        let mut config = Config::default();
        config.tuning.max_tokens = 1_000;
        let limits = Limits::new(&config, true);
        let room = |tokens| {
            limits.more_room(Given {
                size: Size::Simple,
                tokens,
            })
        };
        assert_eq!(room(256), Some(2_000));
        assert_eq!(room(2_000), None, "more than may be set");
        let usual = Limits::new(&Config::default(), true);
        let room = |tokens| {
            usual.more_room(Given {
                size: Size::Simple,
                tokens,
            })
        };
        assert_eq!(
            (room(300), room(600), room(2_000)),
            (Some(2_000), Some(2_400), Some(8_000))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_only_looks_changes_nothing() {
        let (looking, frozen) = (limits(false), limits(true));
        frozen.freeze(true);
        for limits in [looking, frozen] {
            let journal = Journal::default();
            for _ in 0..3 {
                answers(&limits, u64::MAX, 300);
                limits.look(&journal, Instant::now());
            }
            assert_eq!(limits.of(MODEL, Size::Simple, false), 2_000);
            let entries = journal.entries();
            assert_eq!((entries.len(), entries[0].times), (1, 3));
            assert_eq!(entries[0].decision.action, Action::Proposed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_vary_as_the_limit_needs_are_left_alone() {
        let (limits, journal) = (limits(true), Journal::default());
        answers(&limits, 500, 1_800);
        limits.look(&journal, Instant::now());
        assert!(journal.entries().is_empty());
    }
}
