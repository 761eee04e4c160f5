//! Brings new answers behind stale ones (stale-while-revalidate, RFC 5861 section 3).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::fingerprint::Fingerprint;
use crate::layers::ReplyResult;
use crate::reply::{Frame, Reply};
use crate::request::ProxyRequest;

/// So many are under way at most; further stale answers are given without one, and the next caller tries again.
const AT_ONCE: usize = 64;

/// A stream that has not ended by then is given up: nobody reads it but the cache.
const LONGEST_STREAM: Duration = Duration::from_mins(10);

/// After one that failed the next one for the same entry waits so long.
const PAUSE: Duration = Duration::from_secs(1);

/// The refreshes under way: one for each entry.
pub(super) struct Refreshes {
    under_way: Arc<Mutex<HashSet<Fingerprint>>>,
    timeout: Duration,
}

/// A refresh's place; given up when dropped, whatever ended it.
struct Place {
    under_way: Arc<Mutex<HashSet<Fingerprint>>>,
    fingerprint: Fingerprint,
}

impl Refreshes {
    /// None yet; each may take as long as a client's own call.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            under_way: Arc::default(),
            timeout,
        }
    }

    /// Starts one, unless it is under way; `ask` gives nothing where there is nothing to bring.
    pub(super) fn start<F>(
        &self,
        fingerprint: Fingerprint,
        request: &ProxyRequest,
        ask: impl FnOnce(ProxyRequest) -> F,
    ) where
        F: Future<Output = Option<ReplyResult>> + Send + 'static,
    {
        {
            let mut under_way = self.under_way.lock();
            if under_way.len() >= AT_ONCE || !under_way.insert(fingerprint) {
                return;
            }
        }
        let place = Place {
            under_way: Arc::clone(&self.under_way),
            fingerprint,
        };
        let mut request = request.clone();
        // No client waits for it, so it has all the time that a call has.
        request.deadline = Instant::now() + self.timeout;
        let answer = ask(request);
        #[expect(
            clippy::disallowed_methods,
            reason = "the caller has its answer; the call's own deadline and LONGEST_STREAM bound it"
        )]
        tokio::spawn(async move {
            if !came(answer.await).await {
                sleep(PAUSE).await;
            }
            drop(place);
        });
    }
}

/// Whether there was anything to bring that came, all of it.
pub(super) async fn came(answer: Option<ReplyResult>) -> bool {
    match answer {
        None => true,
        Some(Ok(Reply::Whole(whole))) => whole.head.status.is_success(),
        // A stream is kept once it has been read to its end.
        Some(Ok(Reply::Stream(mut stream))) => {
            let end = async {
                loop {
                    match stream.frames.next().await {
                        Some(Ok(Frame::Chunk(_))) => {}
                        Some(Ok(Frame::End(_))) => return true,
                        Some(Err(_)) | None => return false,
                    }
                }
            };
            timeout(LONGEST_STREAM, end).await.unwrap_or(false)
        }
        Some(Err(_)) => false,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.fingerprint);
    }
}
