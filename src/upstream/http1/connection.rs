//! One connection, driven by whoever waits for what comes over it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::gate::Gate;
use super::stream::{Allowance, Stream};

/// How often in a row a connection is polled that says it can go on, before other tasks get their turn.
const ROUNDS: usize = 4;

/// A request that had no answer; with the request itself, if nothing of it was sent.
pub(super) type Unanswered = Box<TrySendError<Request<Full<Bytes>>>>;

/// A connection with both its ends: what asks over it, and what reads and writes.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Gone once the connection is over.
    driver: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
    gate: Arc<Gate>,
    /// The gate again.
    waker: Waker,
    allowance: Allowance,
    opened: Instant,
    /// Something came since the driver was polled last.
    is_called: bool,
}

// === impl Connection ===

impl Connection {
    /// Speaks HTTP over a socket.
    pub(super) async fn over(
        connected: MaybeHttpsStream<TokioIo<TcpStream>>,
    ) -> hyper::Result<Box<Self>> {
        let allowance = Allowance::new();
        let stream = TokioIo::new(Stream::new(connected, allowance.clone()));
        let (sender, driver) = http1::handshake(stream).await?;
        let gate = Gate::new();
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            waker: Waker::from(Arc::clone(&gate)),
            gate,
            allowance,
            opened: Instant::now(),
            is_called: false,
        }))
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether the last exchange is over in both directions, and nothing came behind its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.allowance.limit();
        self.gate.enter();
        // Out of budget it would ask to be woken, by a waker that wakes nobody.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let head = poll_fn(|cx| self.poll(cx, |cx| answer.as_mut().poll(cx))).await;
        self.allowance.lift();
        match head {
            Some(answer) => answer.map_err(Box::new),
            // What was sent has been answered or refused when the driver is gone.
            None => answer.await.map_err(Box::new),
        }
    }

    /// Goes on until `step`, which looks at what the connection has brought, is ready; `None` if that will never be.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        // The step need not be told when there is something: it is asked whenever there may be.
        let mut untold = Context::from_waker(Waker::noop());
        self.gate.lead_to(cx.waker());
        for _ in 0..ROUNDS {
            self.gate.enter();
            if let Some(driver) = &mut self.driver {
                let mut gate = Context::from_waker(&self.waker);
                // How it ended is said to who waits for an answer or a body.
                if Pin::new(driver).poll(&mut gate).is_ready() {
                    self.driver = None;
                }
            }
            let brought = step(&mut untold);
            self.is_called = self.gate.leave();
            if let Poll::Ready(brought) = brought {
                return Poll::Ready(Some(brought));
            }
            if self.driver.is_none() {
                return Poll::Ready(None);
            }
            if !self.is_called {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Has this task woken when something comes over the idle connection, and tells whether it is still good.
    pub(super) fn rest(&mut self, task: &Waker) -> bool {
        self.gate.lead_to(task);
        !self.is_called || self.check(task)
    }

    /// Whether the idle connection is still good; as [`Connection::rest`].
    pub(super) fn check(&mut self, task: &Waker) -> bool {
        let never = |_: &mut Context<'_>| Poll::<Infallible>::Pending;
        self.poll(&mut Context::from_waker(task), never)
            .is_pending()
            && self.is_idle()
    }

    /// Ends the idle connection in order: over TLS the other side is told.
    pub(super) fn close(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        if let Some(driver) = driver {
            // The little that there is to say finds room in the socket.
            let _ = pin!(driver).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
