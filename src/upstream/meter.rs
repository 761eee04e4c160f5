//! What a stream of events costs that is passed on as it is: read along, without holding anything up.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::chat::{Certainty, Usage, clip};
use crate::metering::Metrics;
use crate::request::{LONG, ProxyRequest, aside};
use crate::sse::{Decoder, Event};

/// The last event of a response repeats all of it; of one that is longer, in bytes, the usage is not read.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Reads along what a stream tells of its usage, and books it when the stream is over, however it ended.
pub(super) struct Meter {
    request: ProxyRequest,
    metrics: Arc<Metrics>,
    decoder: Decoder,
    events: Vec<Event>,
    told: Told,
    /// The stream has come to its end.
    is_whole: bool,
}

/// What was told so far: what comes later counts.
#[derive(Default)]
struct Told {
    usage: Map<String, Value>,
    model: Option<Arc<str>>,
}

impl Meter {
    pub(super) fn new(request: ProxyRequest, metrics: &Arc<Metrics>) -> Self {
        Self {
            request,
            metrics: Arc::clone(metrics),
            decoder: Decoder::new(MAX_EVENT_BYTES),
            events: Vec::new(),
            told: Told::default(),
            is_whole: false,
        }
    }

    /// Takes a piece of the stream.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        // One that is too long ends the reading, not the stream.
        let _ = self.decoder.feed(piece, &mut self.events);
        for event in self.events.drain(..) {
            self.told.read(&event.data);
        }
    }

    /// The stream has come to its end.
    pub(super) fn end(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(event) = self.decoder.finish() {
            self.told.read(&event.data);
        }
        let usage = Value::Object(std::mem::take(&mut self.told.usage));
        if let Some(mut usage) = Usage::read(&usage) {
            if !self.is_whole {
                // What was told at its beginning is not what it came to.
                usage.certainty = Certainty::Estimated;
            }
            let served = self.told.model.as_ref();
            let _ = self.metrics.answered(&self.request, usage, served);
        }
    }
}

impl Told {
    fn read(&mut self, data: &[u8]) {
        #[derive(Deserialize)]
        struct Part {
            usage: Option<Value>,
            model: Option<Value>,
        }

        /// At the top as in completions, or within, as in the Responses API (`response`) and in Anthropic's (`message`).
        #[derive(Deserialize)]
        struct Whole {
            #[serde(flatten)]
            top: Part,
            response: Option<Part>,
            message: Option<Part>,
        }

        if memchr::memmem::find(data, b"\"usage\"").is_none() {
            return;
        }
        let read = || serde_json::from_slice::<Whole>(data);
        let Ok(whole) = aside(data.len() >= LONG, read) else {
            return;
        };
        for part in [Some(whole.top), whole.response, whole.message] {
            let Some(Part { usage, model }) = part else {
                continue;
            };
            if let Some(Value::Object(usage)) = usage {
                // What an event does not know it says as null.
                let known = usage.into_iter().filter(|(_, count)| !count.is_null());
                self.usage.extend(known);
            }
            if let Some(model) = model.as_ref().and_then(Value::as_str) {
                self.model = Some(clip(model));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_where_each_api_has_it() {
        let cases: [(&[&str], _, _); 4] = [
            // The Responses API.
            (
                &[
                    r#"{"type":"response.created","response":{"model":"gpt","usage":null}}"#,
                    r#"{"type":"response.output_text.delta","delta":"of \"usage\""}"#,
                    r#"{"type":"response.completed","response":{"model":"gpt-1","usage":{"input_tokens":10,"output_tokens":4,"total_tokens":14,"input_tokens_details":{"cached_tokens":8}}}}"#,
                ],
                Some((10, 4, 8)),
                Some("gpt-1"),
            ),
            // Anthropic's: in two parts.
            (
                &[
                    r#"{"type":"message_start","message":{"model":"claude","usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":null,"cache_read_input_tokens":null,"output_tokens":9}}"#,
                ],
                Some((8, 9, 5)),
                Some("claude"),
            ),
            // Completions, the old ones.
            (
                &[
                    r#"{"object":"text_completion","model":"d","usage":null,"choices":[{"text":"a"}]}"#,
                    r#"{"object":"text_completion","model":"d","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#,
                    "[DONE]",
                ],
                Some((2, 1, 0)),
                Some("d"),
            ),
            (
                &["\"usage\"", r#"{"usage":7,"response":"x"}"#, "{}"],
                None,
                None,
            ),
        ];
        for (events, expected, model) in cases {
            let mut told = Told::default();
            for event in events {
                told.read(event.as_bytes());
            }
            let usage = Usage::read(&Value::Object(told.usage));
            let figures = usage.map(|usage| {
                (
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                )
            });
            assert_eq!(
                (figures, told.model.as_deref()),
                (expected, model),
                "{events:?}"
            );
        }
    }
}
