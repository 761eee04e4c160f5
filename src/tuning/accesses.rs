//! What is asked for and kept, on its way from the requests to whoever makes something of it: a sample by fingerprints.
//!
//! A request compares two numbers, and where it is in the sample pays for a lock and a push. Nobody waits: where too much
//! comes, fewer are followed.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::fingerprint::Fingerprint;
use crate::request::Route;

/// So many may wait (24 bytes each).
const MOST: usize = 8_192;

/// Takes them in.
pub struct Accesses {
    /// Those whose keys are above it are not followed.
    threshold: AtomicU64,
    waiting: Mutex<Vec<Access>>,
    bell: Notify,
}

/// Something that happened to a question that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It was asked.
    Asked { key: u64, route: Route },
    /// An answer to it was kept that weighs so much.
    Stored { key: u64, bytes: u64 },
    /// All answers are gone.
    Cleared,
}

impl Default for Accesses {
    fn default() -> Self {
        Self {
            threshold: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            bell: Notify::new(),
        }
    }
}

impl Accesses {
    /// A question is asked.
    pub fn asked(&self, question: Fingerprint, route: Route) {
        let key = key(question);
        if self.follows(key) {
            self.push(Access::Asked { key, route });
        }
    }

    /// An answer to it is kept.
    pub fn stored(&self, question: Fingerprint, bytes: u64) {
        let key = key(question);
        if self.follows(key) {
            self.push(Access::Stored { key, bytes });
        }
    }

    /// All answers are gone.
    pub fn cleared(&self) {
        self.push(Access::Cleared);
    }

    /// Follows fewer from now on.
    pub(super) fn lower(&self, threshold: u64) {
        self.threshold.fetch_min(threshold, Ordering::Relaxed);
    }

    /// Questions with keys up to here are followed.
    pub(super) fn threshold(&self) -> u64 {
        self.threshold.load(Ordering::Relaxed)
    }

    /// Is ready when something waits.
    pub(super) async fn come(&self) {
        self.bell.notified().await;
    }

    /// Takes what waits.
    pub(super) fn take(&self) -> Vec<Access> {
        std::mem::take(&mut *self.waiting.lock())
    }

    fn follows(&self, key: u64) -> bool {
        key <= self.threshold.load(Ordering::Relaxed)
    }

    fn push(&self, access: Access) {
        let mut waiting = self.waiting.lock();
        while waiting.len() >= MOST {
            // Half of the questions, with all that happened to them: of the others nothing is lost.
            self.lower(self.threshold() / 2);
            let threshold = self.threshold();
            waiting.retain(|access| access.key().is_none_or(|key| key <= threshold));
        }
        waiting.push(access);
        if waiting.len() == 1 {
            self.bell.notify_one();
        }
    }
}

impl Access {
    /// Of the question that it is about.
    fn key(self) -> Option<u64> {
        match self {
            Self::Asked { key, .. } | Self::Stored { key, .. } => Some(key),
            Self::Cleared => None,
        }
    }
}

/// The beginning of a digest is as even as all of it.
fn key(question: Fingerprint) -> u64 {
    let head = question.as_bytes().first_chunk();
    head.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    #[test]
    fn too_much_makes_it_follow_fewer() {
        let accesses = Accesses::default();
        for n in 0..10_000_u32 {
            accesses.asked(digest(&n.to_le_bytes()), Route::Create);
        }
        let first = accesses.take().len();
        assert!((4_500..5_500).contains(&first), "{first}");
        let threshold = accesses.threshold();
        assert_eq!(threshold, u64::MAX / 2);
        for n in 0..2_000_u32 {
            accesses.stored(digest(&n.to_le_bytes()), 1);
        }
        let followed = accesses.take();
        assert!(followed.len() < 1_200, "{}", followed.len());
        assert!(
            followed
                .iter()
                .all(|access| matches!(access, Access::Stored { key, .. } if *key <= threshold))
        );
    }
}
