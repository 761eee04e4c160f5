//! The client with the idle connections, and when another one takes its place.
//!
//! A name is resolved when a connection is opened. A pool in steady use never opens one, and would keep to an
//! address for as long as it answers, whatever the name has come to mean. So the pool is replaced now and then; calls
//! under way end on the connections that they have.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// A client that is replaced when its connections have been used long enough. Generic, for its test alone.
pub(super) struct Pool<C = reqwest::Client> {
    current: Arc<Mutex<Current<C>>>,
    max_age: Duration,
}

struct Current<C> {
    client: C,
    /// When it was made, or its successor begun.
    since: Instant,
}

impl<C: Clone + Send + 'static> Pool<C> {
    pub(super) fn new(client: C, max_age: Duration) -> Self {
        let since = Instant::now();
        Self {
            current: Arc::new(Mutex::new(Current { client, since })),
            max_age,
        }
    }

    /// The client for the next call. Where it is too old, a new one is made beside the calls: reading the
    /// certificates of the system takes milliseconds.
    pub(super) fn client<E>(&self, make: impl FnOnce() -> Result<C, E> + Send + 'static) -> C
    where
        E: std::error::Error,
    {
        let mut current = self.current.lock();
        if current.since.elapsed() >= self.max_age {
            // Once, whoever else comes meanwhile.
            current.since = Instant::now();
            let shared = Arc::clone(&self.current);
            spawn_blocking(move || match make() {
                Ok(client) => {
                    let old = std::mem::replace(&mut shared.lock().client, client);
                    // Its idle connections are closed here, and not under the lock.
                    drop(old);
                }
                Err(error) => tracing::warn!(%error, "cannot renew the upstream's connections"),
            });
        }
        current.client.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    /// P18: a name that means another address is found.
    #[tokio::test(start_paused = true)]
    async fn p18_a_client_is_used_for_so_long_and_made_anew_once() {
        let pool = Pool::new(0, Duration::from_mins(5));
        let made = Arc::new(AtomicU32::new(0));
        let client = || {
            let made = Arc::clone(&made);
            pool.client(move || Ok::<_, Infallible>(made.fetch_add(1, Ordering::SeqCst) + 1))
        };
        advance(Duration::from_secs(299)).await;
        assert_eq!(client(), 0);
        advance(Duration::from_secs(1)).await;
        // Nobody waits for the new one.
        assert!((0..50).all(|_| client() <= 1));
        while client() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((client(), made.load(Ordering::SeqCst)), (1, 1));
        advance(Duration::from_mins(5)).await;
        while client() == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(client(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_can_be_made_the_old_one_goes_on() {
        let pool = Pool::new(0, Duration::from_secs(1));
        let (tell, told) = std::sync::mpsc::channel();
        advance(Duration::from_secs(1)).await;
        let failing = move || {
            let _ = tell.send(());
            Err(std::io::Error::other("no certificates"))
        };
        assert_eq!(pool.client(failing.clone()), 0);
        told.recv().unwrap();
        assert_eq!(pool.client(failing.clone()), 0);
        assert!(told.try_recv().is_err(), "not again before its time");
        advance(Duration::from_secs(1)).await;
        assert_eq!(pool.client(failing), 0);
        told.recv().unwrap();
    }
}
