//! Every interleaving of joining, leaving and landing (P31, P32): the file that runs in the proxy, on loom's mutexes.
//!
//! loom runs each model again and again, once for each order in which its threads can meet, and fails on a deadlock,
//! which is what a lost wake-up comes to here, and on a count that is wrong in any of them.
#![forbid(unsafe_code)]

use std::task::Context;

use air::{Air, Item, MAX_LEAD, Pilot, Seat};
use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use std::future::poll_fn;
use sync::Arc;

#[path = "../src/layers/dedup/air.rs"]
mod air;

/// What the file is built on, from loom.
mod sync {
    pub(super) use loom::sync::Arc;
    use loom::sync::MutexGuard;

    /// Locks as that of `parking_lot` does.
    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }
}

/// A number, and how many bytes it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Piece(usize),
    End,
    Lost,
}

impl Item for Step {
    fn weight(&self) -> usize {
        match self {
            Self::Piece(bytes) => *bytes,
            Self::End | Self::Lost => 0,
        }
    }

    fn lost(_: bool) -> Self {
        Self::Lost
    }
}

/// Runs a model in every order with up to so many preemptions; voluntary waits are free. More than three find
/// nothing more in practice (see loom's own documentation) and take hours.
const PREEMPTIONS: usize = 3;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

type Skies = Arc<Air<u8, Step>>;

const KEY: u8 = 7;

/// Everything that a seat yields, to the end.
fn read_all(mut seat: Seat<u8, Step>) -> Vec<Step> {
    let mut all = Vec::new();
    while let Some(step) = block_on(poll_fn(|cx: &mut Context<'_>| seat.poll_next(cx))) {
        all.push(step);
    }
    all
}

fn fly(pilot: Pilot<u8, Step>) {
    pilot.append(Step::Piece(1));
    pilot.land(Step::End);
}

#[test]
fn p30_who_joins_reads_everything_from_one_call_whenever_it_lands() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let caller = |air: Skies, calls: Arc<AtomicUsize>| {
            move || {
                let (seat, pilot) = Air::join(&air, KEY);
                if let Some(pilot) = pilot {
                    calls.fetch_add(1, SeqCst);
                    fly(pilot);
                }
                assert_eq!(read_all(seat), [Step::Piece(1), Step::End]);
            }
        };
        let other = thread::spawn(caller(Arc::clone(&air), Arc::clone(&calls)));
        caller(Arc::clone(&air), Arc::clone(&calls))();
        other.join().unwrap();
        // Two calls only if the first had landed before the second caller came.
        assert!((1..=2).contains(&calls.load(SeqCst)));
        assert_eq!(air.len(), 0);
    });
}

#[test]
fn p31_a_leader_that_leaves_fails_no_follower_and_the_last_to_leave_ends_the_call_once() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (calls, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Comes, and goes without reading.
        let passer_by = |air: Skies, calls: Arc<AtomicUsize>, ended: Arc<AtomicUsize>| {
            move || {
                let (seat, pilot) = Air::join(&air, KEY);
                if pilot.is_some() {
                    calls.fetch_add(1, SeqCst);
                    seat.when_all_have_left(move || {
                        ended.fetch_add(1, SeqCst);
                    });
                }
                drop(seat);
                // The call itself goes on until it is ended.
                pilot
            }
        };
        let other = passer_by(Arc::clone(&air), Arc::clone(&calls), Arc::clone(&ended));
        let other = thread::spawn(other);
        let first = passer_by(Arc::clone(&air), Arc::clone(&calls), Arc::clone(&ended))();
        let second = other.join().unwrap();
        assert_eq!(
            calls.load(SeqCst),
            ended.load(SeqCst),
            "each call ends once"
        );
        assert_eq!(
            (air.len(), air.seats()),
            (0, 0),
            "nobody can join what has been given up"
        );
        drop((first, second));
        assert_eq!(air.len(), 0);
    });
}

#[test]
fn p31_a_follower_keeps_the_call_that_its_leader_left() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (leader, pilot) = Air::join(&air, KEY);
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        leader.when_all_have_left(move || {
            count.fetch_add(1, SeqCst);
        });
        let (follower, none) = Air::join(&air, KEY);
        assert!(none.is_none());
        let flying = thread::spawn(move || fly(pilot.unwrap()));
        let leaving = thread::spawn(move || drop(leader));
        assert_eq!(read_all(follower), [Step::Piece(1), Step::End]);
        flying.join().unwrap();
        leaving.join().unwrap();
        assert_eq!(ended.load(SeqCst), 1);
    });
}

#[test]
fn p32_a_call_that_panics_ends_the_wait_of_all() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (leader, pilot) = Air::join(&air, KEY);
        let (follower, _) = Air::join(&air, KEY);
        let waiting = thread::spawn(move || read_all(follower));
        // A panic drops what its task holds.
        let falling = thread::spawn(move || drop(pilot));
        assert_eq!(read_all(leader), [Step::Lost]);
        assert_eq!(waiting.join().unwrap(), [Step::Lost]);
        falling.join().unwrap();
        assert_eq!(air.len(), 0, "the key is free");
    });
}

#[test]
fn p32_who_comes_after_a_failure_asks_anew() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (leader, pilot) = Air::join(&air, KEY);
        let landing = thread::spawn(move || pilot.unwrap().land(Step::End));
        let (late, own) = Air::join(&air, KEY);
        let is_new = own.is_some();
        if let Some(own) = own {
            fly(own);
        }
        let expected: &[_] = if is_new {
            &[Step::Piece(1), Step::End]
        } else {
            &[Step::End]
        };
        assert_eq!(read_all(late), expected);
        assert_eq!(read_all(leader), [Step::End]);
        landing.join().unwrap();
        assert_eq!(air.len(), 0);
    });
}

#[test]
fn p32_who_has_read_the_end_asks_anew() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (leader, pilot) = Air::join(&air, KEY);
        // Somebody who is slow to read; else the leader would be the last to leave.
        let (_slow, _) = Air::join(&air, KEY);
        let landing = thread::spawn(move || pilot.unwrap().land(Step::End));
        assert_eq!(read_all(leader), [Step::End]);
        let (_seat, own) = Air::join(&air, KEY);
        assert!(own.is_some(), "what is over cannot be joined");
        landing.join().unwrap();
    });
}

#[test]
fn p31_a_call_that_was_given_up_does_not_take_its_successor_along() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (leader, old) = Air::join(&air, KEY);
        drop(leader);
        let falling = thread::spawn(move || drop(old));
        let (_second, own) = Air::join(&air, KEY);
        assert!(own.is_some(), "what was given up cannot be joined");
        falling.join().unwrap();
        let (_third, none) = Air::join(&air, KEY);
        assert!(none.is_none(), "the new one can");
    });
}

#[test]
fn p24_a_call_that_waits_for_its_readers_is_woken_by_the_fastest() {
    check(|| {
        let air: Skies = Arc::new(Air::new());
        let (reader, pilot) = Air::join(&air, KEY);
        let flying = thread::spawn(move || {
            let pilot = pilot.unwrap();
            for _ in 0..2 {
                pilot.append(Step::Piece(MAX_LEAD + 1));
                block_on(poll_fn(|cx: &mut Context<'_>| pilot.poll_room(cx)));
            }
            pilot.land(Step::End);
        });
        assert_eq!(read_all(reader).len(), 3);
        flying.join().unwrap();
    });
}
