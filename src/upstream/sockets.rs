//! The cap on upstream sockets; reqwest has none (reqwest#1089, #1517).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::ProxyError;

/// How long a socket of reqwest's counts as busy after its body's end, while they are scarce. Its connection is idle
/// again a moment later; who dialled in that moment would open one socket too many.
pub(super) const SETTLE: Duration = Duration::from_millis(1);

/// So many sockets may be busy at once. Cheap to clone.
#[derive(Clone)]
pub struct Sockets {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    cap: usize,
    /// How long a socket counts as busy after its body's end.
    settle: Duration,
}

/// How the sockets are used at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketUse {
    /// So many calls have one.
    pub in_use: usize,
    /// So many calls wait for one.
    pub waiting: usize,
    /// So many may be in use at once.
    pub limit: usize,
}

/// A call that waits in line.
struct Waiting<'a>(&'a AtomicUsize);

/// The use of one socket, until the body has ended.
pub(super) struct SocketPermit {
    permit: Option<OwnedSemaphorePermit>,
    settle: Duration,
    /// With fewer than so many free, sockets are scarce.
    scarce: usize,
}

impl Sockets {
    pub(super) fn new(cap: usize, settle: Duration) -> Self {
        let cap = cap.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(cap)),
            waiting: Arc::default(),
            cap,
            settle,
        }
    }

    /// How they are used at the moment.
    pub fn usage(&self) -> SocketUse {
        SocketUse {
            in_use: self.cap.saturating_sub(self.free.available_permits()),
            waiting: self.waiting.load(Ordering::Relaxed),
            limit: self.cap,
        }
    }

    /// What a call gets that found no socket in time.
    pub(super) fn busy(&self) -> ProxyError {
        ProxyError::SocketsBusy {
            limit: self.cap,
            retry_after: Duration::from_secs(1),
        }
    }

    /// Waits in line for a socket, until the deadline.
    pub(super) async fn acquire(&self, deadline: Instant) -> Result<SocketPermit, ProxyError> {
        let permit = if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            permit
        } else {
            let _waiting = Waiting::begin(&self.waiting);
            let queued = timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await;
            queued.map_err(|_| self.busy())?.map_err(|_| self.busy())?
        };
        Ok(SocketPermit {
            permit: Some(permit),
            settle: self.settle,
            scarce: self.cap / 2,
        })
    }
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let settle = self.settle;
        // With half of them free, all that are on their way back fit beside those that are busy.
        if settle.is_zero() || permit.semaphore().available_permits() >= self.scarce.max(1) {
            return;
        }
        // Outside of a runtime nobody is left to call.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep(settle).await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn who_has_a_socket_and_who_waits_is_counted() {
        let sockets = Sockets::new(1, Duration::ZERO);
        let used = |in_use, waiting| SocketUse {
            in_use,
            waiting,
            limit: 1,
        };
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(sockets.usage(), used(0, 0));
        let held = sockets.acquire(later).await.unwrap();
        {
            let mut queued = pin!(sockets.acquire(later));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(queued.as_mut().poll(&mut cx).is_pending());
            assert_eq!(sockets.usage(), used(1, 1));
        }
        // Whoever gives up waits no more.
        assert_eq!(sockets.usage(), used(1, 0));
        drop(held);
        assert_eq!(sockets.usage(), used(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_cap_wait_inside_their_deadline() {
        let sockets = Sockets::new(1, Duration::ZERO);
        let soon = Instant::now() + Duration::from_secs(1);
        let held = sockets.acquire(soon).await.unwrap();
        assert!(matches!(
            sockets.acquire(soon).await,
            Err(ProxyError::SocketsBusy { limit: 1, .. })
        ));
        drop(held);
        assert!(
            sockets
                .acquire(Instant::now() + Duration::from_secs(1))
                .await
                .is_ok()
        );
    }
}
