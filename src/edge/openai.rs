//! `/v1`: OpenAI's protocol, whole and streaming, and everything else below it passed on as it is.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{self, Context};
use super::auth::Caller;
use super::dialect::Dialect;
use super::events::{self, Encode, usage_json};
use super::middleware::IsStream;
use super::{Edge, body, headers};
use crate::chat;
use crate::error::ProxyError;
use crate::json::{Json, Node};
use crate::reply::{Frame, Provenance, Reply, StreamKind, Streaming, Whole, Worth};
use crate::request::{CacheControl, Chat, Content, Parts, ProxyRequest, Shape};
use crate::sse;

/// `POST /v1/chat/completions`
pub(super) async fn completions(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = complete(&edge, &context, request).await;
    answer.unwrap_or_else(|error| Dialect::OpenAi.error(&error))
}

/// Any other path below `/v1`.
pub(super) async fn forward(
    State(edge): State<Edge>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let answer = pass_on(&edge, &context, request).await;
    answer.unwrap_or_else(|error| Dialect::OpenAi.error(&error))
}

async fn complete(
    edge: &Edge,
    context: &Context,
    request: Request,
) -> Result<Response, ProxyError> {
    let caller = edge.shared.guard.caller(request.headers())?;
    body::expect_json(request.headers())?;
    let permit = edge.admit()?;
    let path = path_and_query(&request)?;
    let incoming = request.headers().clone();
    let json = parse(body::read(request, &edge.shared.config.server).await?)?;
    chat::validate(json.root()).map_err(|fault| {
        ProxyError::reject_field(
            StatusCode::BAD_REQUEST,
            fault.param.clone(),
            fault.to_string(),
        )
    })?;
    let chat = Chat::new(json, &[]);
    let shape = chat.shape();
    let parts = edge.parts(Method::POST, path, &incoming, caller)?;
    let request = ProxyRequest::new(parts, Content::Chat(chat));
    let reply = edge.ask(&request).await?;
    let provenance = reply.head().provenance;
    context.note_reply(&request, provenance.x_cache());
    let response = match (reply, shape) {
        (Reply::Stream(stream), Shape::Stream { include_usage })
            if stream.kind == StreamKind::Events =>
        {
            let mut head = stream.head.headers;
            headers::tell(
                &mut head,
                &request,
                provenance,
                request.saved().tokens,
                context.begun,
            );
            let encoder = Events {
                edge: edge.clone(),
                context: context.clone(),
                request,
                provenance,
                include_usage,
                first: None,
                usage_sent: false,
            };
            events::response(head, events::relay(stream.frames, encoder))
        }
        (Reply::Stream(stream), _) if stream.kind == StreamKind::Events => {
            let (body, worth) = events::gather(stream.frames, request.parts().deadline).await?;
            let body = events::with_usage(body, worth.usage);
            answer(
                edge,
                context,
                &request,
                stream.head.headers,
                provenance,
                worth,
                body,
            )
        }
        (
            Reply::Whole(Whole {
                head,
                body,
                answer: Some(worth),
            }),
            Shape::Whole,
        ) => answer(
            edge,
            context,
            &request,
            head.headers,
            provenance,
            worth,
            events::with_usage(body, worth.usage),
        ),
        (
            Reply::Whole(Whole {
                head,
                body,
                answer: Some(worth),
            }),
            Shape::Stream { include_usage },
        ) => {
            let body = events::with_usage(body, worth.usage);
            let chunks = chat::unfold(&body, include_usage)
                .map_err(|invalid| ProxyError::InvalidAnswer(invalid.reason().into()))?;
            let mut out = BytesMut::with_capacity(body.len() + 512);
            chunks.iter().for_each(|chunk| sse::encode(chunk, &mut out));
            sse::encode(b"[DONE]", &mut out);
            let mut head = head.headers;
            let bill = edge.bill(&request, provenance, worth);
            context.note_saved(bill.tokens_saved);
            headers::tell(
                &mut head,
                &request,
                provenance,
                bill.tokens_saved,
                context.begun,
            );
            events::response(head, out.freeze().into())
        }
        (reply, _) => relay(&request, reply, context.begun)?,
    };
    Ok(access::hold(response, permit))
}

/// A complete answer as JSON.
fn answer(
    edge: &Edge,
    context: &Context,
    request: &ProxyRequest,
    mut head: HeaderMap,
    provenance: Provenance,
    worth: Worth,
    body: Bytes,
) -> Response {
    let bill = edge.bill(request, provenance, worth);
    context.note_saved(bill.tokens_saved);
    head.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers::tell(
        &mut head,
        request,
        provenance,
        bill.tokens_saved,
        context.begun,
    );
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = head;
    response
}

async fn pass_on(edge: &Edge, context: &Context, request: Request) -> Result<Response, ProxyError> {
    let caller = edge.shared.guard.caller(request.headers())?;
    let permit = edge.admit()?;
    let path = path_and_query(&request)?;
    let method = request.method().clone();
    if matches!(method, Method::TRACE | Method::CONNECT) {
        let message = format!("{method} is not forwarded");
        return Err(ProxyError::reject(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        ));
    }
    let incoming = request.headers().clone();
    let is_json = incoming
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(body::is_json);
    let body = body::read(request, &edge.shared.config.server).await?;
    // SDKs announce JSON on calls without a body, too.
    let model = if is_json && !body.is_empty() {
        let json = parse(body.clone())?;
        json.root()
            .get("model")
            .and_then(Node::as_str)
            .map(Into::into)
    } else {
        None
    };
    let parts = edge.parts(method, path, &incoming, caller)?;
    let request = ProxyRequest::new(parts, Content::Opaque { body, model });
    let reply = edge.ask(&request).await?;
    context.note_reply(&request, reply.head().provenance.x_cache());
    Ok(access::hold(relay(&request, reply, context.begun)?, permit))
}

/// A reply as it came.
fn relay(request: &ProxyRequest, reply: Reply, begun: Instant) -> Result<Response, ProxyError> {
    let provenance = reply.head().provenance;
    let (head, mut response) = match reply {
        Reply::Whole(Whole { head, body, .. }) => {
            // Half a web server's error page tells an API client nothing, and an SDK less.
            if head.status.is_server_error() && !is_openai_error(&body) {
                return Err(ProxyError::Reported(
                    format!("it answered {}", head.status).into(),
                ));
            }
            (head, Response::new(Body::from(body)))
        }
        Reply::Stream(Streaming { head, frames, .. }) => {
            let chunks = frames.filter_map(|frame| async {
                match frame {
                    Ok(Frame::Chunk(chunk)) => Some(Ok(chunk)),
                    Ok(Frame::End(_)) => None,
                    // Without a dialect to say it in, only an aborted body tells that it is incomplete.
                    Err(error) => Some(Err(error)),
                }
            });
            let mut response = Response::new(Body::from_stream(chunks));
            response.extensions_mut().insert(IsStream);
            (head, response)
        }
    };
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    headers::tell(response.headers_mut(), request, provenance, 0, begun);
    Ok(response)
}

fn is_openai_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "error")]
        _error: IgnoredAny,
    }
    serde_json::from_slice::<Probe>(body).is_ok()
}

fn parse(body: Bytes) -> Result<Json, ProxyError> {
    Json::parse(body).map_err(|error| {
        ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
    })
}

/// Path and query below `upstream.base_url`.
fn path_and_query(request: &Request) -> Result<Box<str>, ProxyError> {
    let uri = request.uri();
    let path = uri.path().strip_prefix("/v1").unwrap_or(uri.path());
    // URL parsers resolve these, with `%2e` and `\` in their place, and so leave the upstream's base path.
    let climbs = path.split(['/', '\\']).any(|segment| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    });
    if climbs || path.contains('\\') {
        let message = "the path must not contain . or .. segments";
        return Err(ProxyError::reject(
            StatusCode::BAD_REQUEST,
            "invalid_path",
            message,
        ));
    }
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    Ok(format!("{path}{query}").into())
}

impl Edge {
    /// What a request needs beside its body.
    pub(super) fn parts(
        &self,
        method: Method,
        path: Box<str>,
        incoming: &HeaderMap,
        caller: Caller,
    ) -> Result<Parts, ProxyError> {
        let config = &self.shared.config;
        Ok(Parts {
            method,
            path,
            headers: headers::forwarded(incoming, &config.upstream.forward_headers),
            authorization: caller.authorization,
            scope: caller.scope,
            cache_control: CacheControl::from_headers(incoming),
            level: headers::level(incoming)?,
            deadline: Instant::now() + config.upstream.total_timeout,
        })
    }
}

/// OpenAI's way of streaming.
struct Events {
    edge: Edge,
    context: Context,
    request: ProxyRequest,
    provenance: Provenance,
    include_usage: bool,
    first: Option<Bytes>,
    usage_sent: bool,
}

impl Encode for Events {
    fn chunk(&mut self, data: &Bytes, out: &mut BytesMut) {
        // A shared call may have been asked for usage by somebody else, or not by him.
        let is_shared = self.provenance == Provenance::Coalesced;
        if (is_shared || self.include_usage) && memchr::memmem::find(data, b"\"usage\"").is_some() {
            let probe = serde_json::from_slice::<UsageProbe>(data).unwrap_or_default();
            let has_usage = probe.usage.is_some();
            if has_usage && probe.choices.is_empty() && !self.include_usage {
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
            sse::encode(
                usage_chunk(self.first.as_deref(), worth)
                    .to_string()
                    .as_bytes(),
                out,
            );
        }
        sse::encode(b"[DONE]", out);
        let bill = self.edge.bill(&self.request, self.provenance, worth);
        self.context.note_saved(bill.tokens_saved);
    }

    fn error(&mut self, error: &ProxyError, out: &mut BytesMut) {
        self.context.note_error(error);
        sse::encode(
            Dialect::OpenAi
                .describe(error, &self.context.id)
                .to_string()
                .as_bytes(),
            out,
        );
    }
}

#[derive(Default, Deserialize)]
struct UsageProbe {
    #[serde(default)]
    choices: Vec<IgnoredAny>,
    usage: Option<IgnoredAny>,
}

/// The last chunk that OpenAI sends for `include_usage`, of the same answer as the first one.
fn usage_chunk(first: Option<&[u8]>, worth: Worth) -> Value {
    let first: Value = first
        .and_then(|data| serde_json::from_slice(data).ok())
        .unwrap_or_default();
    json!({
        "id": first["id"],
        "object": "chat.completion.chunk",
        "created": first["created"],
        "model": first["model"],
        "choices": [],
        "usage": usage_json(worth.usage),
    })
}
