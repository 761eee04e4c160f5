//! Doors that a test opens: what stands behind one waits until then.

use std::sync::Arc;

use tokio::sync::watch;

/// A door, closed at first. Clones are the same door.
#[derive(Clone)]
pub(crate) struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until it is open.
    pub(crate) async fn pass(&self) {
        let mut open = self.open.subscribe();
        // The sender lives in this very gate.
        let _ = open.wait_for(|open| *open).await;
    }
}
