//! The ledger of one process, and what writes into it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::sqlite::Sqlite;
use super::{Failed, MAX_PENDING};
use crate::metering::Counter;
use crate::metering::account::Row;
use crate::metering::books::Reader;
use crate::metering::hand::Hand;

/// A ledger in SQLite.
pub(super) struct Embedded {
    pub(super) sqlite: Mutex<Sqlite>,
    keep_for: i64,
    pub(super) lost: Counter,
}

/// Writes what is in the books into the ledger.
pub(super) struct Keeper {
    ledger: Arc<Embedded>,
    pending: Vec<Row>,
    tidied: Option<Instant>,
    is_failing: bool,
}

impl Embedded {
    pub(super) fn open(path: Option<&Path>, keep_for: i64) -> Result<Self, Failed> {
        Ok(Self {
            sqlite: Mutex::new(Sqlite::open(path)?),
            keep_for,
            lost: Counter::default(),
        })
    }
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(ledger: Arc<Embedded>) -> Self {
        Self {
            ledger,
            pending: Vec::new(),
            tidied: None,
            is_failing: false,
        }
    }

    fn enter(&mut self, hand: &Hand<'_>) {
        let entered = if self.pending.is_empty() {
            self.ledger.sqlite.lock().enter(&hand.groups)
        } else {
            self.pending.extend_from_slice(hand.rows);
            let all = Hand::new(&self.pending);
            self.ledger.sqlite.lock().enter(&all.groups)
        };
        match entered {
            Ok(()) => {
                self.pending = Vec::new();
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the ledger can be written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the ledger cannot be written; its rows are kept in memory for now");
                }
                if self.pending.is_empty() {
                    self.pending = hand.rows.to_vec();
                }
                let beyond = self.pending.len().saturating_sub(MAX_PENDING);
                let lost = self.pending.drain(..beyond).map(|row| row.requests());
                self.ledger.lost.add(lost.sum());
            }
        }
    }

    /// Removes what is too old, at first and once an hour.
    fn tidy(&mut self, newest: i64) {
        let is_recent = |tidied: Instant| tidied.elapsed() < Duration::from_hours(1);
        if self.tidied.is_some_and(is_recent) {
            return;
        }
        self.tidied = Some(Instant::now());
        let before = newest.saturating_sub(self.ledger.keep_for);
        match self.ledger.sqlite.lock().forget(before) {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old rows of the ledger removed"),
            Err(error) => tracing::warn!(%error, "old rows of the ledger cannot be removed"),
        }
    }
}

impl Reader for Keeper {
    fn read(&mut self, hand: &Hand<'_>) {
        if !hand.rows.is_empty() || !self.pending.is_empty() {
            self.enter(hand);
        }
        if let Some(row) = hand.rows.last() {
            self.tidy(row.at);
        }
    }

    fn close(&mut self) {
        self.read(&Hand::new(&[]));
        let lost: u64 = self.pending.iter().map(Row::requests).sum();
        if lost > 0 {
            tracing::error!(lost, "the ledger could not be written to the end");
        }
    }
}
