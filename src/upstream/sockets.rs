//! The cap on upstream sockets; reqwest has none (reqwest#1089, #1517).

use std::sync::Arc;
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
    /// How long a socket counts as busy after its body's end.
    settle: Duration,
}

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
            settle,
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
}
