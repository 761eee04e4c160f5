//! `/create` and `/create/chat`: a prompt in, one completion and what it cost out.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{self, Context};
use super::dialect::Dialect;
use super::events::{self, Encode};
use super::exchange::Exchange;
use super::{Edge, body};
use crate::error::ProxyError;
use crate::json::Json;
use crate::metering::Bill;
use crate::reply::{Frames, Provenance, Reply, StreamKind, Whole, Worth};
use crate::request::{Chat, Content, ProxyRequest, Shape};
use crate::sse;

use form::{Endpoint, Form};
use outcome::Outcome;

mod form;
mod outcome;

/// What the proxy puts in where the client gave none, by the length of the prompt.
const INJECTED: &[&str] = &["max_tokens"];

/// `POST /create`
pub(super) async fn prompt(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = create(&edge, &context, request, Endpoint::Prompt).await;
    answer.unwrap_or_else(|error| Dialect::Native.error(&error))
}

/// `POST /create/chat`
pub(super) async fn turn(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = create(&edge, &context, request, Endpoint::Turn).await;
    answer.unwrap_or_else(|error| Dialect::Native.error(&error))
}

async fn create(
    edge: &Edge,
    context: &Context,
    request: Request,
    endpoint: Endpoint,
) -> Result<Response, ProxyError> {
    let caller = edge.shared.guard.caller(request.headers())?;
    body::expect_json(request.headers())?;
    let permit = edge.admit()?;
    let incoming = request.headers().clone();
    let bytes = body::read(request, &edge.shared.config.server).await?;
    let form = Form::read(&bytes, endpoint, &edge.shared.config)?;

    let json = Json::parse(form.completion.into()).map_err(|error| {
        ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
    })?;
    let injected = if form.injects_max_tokens {
        INJECTED
    } else {
        &[]
    };
    let chat = Chat::new(json, injected);
    let shape = chat.shape();
    let mut parts = edge.parts(Method::POST, "/chat/completions".into(), &incoming, caller)?;
    // The client's type and wishes are about this endpoint's JSON, not about the upstream's.
    parts.headers.remove(header::ACCEPT);
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let request = ProxyRequest::new(parts, Content::Chat(Box::new(chat)));

    let (exchange, reply) = Exchange::begin(edge, context, request).await?;
    let report = Report {
        exchange,
        ignored: form.ignored,
    };
    let response = match reply {
        Reply::Stream(stream) if stream.kind == StreamKind::Events => match shape {
            Shape::Stream { .. } => report.stream(stream.head.headers, stream.frames),
            Shape::Whole => {
                let deadline = report.exchange.request.parts().deadline;
                let (body, worth) = events::gather(stream.frames, deadline).await?;
                report.whole(stream.head.headers, &body, worth, wants_text(&incoming))?
            }
        },
        Reply::Whole(Whole {
            head,
            body,
            answer: Some(worth),
        }) => match shape {
            Shape::Stream { .. } => report.replay(head.headers, &body, worth)?,
            Shape::Whole => report.whole(head.headers, &body, worth, wants_text(&incoming))?,
        },
        Reply::Whole(whole) => return Err(outcome::refusal(&whole)),
        Reply::Stream(_) => {
            return Err(ProxyError::InvalidAnswer("it is no chat completion".into()));
        }
    };
    Ok(access::hold(response, permit))
}

/// Whether the client prefers the bare text.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut types = accept
        .split(',')
        .map(|item| item.split(';').next().unwrap_or_default().trim());
    types
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("text/plain"))
}

/// What the answer says beside the text.
struct Report {
    exchange: Exchange,
    ignored: Vec<String>,
}

impl Report {
    /// The answer as one object, or as text.
    fn whole(
        &self,
        head: HeaderMap,
        body: &[u8],
        worth: Worth,
        as_text: bool,
    ) -> Result<Response, ProxyError> {
        let outcome = Outcome::of_whole(body)?;
        let bill = self.exchange.settle(worth);
        let (content_type, body) = if as_text {
            ("text/plain; charset=utf-8", outcome.text)
        } else {
            let mut object = self.object(&outcome, worth, bill);
            object["response"] = outcome.text.into();
            ("application/json", object.to_string())
        };
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = self.exchange.headers(head, bill.tokens_saved);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(response)
    }

    /// A whole answer for a client that asked for a stream.
    fn replay(&self, head: HeaderMap, body: &[u8], worth: Worth) -> Result<Response, ProxyError> {
        let outcome = Outcome::of_whole(body)?;
        let bill = self.exchange.settle(worth);
        let mut out = BytesMut::new();
        encode(&json!({"delta": outcome.text}), &mut out);
        encode(&self.object(&outcome, worth, bill), &mut out);
        sse::encode(b"[DONE]", &mut out);
        Ok(events::response(
            self.exchange.headers(head, bill.tokens_saved),
            out.freeze().into(),
        ))
    }

    /// A stream for a client that asked for one.
    fn stream(self, head: HeaderMap, frames: Frames) -> Response {
        let head = self.exchange.early_headers(head);
        events::response(
            head,
            events::relay(
                frames,
                Events {
                    report: self,
                    outcome: Outcome::default(),
                },
            ),
        )
    }

    fn object(&self, outcome: &Outcome, worth: Worth, bill: Bill) -> Value {
        let saved = self.exchange.request.saved();
        let model = outcome.model.as_deref().or(self.exchange.request.model());
        json!({
            "success": true,
            "message": message(self.exchange.provenance, bill),
            "model": model,
            "finish_reason": outcome.finish_reason,
            "usage": worth.usage.to_json(),
            "optimizationStats": {
                "tokensUsed": bill.tokens_used,
                "tokensSaved": bill.tokens_saved,
                "compressionSavings": percent(saved.chars, saved.chars_before),
                "cacheHit": matches!(self.exchange.provenance, Provenance::Hit { .. } | Provenance::Stale { .. }),
                "cacheStatus": self.exchange.provenance.x_cache().to_ascii_lowercase(),
                "costUsd": usd(bill.cost_nano_usd),
                "costSavedUsd": usd(bill.saved_nano_usd),
                "processingTime": seconds(self.exchange.context.begun),
            },
            "ignored": self.ignored,
        })
    }
}

fn message(provenance: Provenance, bill: Bill) -> String {
    let Bill {
        tokens_used,
        tokens_saved,
        ..
    } = bill;
    match provenance {
        Provenance::Hit { .. } => format!("Answered from cache, {tokens_saved} tokens saved"),
        Provenance::Stale { .. } => {
            format!(
                "Answered from an expired cache entry because the upstream fails, {tokens_saved} tokens saved"
            )
        }
        Provenance::Coalesced => {
            format!(
                "Answered by an identical request that was already under way, {tokens_saved} tokens saved"
            )
        }
        Provenance::Miss { .. } | Provenance::Bypass { .. } if tokens_saved > 0 => {
            format!(
                "Answered by the model with {tokens_used} tokens, {tokens_saved} saved by compression"
            )
        }
        Provenance::Miss { .. } | Provenance::Bypass { .. } => {
            format!("Answered by the model with {tokens_used} tokens")
        }
    }
}

/// `part` of `whole` as "14.2%".
pub(super) fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    };
    format!("{share:.1}%")
}

/// Nano-dollars as dollars.
pub(super) fn usd(nano: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to nine million dollars"
    )]
    let usd = nano as f64 / 1e9;
    usd
}

fn seconds(begun: Instant) -> String {
    let elapsed = begun.elapsed();
    // "0.0s" would say nothing of a hit, which takes microseconds.
    if elapsed.as_millis() < 100 {
        format!("{:.4}s", elapsed.as_secs_f64())
    } else {
        format!("{:.1}s", elapsed.as_secs_f64())
    }
}

fn encode(event: &Value, out: &mut BytesMut) {
    sse::encode(event.to_string().as_bytes(), out);
}

/// `/create`'s way of streaming.
struct Events {
    report: Report,
    outcome: Outcome,
}

impl Encode for Events {
    fn chunk(&mut self, data: &Bytes, out: &mut BytesMut) {
        let delta = self.outcome.chunk(data);
        if !delta.is_empty() {
            encode(&json!({"delta": delta}), out);
        }
    }

    fn end(&mut self, worth: Worth, out: &mut BytesMut) {
        let bill = self.report.exchange.settle(worth);
        encode(&self.report.object(&self.outcome, worth, bill), out);
        sse::encode(b"[DONE]", out);
    }

    fn error(&mut self, error: &ProxyError, out: &mut BytesMut) {
        self.report.exchange.context.note_error(error);
        encode(
            &Dialect::Native.describe(error, &self.report.exchange.context.id),
            out,
        );
    }
}
