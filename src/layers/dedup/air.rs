//! Who sits in which flight, and the log that they read: joining, leaving, landing, waiting.
//!
//! Free of tower and of any runtime, so that `tests/loom.rs` can run this very file through every interleaving of
//! its threads. What has to hold, whatever the order of events:
//!
//! - Of those who join under one key, one gets the [`Pilot`], and all read the same items from the first one on.
//! - Whoever waits is woken: readers by the next item, the pilot by its readers.
//! - The last one to leave ends the call, once. Whoever comes after that starts another flight.
//! - A pilot that is dropped, by a panic for example, still lands: nobody waits for ever.

use std::collections::HashMap;
use std::hash::Hash;
use std::task::{Context, Poll, Waker};

use super::sync::{Arc, Mutex};

/// How far, in bytes, a call may run ahead of its fastest reader before it waits for one. Enough to keep a fast
/// reader busy, too little for a slow one to fill memory.
pub(super) const MAX_LEAD: usize = 256 * 1024;

/// What a call yields, piece by piece.
pub(super) trait Item: Clone {
    /// Its size in bytes.
    fn weight(&self) -> usize;

    /// What readers get from a call that ended without a last item; `has_begun`: they have read some.
    fn lost(has_begun: bool) -> Self;
}

/// All flights that are under way, by key.
pub(super) struct Air<K, T> {
    flights: Mutex<HashMap<K, Arc<Flight<T>>>>,
}

/// One call and what it has yielded so far.
struct Flight<T> {
    log: Mutex<Log<T>>,
}

struct Log<T> {
    items: Vec<T>,
    /// No item follows.
    has_landed: bool,
    /// Bytes in `items`.
    written: usize,
    /// Bytes that the fastest reader has taken.
    taken: usize,
    /// Readers, present and future; changed only under the lock of [`Air::flights`].
    seats: usize,
    /// Seats so far: the number of the next one.
    numbered: usize,
    /// Readers who have taken everything, by the number of their seat.
    waiting: Vec<(usize, Waker)>,
    /// The pilot, while it waits for its readers.
    held_back: Option<Waker>,
    /// What ends the call when nobody is left.
    end_call: Option<Box<dyn FnOnce() + Send>>,
}

/// A reader's place in a flight; the last one to be dropped ends the call.
pub(super) struct Seat<K: Eq + Hash, T> {
    air: Arc<Air<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    number: usize,
    /// Items taken so far, and their bytes.
    next: usize,
    taken: usize,
}

/// The writing end of a flight.
pub(super) struct Pilot<K: Eq + Hash, T: Item> {
    air: Arc<Air<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
}

// === impl Air ===

impl<K, T> Air<K, T> {
    pub(super) fn new() -> Self {
        Self {
            flights: Mutex::new(HashMap::new()),
        }
    }

    /// How many flights are under way.
    pub(super) fn len(&self) -> usize {
        self.flights.lock().len()
    }

    /// How many seats they have.
    pub(super) fn seats(&self) -> usize {
        let flights = self.flights.lock();
        flights.values().map(|flight| flight.log.lock().seats).sum()
    }
}

impl<K: Copy + Eq + Hash, T: Item> Air<K, T> {
    /// A seat in the flight of this key, and the pilot's where there was none before.
    pub(super) fn join(air: &Arc<Self>, key: K) -> (Seat<K, T>, Option<Pilot<K, T>>) {
        let mut flights = air.flights.lock();
        let known = flights.get(&key).cloned();
        let is_new = known.is_none();
        let flight = known.unwrap_or_else(|| {
            let flight = Arc::new(Flight {
                log: Mutex::new(Log::new()),
            });
            flights.insert(key, Arc::clone(&flight));
            flight
        });
        let number = flight.log.lock().seat();
        drop(flights);
        let pilot = is_new.then(|| Pilot {
            air: Arc::clone(air),
            key,
            flight: Arc::clone(&flight),
        });
        let seat = Seat {
            air: Arc::clone(air),
            key,
            flight,
            number,
            next: 0,
            taken: 0,
        };
        (seat, pilot)
    }
}

/// Takes a flight off the map, unless another has taken its place there.
fn forget<K: Eq + Hash, T>(
    flights: &mut HashMap<K, Arc<Flight<T>>>,
    key: &K,
    flight: &Arc<Flight<T>>,
) {
    let is_known = flights
        .get(key)
        .is_some_and(|known| Arc::ptr_eq(known, flight));
    if is_known {
        flights.remove(key);
    }
}

// === impl Log ===

impl<T> Log<T> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            has_landed: false,
            written: 0,
            taken: 0,
            seats: 0,
            numbered: 0,
            waiting: Vec::new(),
            held_back: None,
            end_call: None,
        }
    }

    fn seat(&mut self) -> usize {
        self.seats += 1;
        self.numbered += 1;
        self.numbered
    }
}

// === impl Flight ===

impl<T: Item> Flight<T> {
    fn append(&self, item: T, is_last: bool) {
        let waiting = {
            let mut log = self.log.lock();
            log.written += item.weight();
            log.items.push(item);
            log.has_landed |= is_last;
            std::mem::take(&mut log.waiting)
        };
        // Not under the lock, which is the first thing that they take.
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

// === impl Pilot ===

impl<K: Eq + Hash, T: Item> Pilot<K, T> {
    /// Hands an item to all readers.
    pub(super) fn append(&self, item: T) {
        self.flight.append(item, false);
    }

    /// Ready when the fastest reader is near enough.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut log = self.flight.log.lock();
        if log.written - log.taken <= MAX_LEAD {
            return Poll::Ready(());
        }
        log.held_back = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands the last item to all readers.
    pub(super) fn land(self, last: T) {
        self.end(last);
    }

    /// Off the map first: who comes after the end must not be given what is over, above all not a failure.
    fn end(&self, last: T) {
        forget(&mut self.air.flights.lock(), &self.key, &self.flight);
        self.flight.append(last, true);
    }
}

impl<K: Eq + Hash, T: Item> Drop for Pilot<K, T> {
    fn drop(&mut self) {
        let has_begun = {
            let log = self.flight.log.lock();
            if log.has_landed {
                return;
            }
            !log.items.is_empty()
        };
        self.end(T::lost(has_begun));
    }
}

// === impl Seat ===

impl<K: Eq + Hash, T> Seat<K, T> {
    /// Says what ends the call when nobody is left. For the one who starts it; before its seat is given up.
    pub(super) fn when_all_have_left(&self, end_call: impl FnOnce() + Send + 'static) {
        self.flight.log.lock().end_call = Some(Box::new(end_call));
    }
}

impl<K: Eq + Hash, T: Item> Seat<K, T> {
    /// The next item; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut log = self.flight.log.lock();
        let Some(item) = log.items.get(self.next).cloned() else {
            if log.has_landed {
                return Poll::Ready(None);
            }
            let waker = cx.waker();
            match log.waiting.iter_mut().find(|(n, _)| *n == self.number) {
                Some((_, known)) => known.clone_from(waker),
                None => log.waiting.push((self.number, waker.clone())),
            }
            return Poll::Pending;
        };
        self.next += 1;
        self.taken += item.weight();
        let mut held_back = None;
        if self.taken > log.taken {
            log.taken = self.taken;
            held_back = log.held_back.take();
        }
        drop(log);
        if let Some(pilot) = held_back {
            pilot.wake();
        }
        Poll::Ready(Some(item))
    }
}

impl<K: Eq + Hash, T> Drop for Seat<K, T> {
    fn drop(&mut self) {
        let mut flights = self.air.flights.lock();
        let end_call = {
            let mut log = self.flight.log.lock();
            log.waiting.retain(|(number, _)| *number != self.number);
            log.seats -= 1;
            if log.seats > 0 {
                return;
            }
            log.end_call.take()
        };
        forget(&mut flights, &self.key, &self.flight);
        drop(flights);
        if let Some(end_call) = end_call {
            end_call();
        }
    }
}
