//! Connections: accepted one by one, bounded in number and in patience, and drained at the end.
//!
//! `axum::serve` would do, but it gives hyper no timer, so that a slow head holds its connection for ever
//! (axum#2741), and its graceful shutdown has no end (axum#2673).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Edge;
use super::front::Front;
use super::outgoing::Answer;
use super::patient::Patient;
use super::peers::Peers;
use super::summary::sum_up;
use crate::config;

/// More headers, or more bytes of them, get 431.
const MAX_HEADERS: usize = 100;
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Out of descriptors, an accept loop that does not pause spins; one that pauses long is deaf.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is ready, then lets what is under way finish, for `server.shutdown_grace` at most.
pub async fn run(edge: Edge, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let config = edge.shared.config.server.clone();
    let front = Arc::new(edge.front());
    let connections = Arc::new(Semaphore::new(
        config.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let peers = Peers::new(config.max_connections_per_ip);
    let graceful = GracefulShutdown::new();
    // Dropped at the end of all, which cuts off what is still there.
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut sweeper = pin!(sweep(&edge));
    let mut summaries = pin!(sum_up(&edge));
    let mut troubles = Troubles::default();
    loop {
        let next = async {
            // Taken before accepting: whoever is beyond the limit waits in the kernel's backlog.
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => break,
            () = &mut sweeper => break,
            () = &mut summaries => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                troubles.over();
                // What has ended meanwhile is forgotten.
                while tasks.try_join_next().is_some() {}
                let counted = match peers.admit(peer.ip()) {
                    Ok(counted) => counted,
                    Err(too_many) => {
                        tracing::debug!(%peer, "an address has too many connections");
                        // Without a place of its own: it must not keep others waiting for one.
                        drop(permit);
                        tasks.spawn(too_many.tell(stream));
                        continue;
                    }
                };
                let connection = graceful
                    .watcher()
                    .watch(serve(stream, peer, &front, &config));
                tasks.spawn(async move {
                    // Errors here are the client's: it hung up, was too slow or spoke no HTTP.
                    match connection.await {
                        Err(error) if is_stuck(&error) => {
                            tracing::info!(%peer, "cut off a client that does not read");
                        }
                        Err(error) => tracing::debug!(%error, "connection ended"),
                        Ok(()) => {}
                    }
                    drop((permit, counted));
                });
            }
            Err(error) => troubles.pause(&error).await,
        }
    }
    edge.start_draining();
    drop(listener);
    let grace = config.shutdown_grace;
    tracing::info!(open = graceful.count(), ?grace, "draining");
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end within server.shutdown_grace and are cut off");
        // Until each of them is gone, with what it has run up.
        tasks.shutdown().await;
    }
}

fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: &Arc<Front>,
    config: &config::Server,
) -> http1::Connection<
    TokioIo<Patient<TcpStream>>,
    impl hyper::service::Service<
        http::Request<Incoming>,
        Response = Answer,
        Error = Infallible,
        Future: Send,
    > + use<>,
> {
    // Small writes, such as one event of a stream, go out at once. It fails only if the client is gone.
    let _ = stream.set_nodelay(true);
    let front = Arc::clone(front);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let front = Arc::clone(&front);
        async move { Ok(front.serve(request, Some(peer)).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(Patient::new(stream, config.write_timeout)),
            service,
        )
}

/// Connections that could not be accepted, one after another.
#[derive(Default)]
struct Troubles {
    tries: u64,
}

impl Troubles {
    /// Waits a little, and says why, once until they are over.
    async fn pause(&mut self, error: &io::Error) {
        if self.tries == 0 {
            tracing::warn!(%error, "cannot accept connections");
        }
        self.tries += 1;
        sleep(ACCEPT_PAUSE).await;
    }

    fn over(&mut self) {
        if self.tries > 0 {
            tracing::info!(tries = self.tries, "connections are accepted again");
            self.tries = 0;
        }
    }
}

/// Whether `server.write_timeout` ended a connection.
fn is_stuck(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
}

/// Removes expired entries now and then, for ever.
async fn sweep(edge: &Edge) {
    let mut ticks = interval(edge.shared.config.cache.sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // The first one is due at once.
    loop {
        ticks.tick().await;
        let stack = &edge.shared.stack;
        let expired = stack.store.memory.sweep();
        tracing::info!(expired, left = stack.store.memory.len(), "cache swept");
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// P73: without descriptors the loop neither spins nor goes deaf.
    #[tokio::test(start_paused = true)]
    async fn p73_a_failing_accept_pauses_each_time_and_is_told_once() {
        let begun = Instant::now();
        let mut troubles = Troubles::default();
        let error = io::Error::other("too many open files");
        for _ in 0..20 {
            troubles.pause(&error).await;
        }
        assert_eq!((troubles.tries, begun.elapsed()), (20, 20 * ACCEPT_PAUSE));
        troubles.over();
        assert_eq!(troubles.tries, 0);
    }
}
