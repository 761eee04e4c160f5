//! The idle connections, the one that was used last on top.
//!
//! A name is resolved when a connection is opened. Connections in steady use would keep to an address for as long as it
//! answers, whatever the name has come to mean: so each is used for so long and no longer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;

/// Connections that wait for a call. No more than there may be sockets: a new one is opened only when none waits here.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    idle_timeout: Duration,
    max_age: Duration,
}

#[derive(Default)]
struct Idle {
    /// The longest idle one first.
    resting: Vec<Resting>,
    /// Whether a task looks after them, and how to wake it, once it has begun to.
    is_tended: bool,
    tender: Option<Waker>,
}

struct Resting {
    connection: Box<Connection>,
    /// When it is to be closed.
    until: Instant,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(idle_timeout: Duration, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            idle_timeout,
            max_age,
        })
    }

    /// The connection that was used last, if there is one that may still be used.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let Resting { connection, until } = self.idle.lock().resting.pop()?;
            if Instant::now() < until {
                return Some(connection);
            }
            connection.close();
        }
    }

    /// How many connections wait for a call.
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().resting.len()
    }

    /// Keeps a connection whose exchange has ended for the next one, if it is good for one.
    pub(super) fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_idle() {
            return;
        }
        let now = Instant::now();
        let oldest = connection.opened() + self.max_age;
        if now >= oldest {
            connection.close();
            return;
        }
        let mut idle = self.idle.lock();
        if let Some(tender) = &idle.tender
            && !connection.rest(tender)
        {
            return;
        }
        idle.resting.push(Resting {
            connection,
            until: oldest.min(now + self.idle_timeout),
        });
        // Without a runtime nobody is left to call.
        if !idle.is_tended
            && let Ok(runtime) = Handle::try_current()
        {
            idle.is_tended = true;
            // It belongs to no call, and ends when nothing is idle any more.
            runtime.spawn(tend(Arc::downgrade(self)));
        }
    }

    /// Closes what has ended or waited for too long; tells when to look again, if anything is left.
    fn sweep(&self, task: &Waker) -> Option<Instant> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        let mut over = Vec::new();
        let mut next = None::<Instant>;
        for mut resting in std::mem::take(&mut idle.resting) {
            if resting.until > now && resting.connection.check(task) {
                next = Some(next.map_or(resting.until, |next| next.min(resting.until)));
                idle.resting.push(resting);
            } else {
                over.push(resting.connection);
            }
        }
        idle.is_tended = next.is_some();
        idle.tender = next.map(|_| task.clone());
        drop(idle);
        for connection in over {
            connection.close();
        }
        next
    }
}

/// Looks after the idle connections for as long as there are any: closes those whose time is over, and those which the
/// other side has closed.
async fn tend(pool: Weak<Pool>) {
    let mut alarm = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let next = pool.upgrade().and_then(|pool| pool.sweep(cx.waker()));
            let Some(next) = next else {
                return Poll::Ready(());
            };
            alarm.as_mut().reset(next);
            ready!(alarm.as_mut().poll(cx));
        }
    })
    .await;
}
