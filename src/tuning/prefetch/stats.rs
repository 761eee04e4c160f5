//! What fetching ahead did, and what that brought.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::forecast::Kind;
use super::gates::Held;
use crate::metering::Counter;

/// What fetching ahead did.
#[derive(Debug, Default)]
pub struct Stats {
    /// Calls that were begun, by kind.
    pub(super) begun: [Counter; Kind::ALL.len()],
    /// Calls whose answers came, and were asked for while they were fresh.
    pub(super) used: Counter,
    /// Those whose answers were not.
    pub(super) unused: Counter,
    /// Calls that brought no answer.
    pub(super) failed: Counter,
    /// Answers that turned out to be there.
    pub(super) was_there: Counter,
    /// Calls that would have paid and were not made, by why.
    pub(super) held: [Counter; Held::ALL.len()],
    /// What the calls cost, in nano-dollars.
    pub(super) spent: Counter,
    /// What those cost that were of no use, in nano-dollars.
    pub(super) wasted: Counter,
    /// How long the clients would have waited who got the others' answers, in milliseconds.
    pub(super) waits: Counter,
    pub(super) today: AtomicU64,
    pub(super) questions: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) is_stopped: AtomicBool,
}

/// The same at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Calls that were begun, by kind.
    pub begun: Vec<(Kind, u64)>,
    /// Of these, the ones whose answers were asked for while they were fresh.
    pub used: u64,
    /// Those whose answers expired before.
    pub unused: u64,
    /// Those that brought no answer.
    pub failed: u64,
    /// Answers that turned out to be there, here or on another instance.
    pub was_there: u64,
    /// Calls that would have paid and were not made, by why.
    pub held: Vec<(Held, u64)>,
    /// What the calls cost, in nano-dollars.
    pub spent_nano_usd: u64,
    /// What they cost within the last 24 hours.
    pub spent_today_nano_usd: u64,
    /// What those cost that were of no use, in nano-dollars.
    pub wasted_nano_usd: u64,
    /// How long clients would have waited, in milliseconds.
    pub waits_saved_ms: u64,
    /// Questions that are known by what follows them.
    pub questions: u64,
    /// What is kept to ask again, in bytes.
    pub bytes: u64,
    /// Whether nothing is fetched at present, because it did not pay.
    pub is_stopped: bool,
}

impl Stats {
    /// What it did until now.
    pub fn figures(&self) -> Figures {
        let kinds = Kind::ALL.iter().zip(&self.begun);
        let reasons = Held::ALL.iter().zip(&self.held);
        Figures {
            begun: kinds.map(|(kind, count)| (*kind, count.get())).collect(),
            used: self.used.get(),
            unused: self.unused.get(),
            failed: self.failed.get(),
            was_there: self.was_there.get(),
            held: reasons.map(|(why, count)| (*why, count.get())).collect(),
            spent_nano_usd: self.spent.get(),
            spent_today_nano_usd: self.today.load(Ordering::Relaxed),
            wasted_nano_usd: self.wasted.get(),
            waits_saved_ms: self.waits.get(),
            questions: self.questions.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            is_stopped: self.is_stopped.load(Ordering::Relaxed),
        }
    }
}

impl Figures {
    /// Which share of the answers was asked for, of those of which that is known.
    pub fn precision(&self) -> Option<f64> {
        let all = self.used + self.unused;
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = self.used as f64 / all as f64;
        (all > 0).then_some(share)
    }
}
