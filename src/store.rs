//! Where good answers are kept, and what is kept of them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::chat::Usage;

pub use memory::{Found, Generation, Limits, Memory};

mod memory;

/// A stored answer: always the whole chat completion, from which either shape is made.
///
/// Of the upstream's headers nothing is kept: dates, cookies, rate limits and request ids belong to the
/// call that is over.
#[derive(Debug)]
pub struct Entry {
    /// The chat completion as JSON.
    pub body: Bytes,
    /// What it cost when it was made.
    pub usage: Usage,
    /// When it was stored, on a clock that never jumps.
    pub stored_at: Instant,
}

/// A shared entry.
pub type SharedEntry = Arc<Entry>;
