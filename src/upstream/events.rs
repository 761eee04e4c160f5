//! A chat completion that arrives as server-sent events: decoded, watched, and only called complete if
//! every choice says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::unfold;
use http::HeaderMap;
use tokio::time::timeout;

use super::incoming::Incoming;
use super::sale::Sale;
use super::{Shared, refuse};
use crate::chat::{Quality, Watch, is_cut_off};
use crate::error::ProxyError;
use crate::reply::{Ending, Frame, Frames, Worth};
use crate::request::ProxyRequest;
use crate::sse::{Decoder, Event};

/// A socket whose stream is over but whose body has not quite ended gets this long to become reusable.
const DRAIN: Duration = Duration::from_secs(1);

/// What an event costs in memory at least, however short it is; counted against the same bound as bytes.
const EVENT_BYTES: usize = 64;

struct Events {
    /// Gone once the stream is over.
    incoming: Option<Incoming>,
    decoder: Decoder,
    decoded: Vec<Event>,
    queue: VecDeque<Event>,
    /// Events so far.
    count: usize,
    max_bytes: usize,
    watch: Watch,
    /// Gone once it is closed.
    sale: Option<Sale>,
    shared: Arc<Shared>,
}

/// Waits for the first byte, within the request's deadline: until then an attempt may fail and be
/// repeated. From there on the stream's frames follow.
pub(super) async fn read(
    mut incoming: Incoming,
    request: ProxyRequest,
) -> Result<Frames, ProxyError> {
    let wants_stream = request.wants_stream();
    let first = incoming.chunk().await?;
    if wants_stream {
        incoming.begin_stream();
    }
    // What goes on has been taken; the rest would keep the buffer that it was read into.
    incoming.headers = HeaderMap::new();
    let sale = Sale::begin(request, &incoming.shared);
    let max_bytes = incoming.max_bytes();
    let decoder = Decoder::new(max_bytes);
    let shared = Arc::clone(&incoming.shared);
    let mut events = Events {
        incoming: Some(incoming),
        decoder,
        decoded: Vec::new(),
        queue: VecDeque::new(),
        count: 0,
        max_bytes,
        watch: Watch::new(),
        sale: Some(sale),
        shared,
    };
    if let Err(error) = events.accept(first) {
        events.fail();
        return Err(error);
    }
    Ok(Box::pin(unfold(Some(events), |state| async {
        let mut events = state?;
        let item = events.next().await;
        if item.is_err() {
            events.fail();
        }
        let goes_on = matches!(item, Ok(Frame::Chunk(_)));
        Some((item, goes_on.then_some(events)))
    })))
}

impl Events {
    async fn next(&mut self) -> Result<Frame, ProxyError> {
        loop {
            while let Some(mut event) = self.queue.pop_front() {
                match event.kind.as_deref() {
                    // Some providers keep the line alive with events of their own.
                    Some("ping") => continue,
                    Some(_) | None if event.data.trim_ascii() == b"[DONE]" => return self.finish(),
                    Some(_) | None => {}
                }
                event.data = self.shared.mask(event.data);
                self.watch
                    .chunk(&event.data)
                    .map_err(|invalid| refuse(&invalid, self.shared.own_key.is_some()))?;
                if event.kind.as_deref() == Some("error") {
                    // Whatever its data looks like; what follows is not to be believed.
                    return Err(ProxyError::Reported("it sent an event named error".into()));
                }
                return Ok(Frame::Chunk(on_one_line(event.data)));
            }
            let Some(incoming) = &mut self.incoming else {
                return self.finish();
            };
            let chunk = incoming.chunk().await?;
            self.accept(chunk)?;
        }
    }

    /// Takes what the network brought; `None` is its end.
    fn accept(&mut self, chunk: Option<Bytes>) -> Result<(), ProxyError> {
        if let Some(chunk) = chunk {
            self.decoder
                .feed(&chunk, &mut self.decoded)
                .map_err(|error| ProxyError::InvalidAnswer(error.to_string().into()))?;
            self.count += self.decoded.len();
            self.queue.extend(self.decoded.drain(..));
            if self.count.saturating_mul(EVENT_BYTES) > self.max_bytes {
                return Err(ProxyError::AnswerTooLarge(self.max_bytes));
            }
        } else {
            self.incoming = None;
            self.queue.extend(self.decoder.finish());
        }
        Ok(())
    }

    /// The stream broke. One that had not said a word is none.
    fn fail(&mut self) {
        if self.watch.text() == 0
            && self.watch.usage().is_none()
            && let Some(sale) = self.sale.take()
        {
            sale.cancel();
        }
    }

    fn finish(&mut self) -> Result<Frame, ProxyError> {
        if let Some(incoming) = self.incoming.take() {
            drain(incoming);
        }
        if !self.watch.is_complete() {
            return Err(ProxyError::ConnectionLost(
                "the stream ended without a finish_reason".into(),
            ));
        }
        let (usage, served) = (self.watch.usage(), self.watch.model());
        if let Some(trace) = self.sale.as_ref().and_then(Sale::trace) {
            trace.note_endings(self.watch.endings());
        }
        let is_cut = self.watch.endings().any(is_cut_off);
        let worth = self.sale.take().map(|sale| Worth {
            usage: sale.close(usage, self.watch.text(), served, Some(is_cut)),
            served: served.cloned(),
            quality: Quality::Stop,
        });
        Ok(Frame::End(Ending { worth, whole: None }))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(sale) = &mut self.sale {
            let watch = &self.watch;
            sale.note(watch.usage(), watch.text(), watch.model());
        }
    }
}

/// The same JSON without the line breaks that an event's data lines are joined by. Many clients read a stream line by
/// line and take each for a chunk of its own; between JSON's tokens, where alone they can be, a blank means the same.
fn on_one_line(data: Bytes) -> Bytes {
    if memchr::memchr(b'\n', &data).is_none() {
        return data;
    }
    let blank = |byte: &u8| if *byte == b'\n' { b' ' } else { *byte };
    data.iter().map(blank).collect()
}

/// Reads what follows `[DONE]`, usually only the end of the body, so that the socket can be used again.
fn drain(mut incoming: Incoming) {
    if let Some(Ok(None)) = incoming.chunk().now_or_never() {
        return;
    }
    let rest = async move {
        let _ = timeout(DRAIN, async {
            while let Ok(Some(_)) = incoming.chunk().await {}
        })
        .await;
        drop(incoming);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller has its answer and need not wait for the socket; bounded by DRAIN"
    )]
    tokio::spawn(rest);
}
