//! What `/create` tells of an answer: the text, what it cost, what was saved.

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::outcome::Outcome;
use crate::edge::dialect::Dialect;
use crate::edge::events::{self, Encode};
use crate::edge::exchange::Exchange;
use crate::edge::figures::percent;
use crate::error::ProxyError;
use crate::metering::Bill;
use crate::metering::tally::usd;
use crate::reply::{Excuse, Frames, Provenance, Worth};
use crate::sse;

/// Writes the answers of one exchange.
pub(super) struct Report {
    exchange: Exchange,
    ignored: Vec<String>,
}

/// The answer as clients read it; its fields in the order in which people do.
#[derive(Serialize, ToSchema)]
pub(super) struct Answer<'a> {
    success: bool,
    /// The text; not at the end of a stream, which has sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<&'a str>,
    /// What happened, in one line.
    #[schema(example = "Answered from cache, 812 tokens saved")]
    message: String,
    #[schema(required)]
    model: Option<&'a str>,
    #[schema(required, example = "stop")]
    finish_reason: Option<&'a str>,
    #[schema(value_type = TokenUsage)]
    usage: Value,
    #[serde(rename = "optimizationStats")]
    stats: Stats,
    /// Fields of the request that mean nothing here.
    ignored: &'a [String],
}

/// Tokens, as OpenAI counts them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is the description of what Usage writes")]
struct TokenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    /// The upstream reported none, and these are a guess.
    #[schema(nullable = false)]
    estimated: Option<bool>,
}

/// What an answer cost, and what was saved.
#[derive(Serialize, ToSchema)]
#[schema(as = OptimizationStats)]
#[serde(rename_all = "camelCase")]
struct Stats {
    tokens_used: u64,
    tokens_saved: u64,
    #[schema(example = "14.2%")]
    compression_savings: String,
    cache_hit: bool,
    /// `hit`, `miss`, `stale`, `coalesced` or `bypass`
    #[schema(example = "miss")]
    cache_status: String,
    cost_usd: f64,
    cost_saved_usd: f64,
    #[schema(example = "3.2s")]
    processing_time: String,
}

// === impl Report ===

impl Report {
    pub(super) fn new(exchange: Exchange, ignored: Vec<String>) -> Self {
        Self { exchange, ignored }
    }

    /// The answer as one object, or as text.
    pub(super) fn whole(
        &self,
        head: HeaderMap,
        body: &[u8],
        worth: &Worth,
        as_text: bool,
    ) -> Result<Response, ProxyError> {
        let (outcome, text) = Outcome::of_whole(body)?;
        let (answer, bill) = self.settled(&outcome, &text, worth);
        let (content_type, body) = if as_text {
            ("text/plain; charset=utf-8", text)
        } else {
            ("application/json", to_json(&answer))
        };
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = self.exchange.headers(head, bill.tokens_saved);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(response)
    }

    /// The answer as one object, which is still to be written.
    pub(super) fn settled<'a>(
        &'a self,
        outcome: &'a Outcome,
        text: &'a str,
        worth: &Worth,
    ) -> (Answer<'a>, Bill) {
        let bill = self.exchange.settle(worth);
        (self.answer(outcome, Some(text), worth, bill), bill)
    }

    /// A whole answer for a client that asked for a stream.
    pub(super) fn replay(
        &self,
        head: HeaderMap,
        body: &[u8],
        worth: &Worth,
    ) -> Result<Response, ProxyError> {
        let (outcome, text) = Outcome::of_whole(body)?;
        let bill = self.exchange.settle(worth);
        let mut out = BytesMut::new();
        encode(&json!({"delta": text}), &mut out);
        encode(&self.answer(&outcome, None, worth, bill), &mut out);
        sse::encode(b"[DONE]", &mut out);
        let head = self.exchange.headers(head, bill.tokens_saved);
        Ok(events::response(head, out.freeze().into()))
    }

    /// A stream for a client that asked for one.
    pub(super) fn stream(self, head: HeaderMap, frames: Frames) -> Response {
        let head = self.exchange.early_headers(head);
        let context = self.exchange.context.clone();
        let encoder = Events {
            report: self,
            outcome: Outcome::default(),
            has_spoken: false,
        };
        events::response(head, events::relay(&context, frames, encoder))
    }

    fn answer<'a>(
        &'a self,
        outcome: &'a Outcome,
        text: Option<&'a str>,
        worth: &Worth,
        bill: Bill,
    ) -> Answer<'a> {
        let Exchange {
            request,
            provenance,
            context,
            ..
        } = &self.exchange;
        let saved = request.saved();
        Answer {
            success: true,
            response: text,
            message: message(*provenance, bill),
            model: outcome.model.as_deref().or(request.model()),
            finish_reason: outcome.finish_reason.as_deref(),
            usage: worth.usage.to_json(),
            stats: Stats {
                tokens_used: bill.tokens_used,
                tokens_saved: bill.tokens_saved,
                compression_savings: percent(saved.chars, saved.chars_before),
                cache_hit: matches!(
                    provenance,
                    Provenance::Hit { .. } | Provenance::Stale { .. }
                ),
                cache_status: provenance.x_cache().to_ascii_lowercase(),
                cost_usd: usd(bill.cost_nano_usd),
                cost_saved_usd: usd(bill.saved_nano_usd),
                processing_time: seconds(context.begun()),
            },
            ignored: &self.ignored,
        }
    }
}

// === impl Answer ===

impl Answer<'_> {
    /// Says something else of what happened.
    pub(super) fn say(&mut self, message: String) {
        self.message = message;
    }
}

fn message(provenance: Provenance, bill: Bill) -> String {
    let Bill {
        tokens_used: used,
        tokens_saved: saved,
        ..
    } = bill;
    match provenance {
        Provenance::Hit { .. } => format!("Answered from cache, {saved} tokens saved"),
        Provenance::Stale { excuse, .. } => {
            let because = match excuse {
                Excuse::Error(_) | Excuse::CircuitOpen => "because the upstream fails",
                Excuse::Revalidating => "while a new answer is on its way",
                Excuse::Accepted => "as the client allows",
            };
            format!("Answered from an expired cache entry {because}, {saved} tokens saved")
        }
        Provenance::Coalesced { .. } => {
            format!(
                "Answered by an identical request that was already under way, {saved} tokens saved"
            )
        }
        Provenance::Miss { .. } | Provenance::Bypass { .. } if saved > 0 => {
            format!("Answered by the model with {used} tokens, {saved} saved by compression")
        }
        Provenance::Miss { .. } | Provenance::Bypass { .. } => {
            format!("Answered by the model with {used} tokens")
        }
    }
}

/// How long something has taken, for people.
pub(super) fn seconds(begun: Instant) -> String {
    let elapsed = begun.elapsed();
    // "0.0s" would say nothing of a hit, which takes microseconds.
    if elapsed.as_millis() < 100 {
        format!("{:.4}s", elapsed.as_secs_f64())
    } else {
        format!("{:.1}s", elapsed.as_secs_f64())
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    // Nothing in these structs can fail to be written: string keys, finite numbers.
    serde_json::to_string(value).unwrap_or_default()
}

fn encode(event: &impl Serialize, out: &mut BytesMut) {
    sse::encode(to_json(event).as_bytes(), out);
}

/// `/create`'s way of streaming.
struct Events {
    report: Report,
    outcome: Outcome,
    has_spoken: bool,
}

impl Encode for Events {
    fn chunk(&mut self, data: &Bytes, out: &mut BytesMut) {
        let delta = self.outcome.chunk(data);
        if !delta.is_empty() {
            self.has_spoken = true;
            encode(&json!({"delta": delta}), out);
        }
    }

    fn end(&mut self, worth: Worth, out: &mut BytesMut) {
        if !self.has_spoken {
            return self.error(&self.outcome.silence(), out);
        }
        let bill = self.report.exchange.settle(&worth);
        encode(&self.report.answer(&self.outcome, None, &worth, bill), out);
        sse::encode(b"[DONE]", out);
    }

    fn error(&mut self, error: &ProxyError, out: &mut BytesMut) {
        let context = &self.report.exchange.context;
        context.note_error(error);
        encode(&Dialect::Native.describe(error, context.id()), out);
    }
}
