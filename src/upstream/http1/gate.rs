//! Who is woken when a connection can go on: the call that uses it, not the connection itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Nobody is at the connection: who wakes it wakes its task.
const LEFT: u8 = 0;
/// The task is at the connection and will see what there is.
const ENTERED: u8 = 1;
/// As before, and something came meanwhile.
const CALLED: u8 = 2;

/// The waker that a connection is polled with.
///
/// A connection and the body that it fills tell each other through wakers what is there. Both are polled by one task,
/// one after the other, so to wake it for that would only have it run once more.
pub(super) struct Gate {
    state: AtomicU8,
    task: AtomicWaker,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(LEFT),
            task: AtomicWaker::new(),
        })
    }

    /// From now on this task is woken.
    pub(super) fn lead_to(&self, task: &Waker) {
        self.task.register(task);
    }

    /// The connection is about to be polled. Nobody is woken until it is left again.
    pub(super) fn enter(&self) {
        self.state.swap(ENTERED, Ordering::AcqRel);
    }

    /// The connection has been polled; tells whether something came since, which it may not have seen.
    pub(super) fn leave(&self) -> bool {
        self.state.swap(LEFT, Ordering::AcqRel) == CALLED
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let call = |state| (state != LEFT).then_some(CALLED);
        let called = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, call);
        if called.is_err() {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_when_it_is_away_and_told_when_it_leaves() {
        let (gate, task) = (Gate::new(), Arc::new(Task::default()));
        let woken = || task.0.load(Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&gate));
        gate.lead_to(&Waker::from(Arc::clone(&task)));
        gate.enter();
        assert!(!gate.leave(), "nothing came");
        gate.enter();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(woken(), 0);
        assert!(gate.leave(), "it is told");
        assert!(!gate.leave(), "once");
        waker.wake_by_ref();
        assert_eq!(woken(), 1);
        // What came before it is there is seen when it polls.
        gate.lead_to(&Waker::from(Arc::clone(&task)));
        gate.enter();
        waker.wake_by_ref();
        gate.enter();
        assert!(!gate.leave());
    }
}
