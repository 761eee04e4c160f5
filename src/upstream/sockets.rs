//! The cap on upstream sockets, which reqwest does not have (reqwest#1089, #1517).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::ProxyError;

/// How long a call that had to queue lets a socket settle back into the pool. A body's end frees its permit
/// a moment before its connection is idle again; who dialled in that moment would open one socket too many.
const SETTLE: Duration = Duration::from_millis(1);

/// So many sockets may be busy at once.
pub(super) struct Sockets {
    free: Arc<Semaphore>,
    cap: usize,
}

/// The use of one socket, until the body has ended.
pub(super) struct SocketPermit {
    _permit: OwnedSemaphorePermit,
}

impl Sockets {
    pub(super) fn new(cap: usize) -> Self {
        let cap = cap.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(cap)),
            cap,
        }
    }

    /// How many there are.
    pub(super) fn cap(&self) -> usize {
        self.cap
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
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(SocketPermit { _permit: permit });
        }
        let queued = timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await;
        let permit = queued.map_err(|_| self.busy())?.map_err(|_| self.busy())?;
        sleep(SETTLE).await;
        Ok(SocketPermit { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn more_than_the_cap_wait_inside_their_deadline() {
        let sockets = Sockets::new(1);
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
