//! Flights, free of tower: one call, an append-only log of what it yields, and the seats of those who read.
//!
//! A flight belongs to nobody. It runs in its own task, so that a leader who hangs up fails no follower; when
//! the last seat is given up, the task is aborted and the upstream call with it. Who joins late reads the
//! log from its beginning and then the rest as it comes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::layers::ReplyResult;
use crate::reply::{self, Ending, Frame, Reply, StreamKind, Whole};

/// How far, in bytes, a stream may run ahead of its fastest reader before it waits for one. Enough to keep a
/// fast reader busy, too little for a slow one to fill memory.
const MAX_LEAD: usize = 256 * 1024;

/// All flights that are in the air. Cheap to clone.
#[derive(Clone, Default)]
pub struct Flights {
    air: Arc<Mutex<HashMap<Fingerprint, Arc<Flight>>>>,
}

/// One call and what it has yielded so far.
struct Flight {
    log: Mutex<Log>,
    /// Changes after the log did.
    progress: watch::Sender<()>,
    /// Wakes the task when the fastest reader has caught up.
    caught_up: Notify,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Log {
    head: Option<Result<Head, ProxyError>>,
    chunks: Vec<Bytes>,
    end: Option<Result<Ending, ProxyError>>,
    /// Bytes in `chunks`.
    written: usize,
    /// Bytes that the fastest reader has taken.
    taken: usize,
    /// Readers, present and future; changed only under the lock of [`Flights::air`].
    seats: usize,
}

/// The beginning of a flight's reply.
#[derive(Clone)]
pub(super) enum Head {
    /// All of it.
    Whole(Whole),
    /// The chunks follow.
    Stream {
        /// Status and headers.
        head: reply::Head,
        /// What the chunks are.
        kind: StreamKind,
    },
}

/// A place in a flight; the last one to be dropped ends it.
pub(super) struct Seat {
    flights: Flights,
    fingerprint: Fingerprint,
    flight: Arc<Flight>,
    progress: watch::Receiver<()>,
    /// Whether this caller started the flight.
    pub(super) is_leader: bool,
}

/// A seat that reads chunks.
pub(super) struct Reader {
    seat: Seat,
    next: usize,
    taken: usize,
}

/// The task's hold on its flight: whatever ends the task, a panic included, the flight lands.
struct Landing {
    flights: Flights,
    fingerprint: Fingerprint,
    flight: Arc<Flight>,
}

// === impl Flights ===

impl Flights {
    /// A seat in the flight of this fingerprint; where there is none, `call` makes one.
    pub(super) fn join_or_start<F>(
        &self,
        fingerprint: Fingerprint,
        call: impl FnOnce() -> F,
    ) -> Seat
    where
        F: Future<Output = ReplyResult> + Send + 'static,
    {
        let mut air = self.air.lock();
        if let Some(flight) = air.get(&fingerprint) {
            flight.log.lock().seats += 1;
            return self.seat(fingerprint, Arc::clone(flight), false);
        }
        let flight = Arc::new(Flight {
            log: Mutex::new(Log {
                seats: 1,
                ..Log::default()
            }),
            progress: watch::Sender::new(()),
            caught_up: Notify::new(),
            task: Mutex::new(None),
        });
        air.insert(fingerprint, Arc::clone(&flight));
        drop(air);
        let landing = Landing {
            flights: self.clone(),
            fingerprint,
            flight: Arc::clone(&flight),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a flight outlives the request that started it; its last seat aborts it"
        )]
        let task = tokio::spawn(landing.fly(call()));
        *flight.task.lock() = Some(task.abort_handle());
        self.seat(fingerprint, flight, true)
    }

    /// How many flights are in the air.
    pub fn len(&self) -> usize {
        self.air.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn seat(&self, fingerprint: Fingerprint, flight: Arc<Flight>, is_leader: bool) -> Seat {
        let progress = flight.progress.subscribe();
        Seat {
            flights: self.clone(),
            fingerprint,
            flight,
            progress,
            is_leader,
        }
    }

    /// Takes a flight off the map, unless another has taken its place there.
    fn forget(
        air: &mut HashMap<Fingerprint, Arc<Flight>>,
        fingerprint: Fingerprint,
        flight: &Arc<Flight>,
    ) {
        if air
            .get(&fingerprint)
            .is_some_and(|known| Arc::ptr_eq(known, flight))
        {
            air.remove(&fingerprint);
        }
    }
}

// === impl Landing ===

impl Landing {
    async fn fly(self, call: impl Future<Output = ReplyResult>) {
        let mut stream = match call.await {
            Ok(Reply::Stream(stream)) => stream,
            Ok(Reply::Whole(whole)) => {
                return self.land(|log| log.head = Some(Ok(Head::Whole(whole))));
            }
            Err(error) => return self.land(|log| log.head = Some(Err(error))),
        };
        let head = Head::Stream {
            head: stream.head.clone(),
            kind: stream.kind,
        };
        self.flight.append(|log| log.head = Some(Ok(head)));
        loop {
            match stream.frames.next().await {
                Some(Ok(Frame::Chunk(chunk))) => {
                    self.flight.append(|log| {
                        log.written += chunk.len();
                        log.chunks.push(chunk);
                    });
                    self.flight.wait_for_readers().await;
                }
                Some(Ok(Frame::End(ending))) => return self.land(|log| log.end = Some(Ok(ending))),
                Some(Err(error)) => return self.land(|log| log.end = Some(Err(error))),
                None => return self.land(|_| ()),
            }
        }
    }

    /// Off the map first: who comes after the end must not be given what is over, above all not a failure.
    fn land(&self, last: impl FnOnce(&mut Log)) {
        Flights::forget(&mut self.flights.air.lock(), self.fingerprint, &self.flight);
        self.flight.append(last);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let lost = || ProxyError::Internal("the shared call ended without a result");
        self.land(|log| {
            if !matches!(log.head, Some(Ok(Head::Whole(_)) | Err(_))) {
                log.head.get_or_insert_with(|| Err(lost()));
                log.end.get_or_insert_with(|| Err(lost()));
            }
        });
    }
}

// === impl Flight ===

impl Flight {
    fn append(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log.lock());
        self.progress.send_replace(());
    }

    async fn wait_for_readers(&self) {
        loop {
            {
                let log = self.log.lock();
                if log.written - log.taken <= MAX_LEAD {
                    return;
                }
            }
            self.caught_up.notified().await;
        }
    }
}

// === impl Seat ===

impl Seat {
    /// Waits for the head.
    pub(super) async fn head(&self) -> Result<Head, ProxyError> {
        let mut progress = self.progress.clone();
        loop {
            progress.mark_unchanged();
            if let Some(head) = &self.flight.log.lock().head {
                return head.clone();
            }
            // The sender lives in the flight, which this seat holds.
            let _ = progress.changed().await;
        }
    }

    /// Reads the chunks from the first one on.
    pub(super) fn into_reader(self) -> Reader {
        Reader {
            seat: self,
            next: 0,
            taken: 0,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut air = self.flights.air.lock();
        let is_last = {
            let mut log = self.flight.log.lock();
            log.seats -= 1;
            log.seats == 0
        };
        if is_last {
            Flights::forget(&mut air, self.fingerprint, &self.flight);
            drop(air);
            if let Some(task) = self.flight.task.lock().take() {
                task.abort();
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    /// The next chunk, or how the stream ended.
    pub(super) async fn step(mut self) -> (Self, Result<Frame, ProxyError>) {
        loop {
            self.seat.progress.mark_unchanged();
            if let Some(item) = self.take() {
                return (self, item);
            }
            // The sender lives in the flight, which the seat holds.
            let _ = self.seat.progress.changed().await;
        }
    }

    fn take(&mut self) -> Option<Result<Frame, ProxyError>> {
        let flight = &self.seat.flight;
        let mut log = flight.log.lock();
        let Some(chunk) = log.chunks.get(self.next).cloned() else {
            return log.end.clone().map(|end| end.map(Frame::End));
        };
        self.next += 1;
        self.taken += chunk.len();
        if self.taken > log.taken {
            log.taken = self.taken;
            drop(log);
            flight.caught_up.notify_one();
        }
        Some(Ok(Frame::Chunk(chunk)))
    }
}
