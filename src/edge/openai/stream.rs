//! How a stream looks to clients of OpenAI's protocol.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::edge::access::Context;
use crate::edge::dialect::Dialect;
use crate::edge::events::Encode;
use crate::edge::exchange::Exchange;
use crate::error::ProxyError;
use crate::reply::{Provenance, Worth};
use crate::sse;

/// OpenAI's way of streaming.
pub(super) struct Events {
    exchange: Exchange,
    include_usage: bool,
    /// The first chunk, whose id a usage chunk of ours must carry.
    first: Option<Bytes>,
    usage_sent: bool,
}

impl Events {
    pub(super) fn new(exchange: Exchange, include_usage: bool) -> Self {
        Self {
            exchange,
            include_usage,
            first: None,
            usage_sent: false,
        }
    }

    /// Ends a stream in such a way that it does not look finished.
    pub(super) fn break_off(context: &Context, error: &ProxyError, out: &mut BytesMut) {
        context.note_error(error);
        let event = Dialect::OpenAi.describe(error, context.id());
        sse::encode(event.to_string().as_bytes(), out);
    }
}

impl Encode for Events {
    fn chunk(&mut self, data: &Bytes, out: &mut BytesMut) {
        // The proxy asks for the usage where its client did not, and so may whoever started a shared call.
        let may_be_unasked = self.exchange.request.asks_for_usage()
            || matches!(self.exchange.provenance, Provenance::Coalesced { .. });
        if (may_be_unasked || self.include_usage)
            && memchr::memmem::find(data, b"\"usage\"").is_some()
        {
            let probe = serde_json::from_slice::<UsageProbe>(data).unwrap_or_default();
            let has_usage = probe.usage.is_some();
            let is_alone = probe.choices.is_none_or(|choices| choices.is_empty());
            if has_usage && is_alone && !self.include_usage {
                return;
            }
            self.usage_sent |= has_usage;
        }
        if self.include_usage && self.first.is_none() {
            self.first = Some(data.clone());
        }
        sse::encode(data, out);
    }

    fn end(&mut self, worth: Worth, out: &mut BytesMut) {
        if self.include_usage && !self.usage_sent {
            let chunk = usage_chunk(self.first.as_deref(), &worth).to_string();
            sse::encode(chunk.as_bytes(), out);
        }
        sse::encode(b"[DONE]", out);
        self.exchange.settle(&worth);
    }

    fn error(&mut self, error: &ProxyError, out: &mut BytesMut) {
        Self::break_off(&self.exchange.context, error, out);
    }
}

#[derive(Default, Deserialize)]
struct UsageProbe {
    choices: Option<Vec<IgnoredAny>>,
    usage: Option<IgnoredAny>,
}

/// The last chunk that OpenAI sends for `include_usage`, of the same answer as the first one.
fn usage_chunk(first: Option<&[u8]>, worth: &Worth) -> Value {
    let first: Value = first
        .and_then(|data| serde_json::from_slice(data).ok())
        .unwrap_or_default();
    json!({
        "id": first["id"],
        "object": "chat.completion.chunk",
        "created": first["created"],
        "model": first["model"],
        "choices": [],
        "usage": worth.usage.to_json(),
    })
}
