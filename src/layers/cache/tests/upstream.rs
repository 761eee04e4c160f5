//! The upstream at the end of the layers: does as it is told, counts, and waits while it is held.

use std::collections::VecDeque;

use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::reply::{Ending, StreamKind, Streaming};

/// What one call to the upstream comes to.
#[derive(Clone)]
pub(super) enum Act {
    /// A good answer in the shape that was asked for: "answer 1" to the first call, and so on.
    Answer,
    /// A reply with this status and no answer.
    Status(u16),
    /// No reply.
    Fail(ProxyError),
    /// A stream that breaks off after its first chunk.
    Cut,
}

/// A scripted upstream. Clones are the same one.
#[derive(Clone)]
pub(super) struct Upstream {
    shared: Arc<Script>,
}

struct Script {
    next: Mutex<VecDeque<Act>>,
    always: Mutex<Act>,
    /// The requests so far.
    calls: Mutex<Vec<ProxyRequest>>,
    is_held: watch::Sender<bool>,
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn new() -> Self {
        let script = Script {
            next: Mutex::default(),
            always: Mutex::new(Act::Answer),
            calls: Mutex::default(),
            is_held: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(script),
        }
    }

    /// Does this once; several queue up.
    pub(super) fn once(&self, act: Act) {
        self.shared.next.lock().push_back(act);
    }

    /// Does this from now on.
    pub(super) fn set(&self, act: Act) {
        *self.shared.always.lock() = act;
    }

    /// Lets calls wait, or go on.
    pub(super) fn hold(&self, is_held: bool) {
        self.shared.is_held.send_replace(is_held);
    }

    /// The requests that came.
    pub(super) fn calls(&self) -> Vec<ProxyRequest> {
        self.shared.calls.lock().clone()
    }

    /// Answers one.
    pub(super) async fn call(self, request: ProxyRequest) -> ReplyResult {
        let streams = request.wants_stream();
        let (number, act) = {
            let mut calls = self.shared.calls.lock();
            calls.push(request);
            let next = self.shared.next.lock().pop_front();
            let act = next.unwrap_or_else(|| self.shared.always.lock().clone());
            (calls.len(), act)
        };
        let mut is_held = self.shared.is_held.subscribe();
        let _ = is_held.wait_for(|is_held| !is_held).await;
        let head = |status| Head {
            status,
            headers: HeaderMap::new(),
            provenance: Provenance::Miss { stored: false },
        };
        let worth = Some(Worth {
            usage: Usage::estimated(11, 28),
            served: None,
            quality: Quality::Stop,
        });
        let text = format!("answer {number}");
        let chunks = match act {
            Act::Fail(error) => return Err(error),
            Act::Status(status) => {
                return Ok(Reply::Whole(Whole {
                    head: head(StatusCode::from_u16(status).unwrap()),
                    body: "{}".into(),
                    answer: None,
                }));
            }
            Act::Answer if !streams => {
                let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}});
                let body = json!({"object": "chat.completion", "choices": [choice]});
                return Ok(Reply::Whole(Whole {
                    head: head(StatusCode::OK),
                    body: body.to_string().into(),
                    answer: worth,
                }));
            }
            Act::Answer => vec![
                Ok(Frame::Chunk(chunk(&json!({"content": text}), None))),
                Ok(Frame::Chunk(chunk(&json!({}), Some("stop")))),
                Ok(Frame::End(Ending { worth, whole: None })),
            ],
            Act::Cut => vec![
                Ok(Frame::Chunk(chunk(&json!({"content": text}), None))),
                Err(ProxyError::ConnectionLost("reset".into())),
            ],
        };
        Ok(Reply::Stream(Streaming {
            head: head(StatusCode::OK),
            kind: StreamKind::Events,
            frames: Box::pin(stream::iter(chunks)),
        }))
    }
}

fn chunk(delta: &Value, finish_reason: Option<&str>) -> Bytes {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    let chunk = json!({"object": "chat.completion.chunk", "choices": [choice]});
    chunk.to_string().into()
}
