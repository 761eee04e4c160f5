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

/// So many sockets may be busy at once.
pub(super) struct Sockets {
    free: Arc<Semaphore>,
    cap: usize,
    /// Calls in line for one.
    waiting: AtomicUsize,
    /// How long a socket counts as busy after its body's end.
    settle: Duration,
}

/// How the sockets are used at present. With `upstream.http2` a socket is a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketUse {
    /// Those of calls under way.
    pub in_use: usize,
    /// Those that are kept for the next call; `None` where nobody but the library knows.
    pub idle: Option<usize>,
    /// Calls in line for one.
    pub waiting: usize,
    /// The most there may be.
    pub limit: usize,
}

/// A place in the line.
struct Turn<'s>(&'s AtomicUsize);

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
            cap,
            waiting: AtomicUsize::new(0),
            settle,
        }
    }

    /// How they are used at present; of those that are idle it knows nothing.
    pub(super) fn in_use(&self) -> SocketUse {
        SocketUse {
            in_use: self.cap.saturating_sub(self.free.available_permits()),
            idle: None,
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

    /// Waits in line for a socket, until the deadline; and whether that took most of the time there was.
    pub(super) async fn acquire(
        &self,
        deadline: Instant,
    ) -> Result<(SocketPermit, bool), ProxyError> {
        let (permit, is_late) = if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            (permit, false)
        } else {
            let _turn = Turn::take(&self.waiting);
            let asked = Instant::now();
            let queued = timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await;
            let permit = queued.map_err(|_| self.busy())?.map_err(|_| self.busy())?;
            (permit, asked.elapsed() > (deadline - asked) / 2)
        };
        let permit = SocketPermit {
            permit: Some(permit),
            settle: self.settle,
            scarce: self.cap / 2,
        };
        Ok((permit, is_late))
    }
}

impl<'s> Turn<'s> {
    fn take(waiting: &'s AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Turn<'_> {
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
    use futures_util::FutureExt as _;

    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn whoever_waited_for_most_of_their_time_is_late() {
        for (seconds, late) in [(1, false), (6, true)] {
            let sockets = Sockets::new(1, Duration::ZERO);
            let deadline = Instant::now() + Duration::from_secs(10);
            let (held, is_late) = sockets.acquire(deadline).await.unwrap();
            assert!(!is_late);
            let mut second = Box::pin(sockets.acquire(deadline));
            assert!((&mut second).now_or_never().is_none());
            tokio::time::advance(Duration::from_secs(seconds)).await;
            drop(held);
            assert_eq!(second.await.unwrap().1, late, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_is_as_long_as_those_who_stand_in_it() {
        let sockets = Sockets::new(1, Duration::ZERO);
        let used = |in_use, waiting| SocketUse {
            in_use,
            waiting,
            limit: 1,
            idle: None,
        };
        assert_eq!(sockets.in_use(), used(0, 0));
        let later = Instant::now() + Duration::from_secs(1);
        let held = sockets.acquire(later).await.unwrap();
        assert_eq!(sockets.in_use(), used(1, 0));
        let mut second = Box::pin(sockets.acquire(later));
        let mut third = Box::pin(sockets.acquire(later));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(sockets.in_use(), used(1, 2));
        // One gives up, the other gets its turn.
        drop(third);
        assert_eq!(sockets.in_use(), used(1, 1));
        drop(held);
        let _held = second.await.unwrap();
        assert_eq!(sockets.in_use(), used(1, 0));
    }
}
