//! The journal: each decision with what was before and after it, its evidence, what was expected of it and what came.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

/// So many decisions are kept, the newest; a day of one every three minutes.
const KEPT: usize = 500;

/// Where decisions are written down. Cheap to clone.
#[derive(Clone, Default)]
pub struct Journal {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    entries: VecDeque<Entry>,
    last: u64,
    changes: u64,
}

/// The number of an entry: later ones have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u64);

/// A decision as it stands in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub id: Id,
    /// When it was made last.
    pub at: Timestamp,
    /// How often it was made one after the other.
    pub times: u32,
    /// What was decided.
    pub decision: Decision,
    /// What came of it, once that is known.
    pub measured: Option<Gain>,
}

/// One decision, in words that a tired operator understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What it is about: a setting's key, with what it is for in brackets where that is not all, such as
    /// `cache.ttl (/create)`.
    pub subject: Box<str>,
    /// What was done.
    pub action: Action,
    /// What was in force.
    pub before: Box<str>,
    /// What is from now on, or would be.
    pub after: Box<str>,
    /// Sentences with the figures that led to it.
    pub evidence: Box<str>,
    /// What it should bring.
    pub expected: Option<Gain>,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing was changed: it is what would be done if it were allowed to.
    Proposed,
    /// It is in force.
    Applied,
    /// It was in force, and what it brought was measured: it stays.
    Kept,
    /// It was in force and did harm: what was before is in force again.
    RolledBack,
    /// Something that cost more than it brought was stopped.
    Stopped,
    /// An operator's word.
    Ordered,
}

/// What a decision brings; below zero: it does harm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// How much.
    pub amount: f64,
    /// Of what.
    pub unit: Unit,
}

/// What gains are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Dollars in a day.
    UsdPerDay,
    /// Calls upstream that do not fail, in a thousand.
    CallsPerThousand,
    /// Tokens for each request.
    TokensPerRequest,
}

// === impl Journal ===

impl Journal {
    /// Writes a decision down. Where the last one about the same says the same, that one is made once more: an advice
    /// that nobody takes does not fill the journal, and neither does an order that is given again and again.
    pub fn note(&self, decision: Decision) -> Id {
        let at = Timestamp::now();
        let mut pages = self.pages.lock();
        pages.changes += 1;
        let newest = Id(pages.last);
        let last = pages.entries.iter_mut().rev();
        let mut last = last.filter(|entry| entry.decision.subject == decision.subject);
        if let Some(entry) = last.next()
            && entry.decision.is_same(&decision)
            // What was done since it was ordered last is in between.
            && (decision.action == Action::Proposed || entry.id == newest)
        {
            if decision.action == Action::Ordered {
                decision.log();
            }
            entry.at = at;
            entry.times = entry.times.saturating_add(1);
            entry.decision = decision;
            return entry.id;
        }
        decision.log();
        pages.last += 1;
        let id = Id(pages.last);
        if pages.entries.len() == KEPT {
            pages.entries.pop_front();
        }
        pages.entries.push_back(Entry {
            id,
            at,
            times: 1,
            decision,
            measured: None,
        });
        id
    }

    /// Writes down what came of a decision, as long as it is in the journal.
    pub fn measured(&self, id: Id, gain: Gain) {
        let mut pages = self.pages.lock();
        if let Some(entry) = pages.entries.iter_mut().find(|entry| entry.id == id) {
            entry.measured = Some(gain);
            pages.changes += 1;
        }
    }

    /// Grows with everything that is written down.
    pub fn changes(&self) -> u64 {
        self.pages.lock().changes
    }

    /// All entries, the newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.pages.lock().entries.iter().rev().cloned().collect()
    }
}

// === impl Decision ===

impl Decision {
    fn log(&self) {
        tracing::info!(
            subject = &*self.subject,
            action = self.action.as_str(),
            before = &*self.before,
            after = &*self.after,
            evidence = &*self.evidence,
            "tuning"
        );
    }

    /// Whether another one about the same subject says the same. What the service did it did each time.
    fn is_same(&self, other: &Self) -> bool {
        self.action == other.action
            && matches!(self.action, Action::Proposed | Action::Ordered)
            && self.before == other.before
            && self.after == other.after
    }
}

// === impl Action ===

impl Action {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Applied => "applied",
            Self::Kept => "kept",
            Self::RolledBack => "rolled back",
            Self::Stopped => "stopped",
            Self::Ordered => "ordered",
        }
    }
}

// === impl Unit ===

impl Unit {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsdPerDay => "dollars a day",
            Self::CallsPerThousand => "calls in a thousand",
            Self::TokensPerRequest => "tokens a request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(subject: &str, action: Action, after: &str) -> Decision {
        Decision {
            subject: subject.into(),
            action,
            before: "1000".into(),
            after: after.into(),
            evidence: "because".into(),
            expected: None,
        }
    }

    /// How often each was made, the newest first.
    fn times(journal: &Journal) -> Vec<u32> {
        journal.entries().iter().map(|entry| entry.times).collect()
    }

    #[test]
    fn an_advice_that_is_repeated_stands_there_once() {
        let journal = Journal::default();
        let first = journal.note(decision("a", Action::Proposed, "2000"));
        journal.note(decision("b", Action::Proposed, "2000"));
        assert_eq!(journal.note(decision("a", Action::Proposed, "2000")), first);
        assert_ne!(journal.note(decision("a", Action::Proposed, "3000")), first);
        assert_eq!(times(&journal), [1, 1, 2]);
        // What was done was done twice.
        journal.note(decision("c", Action::Applied, "2000"));
        journal.note(decision("c", Action::Applied, "2000"));
        assert_eq!(journal.entries().len(), 5);
    }

    #[test]
    fn an_order_that_is_given_again_stands_there_once_until_something_else_was_done() {
        let journal = Journal::default();
        let first = journal.note(decision("tuning", Action::Ordered, "as set"));
        assert_eq!(
            journal.note(decision("tuning", Action::Ordered, "as set")),
            first
        );
        journal.note(decision("a", Action::Applied, "2000"));
        let second = journal.note(decision("tuning", Action::Ordered, "as set"));
        assert_ne!(second, first);
        assert_eq!(times(&journal), [1, 1, 2]);
    }

    #[test]
    fn the_oldest_go_first_and_what_is_measured_later_is_dropped_with_them() {
        let journal = Journal::default();
        let gain = Gain {
            amount: -0.5,
            unit: Unit::UsdPerDay,
        };
        let first = journal.note(decision("a", Action::Applied, "0"));
        journal.measured(first, gain);
        assert_eq!(journal.entries()[0].measured, Some(gain));
        for n in 0..KEPT {
            journal.note(decision("b", Action::Applied, &n.to_string()));
        }
        journal.measured(first, gain);
        let entries = journal.entries();
        assert_eq!(entries.len(), KEPT);
        assert!(entries.iter().all(|entry| entry.measured.is_none()));
        assert!(entries.first().unwrap().id > entries.last().unwrap().id);
    }
}
