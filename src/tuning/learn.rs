//! What the compressor learns on the traffic of its service, outside of the way of a request.
//!
//! Three things are learned: which texts come again and again, and what they cost, so that an operator can approve shorter
//! ones; which sentences say little; and which rules of the compressor never pay here. What is to be applied stands in a
//! rule file (`book.rs`) in versions. A request reads which version its conversation has (`versions.rs`) and nothing else;
//! a share of the conversations is held out, and compared with the others (`trial.rs`).
//!
//! What requests say is looked at by a thread of its own (`listener.rs`), which takes a tenth of one core at most: what
//! comes faster is not looked at, and counted as missed. `observe` looks and changes nothing.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use self::listener::{Heard, Listener, Lot};
use self::student::Student;
use self::versions::{Conversation, Versions};
use super::journal::Journal;
use crate::compressor::{PLAN_NAME_BYTES, Plan, Role};
use crate::config;
use crate::json::Json;
use crate::metering::account::Who;
use crate::request::Saved;

pub use self::book::{Before, Book, Broken, Entry, LIFE, Skip, Span, State, id, pair_of};
pub use self::passages::Passage;
pub use self::shelf::{Shelf, Trouble};
pub use self::statistics::Statistics;
pub use self::trial::{Arm, Estimate, Harm, Outcome, Trial};

mod again;
mod book;
mod compared;
mod decide;
mod kinds;
mod listener;
mod passages;
mod shelf;
mod statistics;
mod student;
#[cfg(test)]
mod tests;
mod trial;
mod versions;
mod word;

/// The name of a plan, a digest, a share, and a byte for the roles.
const NAME_BYTES: usize = PLAN_NAME_BYTES + 17;

/// A longer body, in bytes, is not looked at.
const LONGEST: usize = 512 * 1024;

/// Whether anything is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is looked at, and nothing that was learned is applied.
    Off,
    /// It is looked at what comes; nothing is applied.
    Observe,
    /// What was approved is applied, and compared with what is held out.
    Act,
}

/// What is learned, and what requests are to know of it. Cheap to clone.
#[derive(Clone)]
pub struct Learning {
    shared: Arc<Shared>,
}

struct Shared {
    settings: config::Learning,
    versions: Arc<Versions>,
    listener: Listener,
}

/// How a request's text is shortened, and what is to be told of it when it is over.
pub struct Treatment {
    /// What is done to each role's text, where that differs from what the settings say.
    pub plan: Option<Plan>,
    /// The conversation and its version; `None` where nothing is applied.
    lot: Option<Lot>,
}

/// A request that is over.
pub struct Over<'r> {
    /// Its body as it came.
    pub body: &'r Bytes,
    /// Whose it was.
    pub who: &'r Who,
    /// What the settings say that is done to its text.
    pub plan: &'r Plan,
    /// How it was shortened.
    pub treatment: &'r Treatment,
    /// What that saved.
    pub saved: Saved,
    /// What it came to.
    pub outcome: Outcome,
    /// What a thousand tokens more of its prompt would have cost, in nano-dollars.
    pub price: u64,
}

/// What a request came to; whoever drops it says that it is over.
pub struct Note {
    learning: Learning,
    heard: Option<Heard>,
}

/// What is known, for reports.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The version in force.
    pub version: u32,
    /// Shorter texts that it has.
    pub rules: usize,
    /// Rules of the compressor that are not tried in lines of some kinds.
    pub skips: usize,
    /// Paid requests that were looked at, and those that there was no time for.
    pub heard: (u64, u64),
    /// The comparison with the hold-out under this version.
    pub trial: Trial,
}

// === impl Learning ===

impl Learning {
    /// Begins to learn by these settings; `None` where nothing is to be learned. Decisions go into the journal.
    pub fn start(settings: &config::Learning, journal: Journal) -> Option<Self> {
        if settings.mode == Mode::Off {
            return None;
        }
        let shelf = Shelf::new(settings.file.clone());
        let begin =
            |book: &mut Book| settings.mode == Mode::Act && book.advance(now(), false, false);
        // It was read when the settings were; whoever broke it since then is told in time.
        let (_, book, trouble) = shelf.change_anyway(begin).unwrap_or_else(|error| {
            tracing::warn!(%error, "the compression rules cannot be read; none is applied");
            (false, Book::default(), None)
        });
        if let Some(error) = trouble {
            tracing::warn!(%error, "the compression rules cannot be written; what is decided is lost with this process");
        }
        let statistics = shelf.statistics().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was learned before cannot be read; counting begins anew");
            Statistics::default()
        });
        let versions = Arc::new(Versions::new(book.version, book.lessons(book.version)));
        let student = Student::new(
            settings.clone(),
            shelf,
            statistics,
            Arc::clone(&versions),
            journal,
        );
        let shared = Shared {
            settings: settings.clone(),
            versions,
            listener: Listener::start(student),
        };
        Some(Self {
            shared: Arc::new(shared),
        })
    }

    /// The name of what becomes of a text: that of the plan, and of all else that it depends on. Whether its client wished
    /// for a level is a part of that, and the version that it was treated by: that in force where it was not yet.
    pub fn name(
        &self,
        plan: &Plan,
        is_wished: bool,
        treatment: Option<&Treatment>,
    ) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        let (of_plan, rest) = name.split_at_mut(PLAN_NAME_BYTES);
        of_plan.copy_from_slice(&plan.name());
        if self.applies() {
            let Shared {
                settings, versions, ..
            } = &*self.shared;
            let (digest, rest) = rest.split_at_mut(8);
            let lot = treatment.and_then(|treatment| treatment.lot.as_ref());
            let named = lot.map_or_else(|| versions.digest(), |lot| lot.lessons.digest());
            digest.copy_from_slice(&named.to_le_bytes());
            let (share, rest) = rest.split_at_mut(8);
            share.copy_from_slice(&settings.holdout.to_le_bytes());
            rest.copy_from_slice(&[plan.learns() | u8::from(is_wished) << 7]);
        }
        name
    }

    /// How a request is shortened that is to be shortened by this plan. What a client wished for it gets: it is not held
    /// out, nor compared.
    pub fn treat(&self, plan: &Plan, is_wished: bool, json: &Json, owner: &[u8; 32]) -> Treatment {
        if !self.applies() || plan.is_off() {
            return Treatment {
                plan: None,
                lot: None,
            };
        }
        let conversation = Conversation::of(json.root(), owner);
        let (version, lessons) = self.shared.versions.of(conversation);
        let is_held = !is_wished && conversation.is_held_out(self.shared.settings.holdout);
        let plan = if is_held {
            Some(Plan::default())
        } else if lessons.is_empty() {
            None
        } else {
            Some(plan.clone().with(&lessons))
        };
        Treatment {
            plan,
            lot: Some(Lot {
                version,
                lessons,
                conversation: conversation.name,
                is_held,
                is_new: conversation.is_new && !is_wished,
            }),
        }
    }

    /// What a request has come to by now, where its text may be looked at. Of several calls for one request the last one is
    /// what its client gets: it is heard when the note is dropped.
    pub fn note(&self, over: &Over<'_>) -> Option<Note> {
        if over.plan.is_off() || over.body.len() > LONGEST {
            return None;
        }
        let heard = Heard {
            body: over.body.clone(),
            caller: versions::NAMES.hash_one(over.who),
            plan: over.treatment.plan.as_ref().unwrap_or(over.plan).clone(),
            lot: over.treatment.lot.clone(),
            saved: over.saved.clone(),
            outcome: over.outcome,
            price: over.price,
        };
        Some(Note {
            learning: self.clone(),
            heard: Some(heard),
        })
    }

    /// What is known.
    pub fn known(&self) -> Known {
        self.shared.listener.known()
    }

    /// Looks at what is left, and writes down what was counted.
    pub async fn close(&self) {
        self.shared.listener.close().await;
    }

    fn applies(&self) -> bool {
        self.shared.settings.mode == Mode::Act
    }
}

impl fmt::Debug for Learning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learning").finish_non_exhaustive()
    }
}

// === impl Note ===

impl Note {
    /// What was noted after it counts in its place.
    pub fn forget(mut self) {
        self.heard = None;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(heard) = self.heard.take() {
            self.learning.shared.listener.hear(heard);
        }
    }
}

// === impl Mode ===

impl Mode {
    /// The word for it in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Act => "act",
        }
    }
}

/// What people's clocks say: versions live for days, and over restarts.
fn now() -> Timestamp {
    Timestamp::now()
}

/// Whose texts may come again word for word: what tools and models say does not.
fn is_learned_from(role: Role) -> bool {
    matches!(role, Role::System | Role::User)
}
