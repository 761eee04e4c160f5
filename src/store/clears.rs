//! Clears: which answers each is about, and which answers in flight it forbids to be kept.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Entry, clip};
use crate::fingerprint::Fingerprint;

/// So many narrowed clears are remembered. A call that began before the oldest of them is treated as if it
/// had been cleared.
pub(super) const REMEMBERED: usize = 128;

/// Longer than it takes from the order of a clear until every instance that hears of it has carried it out.
const MOMENT: Duration = Duration::from_secs(2);

/// Which answers a clear is about: those that meet every condition. Without any it is about all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Answers of this model, as clients name it.
    pub model: Option<Box<str>>,
    /// Answers of the callers with this [`crate::fingerprint::Scope`]'s digest.
    pub scope: Option<Fingerprint>,
    /// Answers at least this old.
    pub older_than: Option<Duration>,
}

/// The form in which instances tell each other.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    older_than_ms: Option<u64>,
}

/// The clears so far, by number. The answers of a call that began after the n-th are bound by those that follow it.
#[derive(Debug, Default)]
pub(super) struct Clears {
    /// The number of the latest.
    latest: u64,
    /// The number of the latest that was about all, or of the latest that is forgotten.
    floor: u64,
    /// The narrowed ones since then.
    narrowed: VecDeque<Narrowed>,
}

/// A clear that was not about everything.
#[derive(Debug)]
struct Narrowed {
    number: u64,
    filter: Filter,
    /// When it was ordered.
    at: Instant,
}

// === impl Filter ===

impl Filter {
    /// Whether it is about every answer.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about this entry.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.is_about(&entry.model, entry.scope, entry.age())
    }

    /// Whether it is about an answer of this model, scope and age.
    pub(super) fn is_about(&self, model: &str, scope: Fingerprint, age: Duration) -> bool {
        self.model.as_deref().is_none_or(|own| clip(own) == model)
            && self.scope.is_none_or(|own| own == scope)
            && self.older_than.is_none_or(|least| age >= least)
    }

    /// The same clear, carried out so much later: what was old enough then is older now. What came in the moment between
    /// the two may have been in flight at the first, so that moment does not count.
    #[must_use]
    pub(super) fn delayed(mut self, by: Duration) -> Self {
        if let Some(least) = &mut self.older_than {
            *least = least.saturating_add(by.saturating_sub(MOMENT));
        }
        self
    }

    /// The same as text, for other instances.
    pub(super) fn to_wire(&self) -> String {
        let wire = Wire {
            model: self.model.clone(),
            scope: self.scope.map(|scope| scope.to_string()),
            older_than_ms: self
                .older_than
                .map(|least| u64::try_from(least.as_millis()).unwrap_or(u64::MAX)),
        };
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// What another instance ordered. What cannot be read is about all: too much cleared costs a few calls, too
    /// little breaks a promise.
    pub(super) fn from_wire(text: &[u8]) -> Self {
        let read = || {
            let wire: Wire = serde_json::from_slice(text).ok()?;
            let scope = match wire.scope {
                Some(hex) => Some(Fingerprint::from_hex(&hex)?),
                None => None,
            };
            Some(Self {
                model: wire.model,
                scope,
                older_than: wire.older_than_ms.map(Duration::from_millis),
            })
        };
        read().unwrap_or_default()
    }
}

// === impl Clears ===

impl Clears {
    /// The number of the latest clear.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Notes the next clear.
    pub(super) fn note(&mut self, filter: Filter) {
        self.note_as(self.latest + 1, filter, Instant::now());
    }

    /// Notes a clear that others have numbered, ordered `at` this time; numbers only grow.
    pub(super) fn note_as(&mut self, number: u64, filter: Filter, at: Instant) {
        self.latest = self.latest.max(number);
        if filter.is_all() {
            self.floor = self.floor.max(number);
            self.narrowed.retain(|other| other.number > number);
            return;
        }
        self.narrowed.push_back(Narrowed { number, filter, at });
        if self.narrowed.len() > REMEMBERED
            && let Some(forgotten) = self.narrowed.pop_front()
        {
            self.floor = self.floor.max(forgotten.number);
        }
    }

    /// Notes that there were this many clears.
    pub(super) fn note_latest(&mut self, number: u64) {
        self.latest = self.latest.max(number);
    }

    /// Whether a remembered clear that followed `begun` is about this entry.
    pub(super) fn forbids(&self, begun: u64, entry: &Entry) -> bool {
        self.narrowed.iter().any(|clear| {
            // What was not made yet when the clear was ordered was in flight, and had no age.
            let age_then = entry.age().saturating_sub(clear.at.elapsed());
            let is_about = clear.filter.is_about(&entry.model, entry.scope, age_then);
            clear.number > begun && is_about
        })
    }

    /// Whether an entry may be kept whose call, or whose way here, began when `begun` was the latest clear.
    pub(super) fn admit(&self, begun: u64, entry: &Entry) -> bool {
        begun >= self.floor && !self.forbids(begun, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Usage;
    use crate::fingerprint::digest;

    fn of_model(model: &str) -> Filter {
        Filter {
            model: Some(model.into()),
            ..Filter::default()
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let (me, you) = (digest(b"me"), digest(b"you"));
        let filter = Filter {
            model: Some("m".into()),
            scope: Some(me),
            older_than: Some(Duration::from_mins(1)),
        };
        let old = Duration::from_mins(1);
        assert!(filter.is_about("m", me, old));
        assert!(!filter.is_about("n", me, old));
        assert!(!filter.is_about("m", you, old));
        assert!(!filter.is_about("m", me, Duration::from_secs(59)));
        assert!(Filter::default().is_about("n", you, Duration::ZERO));
        assert!(Filter::default().is_all() && !filter.is_all());
    }

    #[test]
    fn filters_travel_and_what_is_garbled_is_about_all() {
        let filter = Filter {
            model: Some("a/\"b\"".into()),
            scope: Some(digest(b"me")),
            older_than: Some(Duration::from_millis(1_500)),
        };
        for filter in [filter, of_model("m"), Filter::default()] {
            assert_eq!(Filter::from_wire(filter.to_wire().as_bytes()), filter);
        }
        for garbled in ["", "x", "{\"scope\":\"00\"}", "[]"] {
            assert!(Filter::from_wire(garbled.as_bytes()).is_all(), "{garbled}");
        }
    }

    fn made(model: &str, age_at_arrival: Duration) -> Entry {
        let entry = Entry::new("x".into(), Usage::default(), model, digest(b"me"));
        Entry {
            age_at_arrival,
            ..entry
        }
    }

    #[test]
    fn a_clear_that_is_carried_out_late_takes_what_was_old_when_it_was_ordered() {
        let filter = Filter {
            older_than: Some(Duration::from_mins(10)),
            ..Filter::default()
        };
        let late = |by| filter.clone().delayed(by).older_than.unwrap();
        assert_eq!(late(Duration::from_millis(5)), Duration::from_mins(10));
        assert_eq!(late(Duration::from_secs(62)), Duration::from_mins(11));
        assert_eq!(of_model("m").delayed(MOMENT * 9), of_model("m"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clear_forbids_what_it_is_about_and_was_in_flight() {
        let new = |model| made(model, Duration::ZERO);
        let mut clears = Clears::default();
        let before = clears.latest();
        clears.note(of_model("m"));
        assert!(!clears.admit(before, &new("m")));
        assert!(clears.admit(before, &new("n")));
        assert!(clears.admit(clears.latest(), &new("m")));
        clears.note(Filter::default());
        assert!(!clears.admit(before, &new("n")));
        assert!(clears.admit(clears.latest(), &new("m")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_old_when_the_clear_was_ordered_does_not_arrive_after_it() {
        let mut clears = Clears::default();
        clears.note(Filter {
            older_than: Some(Duration::from_mins(10)),
            ..Filter::default()
        });
        tokio::time::advance(Duration::from_mins(5)).await;
        let of_age = |minutes| made("m", Duration::from_mins(minutes));
        assert!(clears.admit(0, &of_age(0)), "in flight is not old");
        assert!(clears.admit(0, &of_age(14)), "it was nine minutes old");
        assert!(!clears.admit(0, &of_age(15)));
        assert!(clears.admit(1, &of_age(15)));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_its_memory_are_cleared() {
        let mut clears = Clears::default();
        for _ in 0..=REMEMBERED {
            clears.note(of_model("m"));
        }
        let of_another = made("n", Duration::ZERO);
        assert!(!clears.admit(0, &of_another));
        assert!(clears.admit(1, &of_another));
        assert_eq!(clears.narrowed.len(), REMEMBERED);
    }
}
