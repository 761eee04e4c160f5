//! `/create/batch`: many prompts in, as many answers out, in order and each with its own status.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::timeout;

use super::events;
use crate::edge::access::Context;
use crate::edge::dialect::failure;
use crate::edge::document::Prompted;
use crate::edge::headers::{self, Wishes};
use crate::edge::{Edge, body, hold};
use crate::error::ProxyError;
use crate::request::{LONG, Route, aside};
use crate::sse;

use order::Order;

pub(super) use order::MOST;

use question::questions;
use round::Round;
use sum::{BatchAnswer, Sum};

mod one;
mod order;
mod question;
mod round;
mod sum;
#[cfg(test)]
mod tests;
mod told;

/// Answer many prompts
///
/// Up to 256 requests, each what `/create` or `/create/chat` takes, but for `stream`. Some are worked on at once
/// (`batch.concurrency`); those that ask the same are asked once. The answers are in the order of the requests, each with
/// its own status: a request that fails or is invalid fails alone. Headers are for all of them.
#[utoipa::path(post, path = "/create/batch", tag = "completions", operation_id = "create_batch", params(Wishes),
    request_body(content = ref("#/components/schemas/CreateBatchRequest"), content_type = "application/json", examples(
        ("prompts" = (summary = "Some prompts", value = json!({"requests": [
            {"prompt": "Why do birds sing at dawn?"},
            {"prompt": "Name three birds.", "max_tokens": 200},
            {"message": "And at dusk?", "history": [{"role": "user", "content": "Why do birds sing at dawn?"}]},
        ]}))),
        ("stream" = (summary = "As a stream", value = json!({
            "requests": [{"prompt": "Tell me about larks."}, {"prompt": "Tell me about owls."}], "stream": true,
        }))),
    )),
    responses(
        (status = 200, description = "What became of the requests: as one object, or as a stream. The events of a stream are \
            one for each request when it is ready, `data: {\"index\": 3, \"status\": 200, …}`, then one with the object less \
            `responses`, then `data: [DONE]`.",
            content((BatchAnswer<'static> = "application/json"), (String = "text/event-stream"))),
        Prompted,
    ))]
pub(in crate::edge) async fn batch(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = answer(&edge, &context, request).await;
    answer.unwrap_or_else(|error| failure(&error))
}

async fn answer(edge: &Edge, context: &Context, request: Request) -> Result<Response, ProxyError> {
    let mut caller = edge.enter(context, Route::CreateBatch, request.headers())?;
    body::expect_json(request.headers())?;
    let (head, body) = request.into_parts();
    let incoming = head.headers;
    let bytes = edge.body(&incoming, body).await?;
    let place = edge.admit(&mut caller)?;
    // What is wrong with all of them alike is said once.
    headers::level(&incoming)?;
    let is_long = bytes.len() >= LONG;
    let order = aside(is_long, || Order::read(&bytes))?;
    // It is in the books by what came in it.
    context.close_account();
    let questions = aside(is_long, || {
        questions(&order.requests, &edge.shared.config, edge.limits(&incoming))
    });
    let count = order.requests.len();
    let round = Round::new(edge, context, incoming, caller, questions);
    let response = if order.streams {
        stream(context, round, order.ignored)
    } else {
        let most = edge.shared.config.upstream.max_response_bytes;
        whole(context, round, count, most, &order.ignored).await
    };
    Ok(hold(response, place))
}

/// All answers in order, as one object.
async fn whole(
    context: &Context,
    mut round: Round,
    count: usize,
    most: usize,
    ignored: &[String],
) -> Response {
    let mut sum = Sum::default();
    let mut responses = vec![None; count];
    // One answer of that length would be refused, too.
    let mut room = most;
    while let Some(told) = round.next(room).await {
        sum.add(&told);
        if told.is_answered {
            room = room.saturating_sub(told.text.get().len());
        }
        if let Some(place) = responses.get_mut(told.index) {
            *place = Some(told.text);
        }
    }
    let responses: Vec<_> = responses.into_iter().flatten().collect();
    let body = sum.to_json(Some(&responses), ignored, context.begun());
    context.note_saved(sum.tokens_saved());
    let mut response = Response::new(Body::from(body));
    let head = response.headers_mut();
    head.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers::tell_batch(
        head,
        sum.took(),
        sum.tokens_saved(),
        context.begun().elapsed(),
    );
    response
}

/// Each answer when it is ready.
fn stream(context: &Context, round: Round, ignored: Vec<String>) -> Response {
    let mut head = HeaderMap::new();
    headers::tell_batch(
        &mut head,
        &[Duration::ZERO; 3],
        0,
        context.begun().elapsed(),
    );
    let teller = Teller {
        context: context.clone(),
        round,
        ignored,
        sum: Sum::default(),
        is_over: false,
    };
    let pieces = unfold(teller, async |mut teller| {
        let piece = teller.next().await?;
        Some((Ok::<_, Infallible>(piece), teller))
    });
    events::response(head, Body::from_stream(pieces))
}

/// A batch on its way to a client that asked for a stream.
struct Teller {
    context: Context,
    round: Round,
    ignored: Vec<String>,
    sum: Sum,
    is_over: bool,
}

impl Teller {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut out = BytesMut::new();
        match timeout(events::KEEP_ALIVE, self.round.next(usize::MAX)).await {
            Err(_) => out.extend_from_slice(b": keep-alive\n"),
            Ok(Some(told)) => {
                self.sum.add(&told);
                sse::encode(told.text.get().as_bytes(), &mut out);
                self.context.note_first_token();
            }
            Ok(None) => {
                self.is_over = true;
                let (context, sum) = (&self.context, &self.sum);
                context.note_saved(sum.tokens_saved());
                let body = sum.to_json(None, &self.ignored, context.begun());
                sse::encode(body.as_bytes(), &mut out);
                sse::encode(b"[DONE]", &mut out);
            }
        }
        Some(out.freeze())
    }
}
