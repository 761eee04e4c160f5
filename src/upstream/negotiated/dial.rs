//! Tells whether an attempt opened a connection or got one out of the pool, which reqwest does not say.

use std::cell::Cell;
use std::task::{Context, Poll};

use tower::{Layer, Service};

tokio::task_local! {
    /// Whether the attempt that runs in this task has opened a connection.
    static DIALLED: Cell<bool>;
}

/// A layer around reqwest's connector that notes that it was asked.
#[derive(Clone, Copy)]
pub(super) struct Notice;

/// See [`Notice`].
#[derive(Clone)]
pub(super) struct Noticed<S> {
    inner: S,
}

impl<S> Layer<S> for Notice {
    type Service = Noticed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Noticed { inner }
    }
}

impl<S: Service<R>, R> Service<R> for Noticed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Outside of an attempt nobody asks.
        let _ = DIALLED.try_with(|dialled| dialled.set(true));
        self.inner.call(request)
    }
}

/// Waits for the head of an answer, and tells whether a connection was opened for it.
pub(super) async fn watch<T>(sending: impl Future<Output = T>) -> (T, bool) {
    DIALLED
        .scope(Cell::new(false), async {
            let sent = sending.await;
            (sent, DIALLED.with(Cell::get))
        })
        .await
}
