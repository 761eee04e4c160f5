//! The thread that looks at requests that are over.
//!
//! Telling it of one costs a request a lock and a move. It works for a tenth of the time at most; what there is no room for
//! meanwhile is dropped and counted, and no request ever waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::student::Student;
use super::trial::Outcome;
use super::{Known, now};
use crate::compressor::{Lessons, Plan};
use crate::request::Saved;

/// Requests that may wait, and the most that their bodies take, in bytes.
const WAITING: usize = 256;
const ROOM: usize = 4 * 1024 * 1024;
/// For each moment of work it rests so many.
const REST: u32 = 9;
/// It looks up so often, whether anything came or not.
const TICK: Duration = Duration::from_secs(1);

/// A request that is over, as far as it is looked at.
pub(super) struct Heard {
    /// Its body as it came.
    pub body: Bytes,
    /// A hash of whose it was.
    pub caller: u64,
    /// What was done to each role's text.
    pub plan: Plan,
    /// The conversation's version; `None` where nothing is applied.
    pub lot: Option<Lot>,
    /// What was taken out.
    pub saved: Saved,
    /// What it came to.
    pub outcome: Outcome,
    /// What a thousand tokens of its prompt cost, in nano-dollars.
    pub price: u64,
}

/// What fell to a conversation.
#[derive(Debug, Clone)]
pub(super) struct Lot {
    /// The version that it began under.
    pub version: u32,
    /// What that has.
    pub lessons: Arc<Lessons>,
    /// The name of the conversation.
    pub conversation: u64,
    /// It is held out.
    pub is_held: bool,
    /// This is its first request, and it is compared.
    pub is_new: bool,
}

/// Takes requests; when it is dropped, its thread looks at what is left and ends.
pub(super) struct Listener {
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    papers: Mutex<Papers>,
    /// There is something to do.
    bell: Condvar,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Papers {
    waiting: VecDeque<Heard>,
    /// The bodies that wait, in bytes.
    bytes: usize,
    missed: u64,
    is_over: bool,
    /// Who waits for the end.
    at_the_end: Vec<oneshot::Sender<()>>,
}

// === impl Listener ===

impl Listener {
    /// Starts the thread, which hands to the student what it hears.
    pub(super) fn start(student: Student) -> Self {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        let started = thread::Builder::new()
            .name("learner".to_owned())
            .spawn(move || own.listen(student));
        if let Err(error) = started {
            tracing::error!(%error, "no thread to learn with: nothing is learned");
            desk.papers.lock().is_over = true;
        }
        Self { desk }
    }

    /// Hands a request over, if there is room.
    pub(super) fn hear(&self, heard: Heard) {
        let mut papers = self.desk.papers.lock();
        let bytes = papers.bytes + heard.body.len();
        if papers.is_over || papers.waiting.len() >= WAITING || bytes > ROOM {
            papers.missed += 1;
            return;
        }
        papers.bytes = bytes;
        papers.waiting.push_back(heard);
        if papers.waiting.len() == 1 {
            self.desk.bell.notify_one();
        }
    }

    /// What is known by now.
    pub(super) fn known(&self) -> Known {
        self.desk.known.lock().clone()
    }

    /// Waits until what was heard has been looked at and written down.
    pub(super) async fn close(&self) {
        let (tell, told) = oneshot::channel();
        {
            let mut papers = self.desk.papers.lock();
            papers.is_over = true;
            papers.at_the_end.push(tell);
            self.desk.bell.notify_one();
        }
        // An error means that the thread is gone.
        let _ = told.await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.desk.papers.lock().is_over = true;
        self.desk.bell.notify_one();
    }
}

// === impl Desk ===

impl Desk {
    fn listen(&self, mut student: Student) {
        let _gone = Gone(self);
        let mut next_tick = Instant::now();
        loop {
            let (heard, missed, is_over) = self.next(next_tick);
            let begun = Instant::now();
            student.missed(missed);
            let has_heard = heard.is_some();
            if let Some(heard) = heard {
                student.listen(&heard, begun, now());
            }
            if begun >= next_tick {
                student.tick(now());
                next_tick = begun + TICK;
            }
            *self.known.lock() = student.known();
            if is_over && !has_heard {
                student.close(now());
                return;
            }
            if !is_over {
                self.rest(begun.elapsed() * REST);
            }
        }
    }

    /// The next request, if one comes before it is time to look up; how many were missed, and whether it is over.
    fn next(&self, until: Instant) -> (Option<Heard>, u64, bool) {
        let mut papers = self.papers.lock();
        while papers.waiting.is_empty() && !papers.is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.bell.wait_for(&mut papers, left).timed_out() {
                break;
            }
        }
        let heard = papers.waiting.pop_front();
        papers.bytes -= heard.as_ref().map_or(0, |heard| heard.body.len());
        let missed = std::mem::take(&mut papers.missed);
        (heard, missed, papers.is_over)
    }

    /// Leaves the core to others, unless it is over.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut papers = self.papers.lock();
        while !papers.is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Woken by what came meanwhile, it goes on resting.
            self.bell.wait_for(&mut papers, left);
        }
    }
}

/// However the thread ends, nothing is kept for it and nobody waits for it after that.
struct Gone<'d>(&'d Desk);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut papers = self.0.papers.lock();
        papers.is_over = true;
        papers.waiting.clear();
        papers.bytes = 0;
        papers.at_the_end.clear();
    }
}
