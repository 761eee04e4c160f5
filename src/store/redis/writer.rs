//! Writes behind the requests: what is to be stored waits in a bounded queue, and where that is full it is dropped
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;

use super::clears::{Ordered, Position};
use super::lease::Ending;
use super::link::Link;
use super::{LONG, MAX_VALUE, Shared};
use crate::fingerprint::Fingerprint;
use crate::request::aside;
use crate::store::{Filter, SharedEntry, codec};

/// So many jobs wait at most,
const MAX_JOBS: usize = 1_024;
/// holding so many bytes together, which an answer that is in the first tier as well shares with it.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Writes that are under way at once.
const AT_ONCE: usize = 8;

/// Something to be written.
pub(super) enum Job {
    /// An answer, and the lease that ends once it is there.
    Store {
        fingerprint: Fingerprint,
        entry: SharedEntry,
        begun: Position,
        ending: Option<Ending>,
    },
    /// The end of a lease.
    End(Ending),
    /// The deletion of what a clear was about.
    Sweep { filter: Filter, order: Ordered },
}

/// The way into the queue.
pub(super) struct Queue {
    sender: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

/// The queue's other end.
pub(super) struct Jobs {
    receiver: mpsc::Receiver<Job>,
    waiting: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (Queue, Jobs) {
    let (sender, receiver) = mpsc::channel(MAX_JOBS);
    let (waiting, bytes) = (Arc::default(), Arc::default());
    let jobs = Jobs {
        receiver,
        waiting: Arc::clone(&waiting),
        bytes: Arc::clone(&bytes),
    };
    let queue = Queue {
        sender,
        waiting,
        bytes,
    };
    (queue, jobs)
}

impl Job {
    fn len(&self) -> usize {
        match self {
            Self::Store { entry, ending, .. } => {
                entry.body.len() + ending.as_ref().map_or(0, Ending::len)
            }
            Self::End(ending) => ending.len(),
            Self::Sweep { .. } => 0,
        }
    }
}

impl Queue {
    /// Takes a job in, or says that there is no room. A lease whose end is not taken in lapses by itself.
    pub(super) fn push(&self, job: Job) -> bool {
        let length = job.len();
        if self.bytes.fetch_add(length, Ordering::Relaxed) + length > MAX_BYTES {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let is_taken = self.sender.try_send(job).is_ok();
        if !is_taken {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        is_taken
    }

    /// How many jobs are not done.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Jobs {
    /// Does the jobs, for ever.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        let Self { waiting, bytes, .. } = &mut self;
        let (waiting, bytes) = (Arc::clone(waiting), Arc::clone(bytes));
        poll_fn(|cx| self.receiver.poll_recv(cx))
            .for_each_concurrent(AT_ONCE, |job| {
                let (shared, waiting, bytes) = (&shared, &waiting, &bytes);
                async move {
                    let length = job.len();
                    shared.work(job).await;
                    bytes.fetch_sub(length, Ordering::Relaxed);
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    if waiting.load(Ordering::Relaxed) == 0 {
                        shared.idle.notify_waiters();
                    }
                }
            })
            .await;
    }
}

impl Shared {
    async fn work(&self, job: Job) {
        let ending = match job {
            Job::Store {
                fingerprint,
                entry,
                begun,
                ending,
            } => {
                let written = self.write(fingerprint, &entry, begun).await;
                let counter = if written.is_some() {
                    &self.stats.written
                } else {
                    &self.stats.dropped
                };
                counter.add(1);
                ending
            }
            Job::End(ending) => Some(ending),
            Job::Sweep { filter, order } => {
                self.sweep(filter, order).await;
                None
            }
        };
        if let Some(ending) = ending {
            let ending = &ending;
            let end = || {
                // Where the lease was asked for, so that it ends after it was taken, whatever became of its caller.
                self.ask(self.timeout, |mut link: Link| async move {
                    ending.run(self, &mut link).await
                })
            };
            self.insist(end).await;
        }
    }

    async fn write(
        &self,
        fingerprint: Fingerprint,
        entry: &SharedEntry,
        begun: Position,
    ) -> Option<()> {
        let write = || async {
            let is_admitted = {
                let known = self.known.lock();
                known.generation == begun.generation && known.clears.admit(begun.clears, entry)
            };
            let left = self.life.saturating_sub(entry.age());
            if !is_admitted || left < Duration::from_millis(1) || !self.is_on() {
                return None;
            }
            let is_long = entry.body.len() >= LONG;
            let value = aside(is_long, || {
                codec::encode(fingerprint, entry, begun.clears, self.life)
            });
            let value = value.filter(|value| value.len() <= MAX_VALUE)?;
            let mut set = redis::cmd("SET");
            set.arg(self.keys.entry(fingerprint, begun.generation))
                .arg(&value[..])
                .arg("PX")
                .arg(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            let set = &set;
            self.put(|mut link: Link| async move { set.exec_async(&mut link).await })
                .await
        };
        self.insist(write).await
    }

    /// Does something that no request waits for, and does it once more if the link broke under it: that may be back at
    /// once, and others wait for what a flight brought.
    async fn insist<T, F>(&self, attempt: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Option<T>>,
    {
        self.switch.patience().await;
        let links = self.switch.made();
        let done = attempt().await;
        if done.is_some() || self.is_on() && self.switch.made() == links {
            return done;
        }
        self.switch.patience().await;
        attempt().await
    }
}
