//! `/create` and `/create/chat`: a prompt in, one completion and what it cost out.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::Instant;

use super::access::Context;
use super::auth::Caller;
use super::dialect::failure;
use super::document::Prompted;
use super::events;
use super::exchange::Exchange;
use super::headers::Wishes;
use super::{Edge, body, hold};
use crate::error::ProxyError;
use crate::reply::{Reply, StreamKind, Whole, Worth};
use crate::request::{Chat, Content, ProxyRequest, Route, Shape};

use form::{Endpoint, Form};
use report::{Answer, Report};

pub(super) use form::describe;

pub(super) mod batch;
mod form;
mod outcome;
mod report;

/// Answer a prompt
///
/// One completion. A field that is not known is ignored, and named in `ignored`.
#[utoipa::path(post, path = "/create", tag = "completions", operation_id = "create", params(Wishes),
    request_body(content = ref("#/components/schemas/CreateRequest"), content_type = "application/json", examples(
        ("prompt" = (summary = "A prompt", value = json!({"prompt": "Why do birds sing at dawn?"}))),
        ("settings" = (summary = "With settings", value = json!({
            "prompt": "Name three birds.", "system": "Answer in one line.", "model": "anthropic/claude-sonnet-4",
            "temperature": 0.2, "max_tokens": 200, "stop": ["\n\n"], "userId": "alice",
        }))),
        ("stream" = (summary = "As a stream", value = json!({"prompt": "Tell me about larks.", "stream": true}))),
        ("older" = (summary = "As older clients ask", value = json!({
            "type": "plugin", "name": "Birdsong", "description": "A plugin that knows birds by their song.",
            "features": ["records", "recognises", "keeps a list"],
        }))),
    )),
    responses(
        (status = 200, description = "The answer: as one object, as bare text (`Accept: text/plain`), or as a stream. The \
            events of a stream are `data: {\"delta\": …}`, then one with the object less `response`, then `data: [DONE]`.",
            content((Answer<'static> = "application/json"), (String = "text/plain"), (String = "text/event-stream"))),
        Prompted,
    ))]
pub(super) async fn prompt(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = create(&edge, &context, request, Endpoint::Prompt).await;
    answer.unwrap_or_else(|error| failure(&error))
}

/// Answer one turn of a chat
#[utoipa::path(post, path = "/create/chat", tag = "completions", operation_id = "create_chat", params(Wishes),
    request_body(content = ref("#/components/schemas/CreateChatRequest"), content_type = "application/json", examples(
        ("message" = (summary = "A first turn", value = json!({"message": "Hello!"}))),
        ("history" = (summary = "With what was said before", value = json!({
            "message": "And at dusk?",
            "history": [
                {"role": "user", "content": "Why do birds sing at dawn?"},
                {"role": "assistant", "content": "To say where they are."},
            ],
        }))),
        ("stream" = (summary = "As a stream", value = json!({"message": "Sing!", "stream": true}))),
    )),
    responses(
        (status = 200, description = "The answer: as one object, as bare text (`Accept: text/plain`), or as a stream. The \
            events of a stream are `data: {\"delta\": …}`, then one with the object less `response`, then `data: [DONE]`.",
            content((Answer<'static> = "application/json"), (String = "text/plain"), (String = "text/event-stream"))),
        Prompted,
    ))]
pub(super) async fn turn(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = create(&edge, &context, request, Endpoint::Turn).await;
    answer.unwrap_or_else(|error| failure(&error))
}

async fn create(
    edge: &Edge,
    context: &Context,
    request: Request,
    endpoint: Endpoint,
) -> Result<Response, ProxyError> {
    let route = match endpoint {
        Endpoint::Prompt => Route::Create,
        Endpoint::Turn => Route::CreateChat,
    };
    let mut caller = edge.enter(context, route, request.headers())?;
    body::expect_json(request.headers())?;
    let (head, body) = request.into_parts();
    let incoming = head.headers;
    let bytes = edge.body(&incoming, body).await?;
    // Not before the body is here: slow senders must not take the places of others.
    let place = edge.admit(&mut caller)?;
    let limits = edge.limits(&incoming);
    let form = Form::read(&bytes, endpoint, &edge.shared.config, limits)?;
    context.note_user(form.user.as_ref());
    let chat = form.completion.into_chat()?;
    let shape = chat.shape();
    let request = completion(edge, route, &incoming, caller, chat)?;

    let (exchange, reply) = Exchange::begin(edge, context, request).await?;
    let deadline = exchange.request.deadline;
    let report = Report::new(exchange, form.ignored);
    let response = match (shape, reply) {
        (Shape::Stream { .. }, Reply::Stream(stream)) if stream.kind == StreamKind::Events => {
            report.stream(stream.head.headers, stream.frames)
        }
        (shape, reply) => {
            let (head, body, worth) = gather(reply, deadline).await?;
            match shape {
                Shape::Stream { .. } => report.replay(head, &body, &worth)?,
                Shape::Whole => report.whole(head, &body, &worth, wants_text(&incoming))?,
            }
        }
    };
    Ok(hold(response, place))
}

/// The request for a chat completion that a form became.
fn completion(
    edge: &Edge,
    route: Route,
    incoming: &HeaderMap,
    caller: Caller,
    chat: Chat,
) -> Result<ProxyRequest, ProxyError> {
    let path = "/chat/completions".into();
    let mut parts = edge.parts(route, Method::POST, path, incoming, caller, Some(&chat))?;
    // The client's type and wishes are about this endpoint's JSON, not about the upstream's.
    parts.headers.remove(header::ACCEPT);
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(ProxyRequest::new(parts, Content::Chat(Box::new(chat))))
}

/// The whole answer, however it comes: its headers, its body and what it is worth.
async fn gather(reply: Reply, deadline: Instant) -> Result<(HeaderMap, Bytes, Worth), ProxyError> {
    match reply {
        Reply::Stream(stream) if stream.kind == StreamKind::Events => {
            let (body, worth) = events::gather(stream.frames, deadline).await?;
            Ok((stream.head.headers, body, worth))
        }
        Reply::Whole(Whole {
            head,
            body,
            answer: Some(worth),
        }) => Ok((head.headers, body, worth)),
        Reply::Whole(whole) => Err(outcome::refusal(&whole)),
        Reply::Stream(_) => Err(ProxyError::InvalidAnswer("it is no chat completion".into())),
    }
}

/// Whether the client prefers the bare text to JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let quality = |ranges: &[&str]| {
        ranges.iter().find_map(|range| {
            accept.split(',').find_map(|item| {
                let mut parts = item.split(';').map(str::trim);
                let is_it = parts.next()?.eq_ignore_ascii_case(range);
                let weight = parts.find_map(|part| {
                    let (name, value) = part.split_once('=')?;
                    name.eq_ignore_ascii_case("q").then_some(value)
                });
                is_it.then(|| {
                    weight
                        .and_then(|weight| weight.parse().ok())
                        .unwrap_or(1.0_f32)
                })
            })
        })
    };
    // Text has to be asked for by name; JSON is what everything else means.
    let text = quality(&["text/plain"]).unwrap_or(0.0);
    let json = quality(&["application/json", "application/*", "*/*"]).unwrap_or(0.0);
    text > json
}
