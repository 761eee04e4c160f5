//! Rows on their way into a shared ledger, and how far it has come with them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::metering::account::Row;
use crate::metering::ledger::MAX_PENDING;

/// What the books' thread puts in, and the ledger's takes out.
pub(super) struct Queue {
    papers: Mutex<Papers>,
    /// There is something to do.
    bell: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Papers {
    rows: VecDeque<Row>,
    /// How many were ever put in.
    put: u64,
    is_over: bool,
}

/// How far the writer has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// How many rows are entered, or given up.
    pub(super) done: u64,
    /// Whether it has tried to connect.
    pub(super) has_tried: bool,
    /// It cannot write at present.
    pub(super) is_failing: bool,
    /// It does nothing any more.
    pub(super) is_over: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            papers: Mutex::default(),
            bell: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// Puts rows in. Where there is no room, the oldest are given up: says how many requests these were.
    pub(super) fn put(&self, rows: &[Row]) -> u64 {
        let mut papers = self.papers.lock();
        papers.put += rows.len() as u64;
        papers.rows.extend(rows.iter().cloned());
        let beyond = papers.rows.len().saturating_sub(MAX_PENDING);
        let lost = papers.rows.drain(..beyond).map(|row| row.requests()).sum();
        drop(papers);
        if beyond > 0 {
            self.note(|progress| progress.done += beyond as u64);
        }
        self.bell.notify_one();
        lost
    }

    /// Puts rows back that were taken out, before all others.
    pub(super) fn put_back(&self, rows: Vec<Row>) {
        let mut papers = self.papers.lock();
        for row in rows.into_iter().rev() {
            papers.rows.push_front(row);
        }
    }

    /// Takes the oldest out.
    pub(super) fn take(&self, most: usize) -> Vec<Row> {
        let mut papers = self.papers.lock();
        let count = papers.rows.len().min(most);
        papers.rows.drain(..count).collect()
    }

    /// Waits until there is something to do.
    pub(super) async fn bell(&self) {
        self.bell.notified().await;
    }

    /// Nothing will follow.
    pub(super) fn close(&self) {
        self.papers.lock().is_over = true;
        self.bell.notify_one();
    }

    /// Whether nothing will follow.
    pub(super) fn is_closed(&self) -> bool {
        self.papers.lock().is_over
    }

    /// Writes down how far the writer has come.
    pub(super) fn note(&self, write: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(write);
    }

    /// How many rows were put in and are not entered.
    pub(super) fn waiting(&self) -> u64 {
        // In this order: more is put in meanwhile than this says, never less.
        let done = self.progress.borrow().done;
        self.papers.lock().put.saturating_sub(done)
    }

    /// Waits until all that was put in before is entered, or cannot be.
    pub(super) async fn settled(&self) {
        let put = self.papers.lock().put;
        self.until(|progress| progress.done >= put || progress.is_failing)
            .await;
    }

    /// Waits until the writer has come so far, or is gone.
    pub(super) async fn until(&self, mut is_met: impl FnMut(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        // The sender is this queue's own.
        let _ = progress
            .wait_for(|progress| progress.is_over || is_met(progress))
            .await;
    }
}
