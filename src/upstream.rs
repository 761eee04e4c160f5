//! One attempt at the upstream: a socket, a question, an answer that is whole or arrives as a stream.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower::Service;

use crate::chat::{self, Quality};
use crate::config;
use crate::error::{ProxyError, Slow};
use crate::layers::{ReplyFuture, ReplyResult};
use crate::metering::Metrics;
use crate::reply::{Provenance, Reply, StreamKind, Streaming, Whole, Worth};
use crate::request::ProxyRequest;
use crate::telemetry::{self, Span, Trace};
use crate::tuning::journal::Journal;

use client::{Client, Outgoing};
use incoming::{Incoming, Limits};
use key::OwnKey;
use meter::Meter;
use overflow::refuse_overflow;
use prompt_cache::PromptCache;
use sale::Sale;
use sockets::{SETTLE, Sockets};

mod client;
mod decode;
mod events;
mod failure;
mod headers;
mod http1;
mod incoming;
mod key;
mod meter;
mod negotiated;
mod overflow;
mod prompt_cache;
mod raw;
mod sale;
mod sockets;

pub use client::SetupError;
pub(crate) use headers::nominated;
pub use sockets::SocketUse;

/// The path of chat completions below `upstream.base_url`.
const COMPLETIONS: &str = "/chat/completions";

/// The leaf of the stack. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    config: config::Upstream,
    own_key: Option<OwnKey>,
    client: Client,
    sockets: Sockets,
    prompt_cache: Option<PromptCache>,
    metrics: Arc<Metrics>,
}

// === impl Shared ===

impl Shared {
    /// What came back without our own key, which is nobody else's.
    fn mask(&self, data: Bytes) -> Bytes {
        match &self.own_key {
            Some(key) => key.mask(data),
            None => data,
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// A client for the configured upstream, which writes into the journal what it decides by itself. Fails if the TLS
    /// library cannot be set up.
    pub fn new(
        config: &config::Upstream,
        metrics: Arc<Metrics>,
        journal: Journal,
    ) -> Result<Self, SetupError> {
        let own_key = config.api_key.as_ref().and_then(OwnKey::new);
        // There is one upstream, hence one host: of the two caps the smaller one decides.
        let cap = config.max_connections.min(config.max_connections_per_host);
        let settle = if config.http2 { SETTLE } else { Duration::ZERO };
        let shared = Shared {
            client: Client::new(config, cap)?,
            config: config.clone(),
            own_key,
            sockets: Sockets::new(cap, settle),
            prompt_cache: PromptCache::new(config, Arc::clone(&metrics), journal),
            metrics,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// How its sockets are used at present.
    pub fn sockets(&self) -> SocketUse {
        SocketUse {
            idle: self.shared.client.idle(),
            ..self.shared.sockets.in_use()
        }
    }

    async fn attempt(self, request: ProxyRequest) -> ReplyResult {
        let span = (request.trace.as_ref()).and_then(|trace| trace.begin_attempt(&request));
        let result = self.ask_marked(request, span.as_ref()).await;
        let has_failed = match &result {
            Ok(reply) => reply.head().status.is_server_error(),
            Err(error) => error.is_upstream_failure(),
        };
        let failed = &self.shared.metrics.failed_attempts;
        failed.add(u64::from(has_failed));
        telemetry::carry(span, result)
    }

    /// Asks with marks for the provider's cache where they pay. What is refused with them is asked without.
    async fn ask_marked(&self, request: ProxyRequest, span: Option<&Span>) -> ReplyResult {
        let Some(prompt_cache) = &self.shared.prompt_cache else {
            return self.ask(request, span).await;
        };
        prompt_cache.mark(&request);
        let Some(marking) = request.marking() else {
            return self.ask(request, span).await;
        };
        self.shared.metrics.provider_cache.marked.add(1);
        let result = self.ask(request.clone(), span).await;
        if !is_refusal(&result) || !prompt_cache.doubts_refusals(&request) {
            return result;
        }
        drop(result);
        marking.give_up();
        let result = self.ask(request.clone(), span).await;
        if matches!(&result, Ok(reply) if reply.head().status.is_success()) {
            prompt_cache.refused(&request);
        } else if is_refusal(&result) {
            prompt_cache.refused_anyway(&request);
        }
        result
    }

    async fn ask(&self, request: ProxyRequest, span: Option<&Span>) -> ReplyResult {
        let Shared {
            config,
            client,
            sockets,
            metrics,
            ..
        } = &*self.shared;
        let deadline = request.deadline;
        if request.parts().refuses_overflow {
            refuse_overflow(&request, metrics)?;
        }
        let (permit, is_late) = sockets.acquire(deadline).await?;
        metrics.attempts.add(1);
        request.parts().account.attempted();
        let limits = Limits {
            read_timeout: config.read_timeout,
            deadline,
            longest: None,
            max_bytes: config.max_response_bytes,
        };
        // A call that spent its time in the queue says nothing about the upstream when the rest is too short.
        let overloaded = |error| match error {
            ProxyError::Timeout(Slow::Total) if is_late => sockets.busy(),
            error => error,
        };
        let sending = client.send(self.outgoing(&request, span), request.socket);
        let response = limits.wait(sending).await.map_err(overloaded)??;
        let incoming = Incoming::new(response, Arc::clone(&self.shared), permit, limits);
        let status = incoming.status;
        if let Some(span) = span {
            span.set_number("http.response.status_code", status.as_u16().into());
            span.judge(status);
        }
        if status.is_informational() || status.as_u16() >= 600 {
            let reason = format!("its status {} ends no exchange", status.as_u16());
            return Err(ProxyError::InvalidAnswer(reason.into()));
        }
        match request.chat() {
            Some(_) if status.is_success() => {
                self.completion(request, incoming).await.map_err(overloaded)
            }
            Some(_) if status.is_redirection() => Err(ProxyError::InvalidAnswer(
                format!(
                    "it redirects ({status}), which is never followed; check upstream.base_url"
                )
                .into(),
            )),
            _ => forward(&request, incoming, metrics).await,
        }
    }

    /// What is to be sent.
    fn outgoing<'a>(&self, request: &'a ProxyRequest, span: Option<&Span>) -> Outgoing<'a> {
        let parts = request.parts();
        let mut headers = parts.headers.clone();
        // Never both: the client's own credential goes up only where the proxy has none.
        let own = self.shared.own_key.as_ref().map(OwnKey::header);
        if let Some(credential) = own.or(parts.authorization.as_ref()) {
            headers.insert(header::AUTHORIZATION, credential.clone());
        }
        let encodings = if request.wants_stream() {
            // A compressor at the other end would hold tokens back until its block is full.
            HeaderValue::from_static("identity")
        } else {
            decode::ACCEPTED
        };
        headers.insert(header::ACCEPT_ENCODING, encodings);
        // In place of the client's own: the attempt is between them. Where nothing is traced, the client's goes on.
        if let Some(trace) = span.map(Span::here).or(request.trace.as_ref()) {
            trace.write(&mut headers);
        }
        Outgoing {
            method: parts.method.clone(),
            path: &parts.path,
            headers,
            body: request.body(),
        }
    }

    /// The answer to a chat completion, whole or as events, whichever the upstream sends.
    async fn completion(&self, request: ProxyRequest, mut incoming: Incoming) -> ReplyResult {
        let mut head = incoming.head();
        // What can be read here is not encoded, whatever it says.
        head.headers.remove(header::CONTENT_ENCODING);
        let has_own_key = self.shared.own_key.is_some();
        if is_content_type(&incoming.headers, "text/event-stream") {
            let frames = events::read(incoming, request).await?;
            return Ok(Reply::Stream(Streaming {
                head,
                kind: StreamKind::Events,
                frames,
            }));
        }
        let trace = request.trace.clone().filter(Trace::is_recorded);
        let sale = Sale::begin(request, &self.shared);
        let body = incoming.collect().await?;
        let answer = match chat::read_answer(&body) {
            Ok(answer) => answer,
            Err(invalid) => {
                // Unusable as it is, it may say what it cost.
                match chat::usage_of(&body) {
                    Some((usage, model)) => _ = sale.close(Some(usage), 0, model.as_ref(), None),
                    None => sale.cancel(),
                }
                return Err(refuse(&invalid, has_own_key));
            }
        };
        let is_cut = Some(answer.quality == Quality::Length);
        let usage = sale.close(answer.usage, answer.text, answer.model.as_ref(), is_cut);
        if let Some(trace) = trace {
            trace.note_endings(chat::endings_of(&body).into_iter());
        }
        let answer = Some(Worth {
            usage,
            served: answer.model,
            quality: answer.quality,
        });
        Ok(Reply::Whole(Whole { head, body, answer }))
    }
}

impl Service<ProxyRequest> for Upstream {
    type Response = Reply;
    type Error = ProxyError;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Waiting for a socket belongs to the call: only there is its deadline known.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        Box::pin(self.clone().attempt(request))
    }
}

/// Whether something in the body is not to the upstream's liking: marks, or what its client wrote.
fn is_refusal(result: &ReplyResult) -> bool {
    const REFUSALS: [StatusCode; 2] = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
    matches!(result, Ok(reply) if REFUSALS.contains(&reply.head().status))
}

/// Anything but a chat completion, and every error status: passed on as it is.
async fn forward(
    request: &ProxyRequest,
    mut incoming: Incoming,
    metrics: &Arc<Metrics>,
) -> ReplyResult {
    let mut head = incoming.head();
    if request.chat().is_none() {
        head.provenance = Provenance::Bypass { stored: false };
    }
    let status = head.status;
    // Whoever fetches an answer that was paid for before pays nothing.
    let is_paid = status.is_success() && request.parts().method == Method::POST;
    let is_small = status.is_client_error()
        || status.is_server_error()
        || request.parts().method == Method::HEAD;
    if is_small || is_content_type(&incoming.headers, "application/json") {
        if request.parts().method == Method::HEAD
            && let Some(length) = incoming.headers.get(header::CONTENT_LENGTH)
        {
            head.headers.insert(header::CONTENT_LENGTH, length.clone());
        }
        let body = incoming.collect().await?;
        if is_paid && let Some((usage, model)) = chat::usage_of(&body) {
            let _ = metrics.answered(request, usage, model.as_ref());
        }
        return Ok(Reply::Whole(Whole {
            head,
            body,
            answer: None,
        }));
    }
    if let Some(length) = incoming.length {
        incoming.refuse_beyond(length)?;
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let is_metered = is_paid && is_content_type(&incoming.headers, "text/event-stream");
    let meter = is_metered.then(|| Meter::new(request.clone(), metrics));
    Ok(Reply::Stream(Streaming {
        head,
        kind: StreamKind::Raw,
        frames: raw::read(incoming, meter).await?,
    }))
}

/// What an unusable answer means to the caller.
fn refuse(invalid: &chat::Invalid, has_own_key: bool) -> ProxyError {
    let Some(reported) = invalid.reported() else {
        return ProxyError::InvalidAnswer(invalid.reason().into());
    };
    let status = reported
        .status()
        .and_then(|status| StatusCode::from_u16(status).ok());
    match status {
        // The client's credential was never shown, so it cannot be at fault.
        Some(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) if has_own_key => {
            ProxyError::Credentials(status)
        }
        // Some providers put a refusal into an answer whose status says 200. It is no failure of theirs.
        Some(status) if status.is_client_error() => {
            ProxyError::upstream_status(status, Some(&reported.message), &HeaderMap::new())
        }
        _ => ProxyError::Reported(invalid.reason().into()),
    }
}

fn is_content_type(headers: &HeaderMap, expected: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}
