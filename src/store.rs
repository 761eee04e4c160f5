//! Where good answers are kept, and what is kept of them.
//!
//! The layers see a [`Store`]: the process's own [`Memory`] first and, where it is set, the tier in [`redis`] that many
//! instances share behind it. A [`Snapshot`] lets the memory outlast a restart. Pure are `clears`, which knows what a
//! clear is about and which answers in flight it forbids, and `codec`, the form in which an entry leaves the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::chat::Usage;
use crate::fingerprint::Fingerprint;
use crate::reply::Worth;

pub use clears::Filter;
pub use memory::{Evictions, Generation, Limits, Memory, Spelling};
pub use snapshot::Snapshot;
pub(crate) use snapshot::directory;
pub use tiered::{Begun, Cleared, Shared, Store};

mod clears;
mod codec;
mod memory;
pub mod redis;
mod snapshot;
mod tiered;

/// A stored answer: always the whole chat completion, from which either shape is made.
///
/// Of the upstream's headers nothing is kept: dates, cookies, rate limits and request ids belong to the
/// call that is over.
#[derive(Debug)]
pub struct Entry {
    /// The chat completion as JSON.
    pub body: Bytes,
    /// The same in gzip, once a client has had it so.
    pub gzip: Option<Bytes>,
    /// What it cost when it was made.
    pub usage: Usage,
    /// The model that was asked, as its client named it; of very long names the beginning.
    pub model: Arc<str>,
    /// The model that answered, if it said so.
    pub served: Option<Arc<str>>,
    /// Who shares it: the digest of a [`crate::fingerprint::Scope`].
    pub scope: Fingerprint,
    /// How old it was when it came here.
    pub age_at_arrival: Duration,
    /// When it came here, on a clock that never jumps.
    pub arrived: Instant,
}

/// So much of a model's name is kept (bytes): clients choose its length.
const MAX_MODEL: usize = 512;

/// Why the store did not take an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// It is larger than all the store.
    TooLarge,
    /// It was cleared while it was in flight.
    Cleared,
}

/// As much of a model's name as is kept.
fn clip(model: &str) -> &str {
    &model[..model.floor_char_boundary(MAX_MODEL)]
}

/// A shared entry.
pub type SharedEntry = Arc<Entry>;

impl Entry {
    /// An answer that has just been made.
    pub fn new(body: Bytes, worth: impl Into<Worth>, model: &str, scope: Fingerprint) -> Self {
        let Worth { usage, served, .. } = worth.into();
        Self {
            body,
            gzip: None,
            usage,
            model: clip(model).into(),
            served,
            scope,
            age_at_arrival: Duration::ZERO,
            arrived: Instant::now(),
        }
    }

    /// The same answer with its body in gzip beside it.
    fn with_gzip(&self, gzip: Bytes) -> Self {
        Self {
            body: self.body.clone(),
            gzip: Some(gzip),
            usage: self.usage,
            model: Arc::clone(&self.model),
            served: self.served.clone(),
            ..*self
        }
    }

    /// How long ago it was made.
    pub fn age(&self) -> Duration {
        self.age_at(Instant::now())
    }

    /// How long before `now` it was made.
    pub fn age_at(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.arrived);
        self.age_at_arrival.saturating_add(since)
    }
}
