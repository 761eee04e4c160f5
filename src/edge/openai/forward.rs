//! Everything below `/v1` but chat completions: passed on as it is.

use std::future::ready;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::probe::Probe;
use super::{invalid_json, path_and_query};
use crate::edge::access::Context;
use crate::edge::dialect::failure;
use crate::edge::document::Forwarded;
use crate::edge::encoding::IsStream;
use crate::edge::exchange::Exchange;
use crate::edge::{Edge, body, hold};
use crate::embeddings::Embeddings;
use crate::error::ProxyError;
use crate::reply::{Frame, Reply, Streaming, Whole};
use crate::request::{Content, LONG, ProxyRequest, Route, aside};

/// Everything else below /v1
///
/// It is forwarded to the upstream, whatever the method and however many segments the path has: `/v1/models`, `/v1/embeddings`
/// and so on. A body that was not changed goes out byte for byte. Calls of `/v1/embeddings` that come at once go upstream
/// together, and their inputs are cached one by one (`batch.window`).
#[utoipa::path(method(get, post, put, patch, delete), path = "/v1/{*path}", tag = "completions", operation_id = "forward",
    params(("path" = String, Path, description = "The path below the upstream's base URL.", example = "models")),
    request_body(content = Value, content_type = "application/json", examples(
        ("embeddings" = (summary = "Embeddings, at /v1/embeddings",
            value = json!({"model": "openai/text-embedding-3-small", "input": "a lark"}))),
    )),
    responses(
        (status = "2XX", description = "What the upstream answers, as it came.", content_type = "*/*", body = Value),
        (status = "3XX", description = "Where the upstream points to, as it came."),
        Forwarded,
    ))]
pub(in crate::edge) async fn forward(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = pass_on(&edge, &context, request).await;
    answer.unwrap_or_else(|error| failure(&error))
}

async fn pass_on(edge: &Edge, context: &Context, request: Request) -> Result<Response, ProxyError> {
    let mut caller = edge.enter(context, Route::Forwarded, request.headers())?;
    let path = path_and_query(request.uri())?;
    let method = request.method().clone();
    if matches!(method, Method::TRACE | Method::CONNECT) {
        let message = format!("{method} is not forwarded");
        let mut refusal = failure(&ProxyError::reject(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        ));
        let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        refusal.headers_mut().insert(header::ALLOW, allow);
        return Ok(refusal);
    }
    let (head, body) = request.into_parts();
    let incoming = head.headers;
    let is_json = incoming
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(body::is_json);
    let body = edge.body(&incoming, body).await?;
    let place = edge.admit(&mut caller)?;
    // SDKs announce JSON on calls without a body, too.
    let probe = if is_json && !body.is_empty() {
        Probe::read(&body).map_err(|error| invalid_json(&error))?
    } else {
        Probe::default()
    };
    let accepts_events = incoming.get(header::ACCEPT).is_some_and(|value| {
        memchr::memmem::find(value.as_bytes(), b"text/event-stream").is_some()
    });
    let wants_stream = probe.stream || accepts_events;
    let merges = !edge.shared.config.batch.window.is_zero();
    let is_embedding = merges && method == Method::POST && *path == *"/embeddings" && !wants_stream;
    let embeddings = probe.model.clone().filter(|_| is_embedding);
    let embeddings =
        embeddings.and_then(|model| aside(body.len() >= LONG, || Embeddings::read(&body, model)));
    let asked = match embeddings {
        Some(embeddings) => Content::Embeddings(Box::new(embeddings)),
        None => Content::Opaque {
            body,
            model: probe.model,
            wants_stream,
        },
    };
    let parts = edge.parts(Route::Forwarded, method, path, &incoming, caller, None)?;
    let request = ProxyRequest::new(parts, asked);
    let (exchange, reply) = Exchange::begin(edge, context, request).await?;
    Ok(hold(relay(&exchange, reply)?, place))
}

/// A reply as it came.
pub(super) fn relay(exchange: &Exchange, reply: Reply) -> Result<Response, ProxyError> {
    let (head, mut response) = match reply {
        Reply::Whole(Whole { head, body, .. }) => {
            // Half a web server's error page tells an API client nothing, and an SDK less.
            if head.status.is_server_error() && !is_openai_error(&body) {
                return Err(ProxyError::upstream_status(
                    head.status,
                    None,
                    &head.headers,
                ));
            }
            let mut response = Response::new(Body::from(body));
            // HEAD tells what GET would, whose body passes as it comes unless it is JSON or an error.
            let is_head = exchange.request.parts().method == Method::HEAD;
            if is_head && !is_error(head.status) && !is_plain_json(&head.headers) {
                response.extensions_mut().insert(IsStream);
            }
            (head, response)
        }
        Reply::Stream(Streaming { head, frames, .. }) => {
            let context = exchange.context.clone();
            let chunks = frames.filter_map(move |frame| {
                ready(match frame {
                    Ok(Frame::Chunk(chunk)) => Some(Ok(chunk)),
                    Ok(Frame::End(_)) => None,
                    // Without a dialect to say it in, only an aborted body tells that it is incomplete.
                    Err(error) => {
                        context.note_error(&error);
                        Some(Err(error))
                    }
                })
            });
            let mut response = Response::new(Body::from_stream(chunks));
            response.extensions_mut().insert(IsStream);
            (head, response)
        }
    };
    *response.status_mut() = head.status;
    let saved = exchange.spared();
    *response.headers_mut() = exchange.headers(head.headers, saved);
    Ok(response)
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Whether a body is such JSON as is not passed on piece by piece.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn is_openai_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "error")]
        _error: IgnoredAny,
    }
    serde_json::from_slice::<Probe>(body).is_ok()
}
