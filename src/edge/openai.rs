//! `/v1`: OpenAI's protocol, whole and streaming, and everything else below it passed on as it is.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::access::Context;
use super::auth::Caller;
use super::dialect::failure;
use super::document::Forwarded;
use super::events;
use super::exchange::Exchange;
use super::headers::Wishes;
use super::outgoing::{Answer, Outgoing};
use super::{Edge, body, headers};
use crate::chat::{self, Watch};
use crate::error::ProxyError;
use crate::fingerprint::Fingerprint;
use crate::json::Json;
use crate::layers::cache::Asked;
use crate::reply::{Reply, StreamKind, Whole, Worth, detached};
use crate::request::{CacheControl, Chat, Content, Parts, ProxyRequest, Route, Shape};
use crate::sse;

use forward::relay;
use stream::Events;

pub(super) mod forward;
mod probe;
mod stream;

/// No URL holds 64 KiB. Behind `upstream.base_url`, and escaped, a target grows to three times its length and some.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// What hyper reads at once at first (bytes).
const READ_BUFFER: usize = 8 * 1024;

/// The path of chat completions.
pub(super) const COMPLETIONS: &str = "/v1/chat/completions";

/// OpenAI's chat completions
///
/// Whole, or with `"stream": true` as server-sent events that end with `data: [DONE]`. Fields that are not known here go
/// upstream untouched.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "completions", operation_id = "chat_completions", params(Wishes),
    request_body(content = ref("#/components/schemas/ChatCompletionRequest"), content_type = "application/json", examples(
        ("message" = (summary = "A question", value = json!({
            "model": "openai/gpt-4o-mini",
            "messages": [{"role": "user", "content": "Why do birds sing at dawn?"}],
        }))),
        ("stream" = (summary = "As a stream", value = json!({
            "model": "openai/gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Answer in one line."},
                {"role": "user", "content": "Tell me about larks."},
            ],
        }))),
        ("tools" = (summary = "With tools", value = json!({
            "model": "openai/gpt-4o-mini",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Which bird is this?"}]}],
            "tools": [{"type": "function", "function": {
                "name": "look_up", "parameters": {"type": "object", "properties": {"song": {"type": "string"}}},
            }}],
        }))),
    )),
    responses(
        (status = 200, description = "The completion, or its stream.", content(
            (ChatCompletion = "application/json"), (String = "text/event-stream"))),
        Forwarded,
    ))]
pub(super) async fn completions(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    complete(&edge, &context, request).await.map(Body::new)
}

/// A whole answer as the upstream gave it.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "answers pass as they come, and this describes them"
)]
struct ChatCompletion {
    id: Option<String>,
    object: Option<String>,
    created: Option<f64>,
    model: Option<String>,
    choices: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    usage: Value,
}

/// Answers a chat completion.
pub(super) async fn complete<B>(edge: &Edge, context: &Context, request: http::Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let answer = try_complete(edge, context, request).await;
    answer.unwrap_or_else(|error| failure(&error).map(Outgoing::from))
}

async fn try_complete<B>(
    edge: &Edge,
    context: &Context,
    mut request: http::Request<B>,
) -> Result<Answer, ProxyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut caller = edge.enter(context, Route::ChatCompletions, request.headers())?;
    body::expect_json(request.headers())?;
    let path = path_and_query(request.uri())?;
    let incoming = std::mem::take(request.headers_mut());
    // Whatever is left of the head goes here: it would keep the buffer that it was read into.
    let body = edge.body(&incoming, request.into_body()).await?;
    // Not before the body is here: slow senders must not take the places of others.
    let place = edge.admit(&mut caller)?;
    let alias = edge.alias(Route::ChatCompletions, &path, &incoming, &caller, &body)?;
    if let Some(alias) = alias
        && let Some(repeat) = edge.repeat(context, Route::ChatCompletions, alias, &incoming)
    {
        return Ok(repeat.map(|body| body.holding(place)));
    }
    let json = Json::parse(unpinned(body)).map_err(|error| invalid_json(&error))?;
    chat::validate(json.root()).map_err(|fault| {
        let message = fault.to_string();
        ProxyError::reject_field(StatusCode::BAD_REQUEST, fault.param, message)
    })?;
    let chat = Chat::new(json, &[]);
    context.note_user(chat.user());
    let shape = chat.shape();
    let parts = edge.parts(
        Route::ChatCompletions,
        Method::POST,
        path,
        &incoming,
        caller,
        Some(&chat),
    )?;
    drop(incoming);
    let request = ProxyRequest::new(parts, Content::Chat(Box::new(chat)));
    if let Some(alias) = alias {
        request.remember_alias(alias);
    }
    // Boxed, because few requests get here, and each connection keeps room for all that its requests may need.
    let answer = Box::pin(async {
        let (exchange, reply) = Exchange::begin(edge, context, request).await?;
        answer(exchange, reply, shape).await
    });
    let response = answer.await?;
    Ok(response.map(|body| body.holding(place)))
}

/// The answer in the shape that the client asked for, whatever the shape in which it came.
async fn answer(exchange: Exchange, reply: Reply, shape: Shape) -> Result<Answer, ProxyError> {
    match reply {
        Reply::Stream(stream) if stream.kind == StreamKind::Events => match shape {
            Shape::Stream { include_usage } => {
                let head = exchange.early_headers(stream.head.headers);
                let context = exchange.context.clone();
                let encoder = Events::new(exchange, include_usage);
                let frames = events::relay(&context, stream.frames, encoder);
                Ok(events::response(head, frames).map(Outgoing::from))
            }
            Shape::Whole => {
                let deadline = exchange.request.deadline;
                let (body, worth) = events::gather(stream.frames, deadline).await?;
                Ok(whole(&exchange, stream.head.headers, body, &worth))
            }
        },
        Reply::Whole(Whole {
            head,
            body,
            answer: Some(worth),
        }) => match shape {
            Shape::Stream { include_usage } => {
                replay(&exchange, head.headers, &body, &worth, include_usage)
                    .map(|response| response.map(Outgoing::from))
            }
            Shape::Whole => Ok(whole(&exchange, head.headers, body, &worth)),
        },
        reply => relay(&exchange, reply).map(|response| response.map(Outgoing::from)),
    }
}

/// A complete answer as JSON.
fn whole(exchange: &Exchange, head: HeaderMap, body: Bytes, worth: &Worth) -> Answer {
    let bill = exchange.settle(worth);
    let mut response = Answer::new(body.into());
    *response.headers_mut() = exchange.headers(head, bill.tokens_saved);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// A complete answer as events.
fn replay(
    exchange: &Exchange,
    head: HeaderMap,
    body: &Bytes,
    worth: &Worth,
    include_usage: bool,
) -> Result<Response, ProxyError> {
    let body = chat::with_usage(body.clone(), worth.usage);
    let chunks = chat::unfold(&body, include_usage)
        .map_err(|invalid| ProxyError::InvalidAnswer(invalid.reason().into()))?;
    let mut out = BytesMut::with_capacity(body.len() + 512);
    let mut watch = Watch::new();
    for chunk in &chunks {
        // What was just written can be read; all that is asked is whether it ends.
        let _ = watch.chunk(chunk);
        sse::encode(chunk, &mut out);
    }
    if watch.is_complete() {
        sse::encode(b"[DONE]", &mut out);
    } else {
        let reason = "a choice has no finish_reason";
        let error = ProxyError::InvalidAnswer(reason.into());
        Events::break_off(&exchange.context, &error, &mut out);
    }
    let bill = exchange.settle(worth);
    Ok(events::response(
        exchange.headers(head, bill.tokens_saved),
        out.freeze().into(),
    ))
}

/// A body that keeps nothing in memory but itself. Most are slices of the buffer that they were read into, and that is
/// several times as long; those which came in pieces have one of their own.
fn unpinned(body: Bytes) -> Bytes {
    if body.len() < READ_BUFFER {
        Bytes::copy_from_slice(&body)
    } else {
        body
    }
}

fn invalid_json(error: &impl ToString) -> ProxyError {
    ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
}

/// Path and query below `upstream.base_url`.
fn path_and_query(uri: &Uri) -> Result<Box<str>, ProxyError> {
    if uri.path_and_query().map_or(0, |whole| whole.as_str().len()) > MAX_TARGET_BYTES {
        let message = format!("path and query are longer than {MAX_TARGET_BYTES} bytes");
        return Err(ProxyError::reject(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            message,
        ));
    }
    let path = uri.path().strip_prefix("/v1").unwrap_or(uri.path());
    let query = uri.query();
    if query.is_none() && memchr::memchr3(b'.', b'%', b'\\', path.as_bytes()).is_none() {
        return Ok(path.into());
    }
    // URL parsers and servers resolve these, however they are written, and so leave the upstream's base path.
    let plain = path
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "\\");
    let climbs = plain
        .split(['/', '\\'])
        .any(|segment| segment == "." || segment == "..");
    if climbs || path.contains('\\') {
        let message = "the path must not contain . or .. segments";
        return Err(ProxyError::reject(
            StatusCode::BAD_REQUEST,
            "invalid_path",
            message,
        ));
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{path}{query}").into())
}

impl Edge {
    /// The identity of a request's bytes, by which a repeat of it is known; `None` where its client wishes something of
    /// the cache, or where there is none.
    fn alias(
        &self,
        route: Route,
        path: &str,
        incoming: &HeaderMap,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Option<Fingerprint>, ProxyError> {
        let level = headers::level(incoming)?;
        let Some(repeats) = &self.shared.stack.repeats else {
            return Ok(None);
        };
        if incoming.contains_key(header::CACHE_CONTROL) {
            return Ok(None);
        }
        Ok(Some(repeats.alias(Asked {
            route,
            scope: caller.scope,
            path,
            headers: headers::forwarded(incoming, &self.shared.config.upstream.forward_headers),
            level,
            body,
        })))
    }

    /// What a request needs beside its body, which is a chat completion or not looked into.
    pub(super) fn parts(
        &self,
        route: Route,
        method: Method,
        path: Box<str>,
        incoming: &HeaderMap,
        caller: Caller,
        chat: Option<&Chat>,
    ) -> Result<Parts, ProxyError> {
        let config = &self.shared.config;
        let mut cache_control = CacheControl::from_headers(incoming);
        // What the operator keeps out of the cache goes the way of what the client keeps out of it.
        cache_control.no_store |= chat.is_some_and(|chat| !config.cache.takes(route, chat));
        Ok(Parts {
            route,
            method,
            path,
            headers: headers::forwarded(incoming, &config.upstream.forward_headers)
                .map(|(name, value)| (name.clone(), detached(value)))
                .collect(),
            authorization: caller.authorization.map(|value| detached(&value)),
            scope: caller.scope,
            cache_control,
            ttl: self.shared.stack.times.of(route),
            level: headers::level(incoming)?,
            deadline: Instant::now() + config.upstream.total_timeout,
            account: caller.account,
            asks_for_usage: config.metering.stream_usage,
            refuses_overflow: config.metering.refuse_overflow,
        })
    }
}
