//! Removes what is too old from a shared ledger, some at a time, so that nothing waits for it.

use std::time::Duration;

use tokio::time::Instant;

use super::link::Link;
use super::trouble::Trouble;
use crate::metering::hand::DAY;

/// So often old rows are removed.
const PACE: Duration = Duration::from_hours(1);
/// A process that has entered nothing for so long has no batch whose fate it does not know.
const WRITERS_KEPT: i64 = 30 * DAY;

/// How far the removal of old rows has come.
pub(super) struct Tidying {
    /// How long rows are kept, in milliseconds.
    keep_for: i64,
    begun: Option<Instant>,
    /// The newest row, beside which others are too old that are being removed.
    newest: Option<i64>,
    removed: u64,
}

impl Tidying {
    pub(super) fn new(keep_for: i64) -> Self {
        Self {
            keep_for,
            begun: None,
            newest: None,
            removed: 0,
        }
    }

    /// A row of this time is entered: at first and once an hour what is too old beside it is removed.
    pub(super) fn note(&mut self, newest: i64) {
        let is_recent = |begun: Instant| begun.elapsed() < PACE;
        if !self.begun.is_some_and(is_recent) {
            self.begun = Some(Instant::now());
            self.newest = Some(newest);
        }
    }

    /// Removes some of it, and says whether there is more.
    pub(super) async fn go_on(&mut self, link: &Link) -> Result<bool, Trouble> {
        let Some(newest) = self.newest else {
            return Ok(false);
        };
        let removed = link.forget(newest, self.keep_for).await?;
        self.removed += removed;
        if removed > 0 {
            return Ok(true);
        }
        link.forget_writers(WRITERS_KEPT).await?;
        let rows = std::mem::take(&mut self.removed);
        if rows > 0 {
            tracing::info!(rows, "old rows of the ledger removed");
        }
        self.newest = None;
        Ok(false)
    }
}
