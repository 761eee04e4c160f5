//! The questions of a batch on their way: a few at once, each in a task of its own.
//!
//! A batch has one place among the requests that are worked on, which is enough for it to come to its end: it waits for
//! nobody. Beyond that it takes places for as long as a question takes, and only while most are free.
//!
//! A process that is about to end begins with no more of them: those who wait are sent away, so that those who have their
//! answers get them in time.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::one::{Answers, Batch};
use super::question::Question;
use super::told::Told;
use crate::edge::access::Context;
use crate::edge::auth::Caller;
use crate::edge::{Edge, Place};

/// How often a batch that works on fewer questions than it may looks whether there is a place for one more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The questions that are left, and those under way. Dropped, all of them end.
pub(super) struct Round {
    batch: Arc<Batch>,
    waiting: VecDeque<Question>,
    running: JoinSet<Answers>,
    /// What became of the last one to be done, for those who have not been told yet.
    done: Option<Answers>,
    /// For all that are running but one.
    places: Vec<Place>,
}

impl Round {
    pub(super) fn new(
        edge: &Edge,
        context: &Context,
        incoming: HeaderMap,
        caller: Caller,
        waiting: VecDeque<Question>,
    ) -> Self {
        let batch = Batch {
            edge: edge.clone(),
            context: context.clone(),
            incoming,
            caller,
        };
        Self {
            batch: Arc::new(batch),
            waiting,
            running: JoinSet::new(),
            done: None,
            places: Vec::new(),
        }
    }

    /// What became of the next request to be done, in no more than so many bytes where it is an answer; `None` after the
    /// last. Nothing is lost where it is not waited for.
    pub(super) async fn next(&mut self, room: usize) -> Option<Told> {
        loop {
            if let Some(told) = self.done.as_mut().and_then(|done| done.next(room)) {
                return Some(told);
            }
            self.done = None;
            if self.batch.edge.is_draining()
                && let Some(question) = self.waiting.pop_front()
            {
                self.done = Some(self.batch.turn_away(question));
                continue;
            }
            self.fill();
            let waits = !self.waiting.is_empty() && self.running.len() < self.most();
            tokio::select! {
                biased;
                done = self.running.join_next() => match done? {
                    Ok(answers) => {
                        self.places.truncate(self.running.len().saturating_sub(1));
                        self.done = Some(answers);
                    }
                    // What a question can do to its task is caught there: this is ours, and the whole request's end.
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            resume_unwind(panic);
                        }
                    }
                },
                () = sleep(LOOK_AGAIN), if waits => {}
            }
        }
    }

    fn most(&self) -> usize {
        self.batch.edge.shared.config.batch.concurrency
    }

    /// Begins with as many questions as there are places for.
    fn fill(&mut self) {
        while self.running.len() < self.most() && !self.waiting.is_empty() {
            if self.running.len() > self.places.len() {
                let Batch { edge, caller, .. } = &*self.batch;
                let Some(place) = edge.admit_more(caller) else {
                    return;
                };
                self.places.push(place);
            }
            let Some(question) = self.waiting.pop_front() else {
                return;
            };
            self.running.spawn(Arc::clone(&self.batch).answer(question));
        }
    }
}
