//! What comes back from the upstream: a head, and a body that is read piece by piece within its limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::client::Arriving;
use super::decode::Body;
use super::headers;
use super::key::OwnKey;
use super::sockets::SocketPermit;
use crate::alarm::Alarm;
use crate::error::{ProxyError, Slow};
use crate::reply::{Head, Provenance};

/// A body that comes in pieces is kept in blocks of this size until it is complete, in bytes.
const BLOCK: usize = 256 * 1024;

/// A response whose head is here, and the leave to keep its socket busy.
pub(super) struct Incoming {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// How long the body is, where that is known beforehand.
    pub(super) length: Option<u64>,
    pub(super) shared: Arc<Shared>,
    body: Body,
    /// Given back after the body's socket.
    _permit: SocketPermit,
    limits: Limits,
    alarm: Alarm,
    received: usize,
}

/// What bounds the reading of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Silence longer than this ends it.
    pub(super) read_timeout: Duration,
    /// All of it must be here by then; streams only begin by then, and then have another one.
    pub(super) deadline: Instant,
    /// How long a stream that has begun may last.
    pub(super) longest: Option<Duration>,
    /// Decoded bytes, so that a bomb stops here.
    pub(super) max_bytes: usize,
}

// === impl Incoming ===

impl Incoming {
    /// A response of which the head is here.
    pub(super) fn new(
        response: Response<Arriving>,
        shared: Arc<Shared>,
        permit: SocketPermit,
        limits: Limits,
    ) -> Self {
        let (head, arriving) = response.into_parts();
        let (mut headers, length) = (head.headers, arriving.length());
        let body = Body::of(arriving, &mut headers);
        if let Some(key) = &shared.own_key {
            key.strip(&mut headers);
        }
        Self {
            status: head.status,
            headers,
            length: length.filter(|_| matches!(body, Body::Plain(_))),
            shared,
            _permit: permit,
            body,
            limits,
            alarm: Alarm::new(limits.deadline),
            received: 0,
        }
    }

    /// What of the head goes on to the client.
    pub(super) fn head(&self) -> Head {
        Head {
            status: self.status,
            headers: headers::end_to_end(&self.headers),
            provenance: Provenance::Miss { stored: false },
        }
    }

    /// The key that must not be in what goes on.
    pub(super) fn own_key(&self) -> Option<&OwnKey> {
        self.shared.own_key.as_ref()
    }

    /// The most bytes that a body may have, decompressed.
    pub(super) fn max_bytes(&self) -> usize {
        self.limits.max_bytes
    }

    /// The next decoded piece of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ProxyError> {
        let (limits, alarm) = (self.limits, &mut self.alarm);
        // What is there already needs no alarm.
        let mut silence = None;
        let mut step = pin!(self.body.chunk());
        let chunk = poll_fn(|cx| {
            if let Poll::Ready(chunk) = step.as_mut().poll(cx) {
                return Poll::Ready(chunk);
            }
            let silence = *silence.get_or_insert_with(|| {
                let silence = Instant::now() + limits.read_timeout;
                alarm.set(limits.deadline.min(silence));
                silence
            });
            alarm.poll(cx).map(|()| Err(limits.late(silence)))
        })
        .await?;
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        if self.received > self.limits.max_bytes {
            return Err(ProxyError::AnswerTooLarge(self.limits.max_bytes));
        }
        Ok(chunk)
    }

    /// All of the body, without our own key.
    pub(super) async fn collect(&mut self) -> Result<Bytes, ProxyError> {
        let body = self.read().await?;
        Ok(self.shared.mask(body))
    }

    async fn read(&mut self) -> Result<Bytes, ProxyError> {
        self.refuse_beyond(self.length.unwrap_or(0))?;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        // Joined at the end: a buffer that doubles would for a moment hold three times of what is refused.
        let mut blocks = vec![BytesMut::from(first)];
        let mut next = Some(second);
        while let Some(chunk) = next {
            match blocks.last_mut() {
                Some(last) if last.capacity() - last.len() >= chunk.len() => {
                    last.extend_from_slice(&chunk);
                }
                _ => {
                    let mut block = BytesMut::with_capacity(BLOCK.max(chunk.len()));
                    block.extend_from_slice(&chunk);
                    blocks.push(block);
                }
            }
            next = self.chunk().await?;
        }
        let mut all = BytesMut::with_capacity(self.received);
        for block in blocks {
            all.extend_from_slice(&block);
        }
        Ok(all.freeze())
    }

    /// The stream has begun: from here on its own limit counts.
    pub(super) fn begin_stream(&mut self) {
        let longest = self.shared.config.max_stream_duration;
        self.limits.deadline = Instant::now() + longest;
        self.limits.longest = Some(longest);
    }

    /// Refuses a body of this length where that is too much.
    pub(super) fn refuse_beyond(&self, length: u64) -> Result<(), ProxyError> {
        let max_bytes = self.limits.max_bytes;
        if length > max_bytes as u64 {
            Err(ProxyError::AnswerTooLarge(max_bytes))
        } else {
            Ok(())
        }
    }
}

// === impl Limits ===

impl Limits {
    /// Waits for a step of the answer, as long as silence and deadline allow.
    pub(super) async fn wait<T>(&self, step: impl Future<Output = T>) -> Result<T, ProxyError> {
        let silence = Instant::now() + self.read_timeout;
        let late = timeout_at(self.deadline.min(silence), step).await;
        late.map_err(|_| self.late(silence))
    }

    /// What has run out when a step took too long that was to take until `silence` at most.
    fn late(&self, silence: Instant) -> ProxyError {
        match self.longest {
            _ if silence < self.deadline => ProxyError::Timeout(Slow::Silence(self.read_timeout)),
            Some(longest) => ProxyError::StreamTooLong(longest),
            None => ProxyError::Timeout(Slow::Total),
        }
    }
}
