//! `/create` and `/create/chat`: a prompt in, one completion and what it cost out.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::access::Context;
use super::dialect::failure;
use super::events;
use super::exchange::Exchange;
use super::{Edge, body, hold};
use crate::error::ProxyError;
use crate::json::Json;
use crate::reply::{Reply, StreamKind, Whole};
use crate::request::{Chat, Content, ProxyRequest, Route, Shape};

use form::{Endpoint, Form};
use report::Report;

mod form;
mod outcome;
mod report;

/// What the proxy puts in where the client gave none, by the length of the prompt.
const INJECTED: &[&str] = &["max_tokens"];

/// `POST /create`
pub(super) async fn prompt(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = create(&edge, &context, request, Endpoint::Prompt).await;
    answer.unwrap_or_else(|error| failure(&error))
}

/// `POST /create/chat`
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
    let form = Form::read(&bytes, endpoint, &edge.shared.config)?;
    context.note_user(form.user.as_ref());

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
    let mut parts = edge.parts(
        route,
        Method::POST,
        "/chat/completions".into(),
        &incoming,
        caller,
        Some(&chat),
    )?;
    // The client's type and wishes are about this endpoint's JSON, not about the upstream's.
    parts.headers.remove(header::ACCEPT);
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let request = ProxyRequest::new(parts, Content::Chat(Box::new(chat)));

    let (exchange, reply) = Exchange::begin(edge, context, request).await?;
    let report = Report::new(exchange, form.ignored);
    let response = match reply {
        Reply::Stream(stream) if stream.kind == StreamKind::Events => match shape {
            Shape::Stream { .. } => report.stream(stream.head.headers, stream.frames),
            Shape::Whole => {
                let (body, worth) = events::gather(stream.frames, report.deadline()).await?;
                report.whole(stream.head.headers, &body, &worth, wants_text(&incoming))?
            }
        },
        Reply::Whole(Whole {
            head,
            body,
            answer: Some(worth),
        }) => match shape {
            Shape::Stream { .. } => report.replay(head.headers, &body, &worth)?,
            Shape::Whole => report.whole(head.headers, &body, &worth, wants_text(&incoming))?,
        },
        Reply::Whole(whole) => return Err(outcome::refusal(&whole)),
        Reply::Stream(_) => {
            return Err(ProxyError::InvalidAnswer("it is no chat completion".into()));
        }
    };
    Ok(hold(response, place))
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
