//! One log line for each request, written when its response has ended or its client has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::dialect::{Dialect, Failed};
use super::linger;
use crate::error::ProxyError;
use crate::request::ProxyRequest;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Paths and model names come from clients; of their length no log line should be.
const MAX_LOGGED_CHARS: usize = 120;

/// What handlers know of the request beside its content.
#[derive(Clone)]
pub(super) struct Context {
    /// Its id: the client's own, or a new one.
    pub(super) id: Arc<str>,
    /// When its head was read.
    pub(super) begun: Instant,
    notes: Arc<Mutex<Notes>>,
}

/// What becomes known on the way, for the log.
#[derive(Default)]
struct Notes {
    client: Option<Arc<str>>,
    model: Option<String>,
    cache: Option<&'static str>,
    tokens_saved: Option<u64>,
    error: Option<(&'static str, String)>,
}

/// The log line in the making; written when dropped, whatever ended the request.
struct Line {
    context: Context,
    method: Method,
    path: String,
    status: Option<u16>,
    complete: bool,
}

pin_project! {
    /// A body that keeps something alive until it has ended.
    pub(super) struct Guarded<G: Ended> {
        #[pin]
        body: Body,
        guard: Option<G>,
    }
}

/// What wants to know how a body ended.
pub(super) trait Ended {
    /// All of the body has been handed to the connection.
    fn complete(&mut self) {}
}

impl Ended for Line {
    fn complete(&mut self) {
        self.complete = true;
    }
}

/// The outermost middleware: gives the request its id and its log line, and errors their body.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let mut request = linger::watch(request);
    let context = Context {
        id: request_id(request.headers()),
        begun: Instant::now(),
        notes: Arc::default(),
    };
    let mut line = Line {
        context: context.clone(),
        method: request.method().clone(),
        path: shorten(request.uri().path()),
        status: None,
        // The answer to HEAD has no body that could be cut.
        complete: request.method() == Method::HEAD,
    };
    let dialect = Dialect::of(request.uri().path());
    request.extensions_mut().insert(context.clone());
    let mut response = next.run(request).await;
    let failed = response.extensions_mut().remove::<Failed>();
    let is_ours = failed.is_some() || dialect == Dialect::Native;
    if let Some(failed) = failed {
        context.note_error(&failed.error);
        failed.render(dialect, &mut response, &context.id);
    }
    if let Ok(id) = HeaderValue::try_from(&*context.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    label(response.headers_mut(), is_ours);
    line.status = Some(response.status().as_u16());
    hold(response, line)
}

/// Says of a response that it is what it says it is, and of the proxy's own words that nobody keeps them.
fn label(headers: &mut HeaderMap, is_ours: bool) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if is_ours && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Keeps `guard` until the response's body has ended.
pub(super) fn hold<G: Ended + Send + 'static>(response: Response, mut guard: G) -> Response {
    response.map(|body| {
        // hyper does not ask a body that is empty from the start.
        if body.is_end_stream() {
            guard.complete();
        }
        Body::new(Guarded {
            body,
            guard: Some(guard),
        })
    })
}

/// The client's id where it is fit for a log and a header, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let own = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match own {
        Some(id) if (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) => {
            id.into()
        }
        _ => uuid::Uuid::now_v7().to_string().into(),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_LOGGED_CHARS).collect()
}

// === impl Context ===

impl Context {
    /// Notes by which name the caller is known.
    pub(super) fn note_client(&self, name: &Arc<str>) {
        self.notes.lock().client = Some(Arc::clone(name));
    }

    /// Notes what the log should say of a reply.
    pub(super) fn note_reply(&self, request: &ProxyRequest, cache: &'static str) {
        let mut notes = self.notes.lock();
        notes.model = request.model().map(shorten);
        notes.cache = Some(cache);
    }

    /// Notes what an answer saved.
    pub(super) fn note_saved(&self, tokens: u64) {
        self.notes.lock().tokens_saved = Some(tokens);
    }

    /// Notes an error, also one that ends a stream whose status was fine.
    pub(super) fn note_error(&self, error: &ProxyError) {
        self.notes.lock().error = Some((error.code(), error.log_detail()));
    }
}

// === impl Line ===

impl Drop for Line {
    fn drop(&mut self) {
        let Self {
            context,
            method,
            path,
            status,
            complete,
        } = self;
        let notes = context.notes.lock();
        let ms = context.begun.elapsed().as_secs_f64() * 1_000.0;
        let ms = (ms * 1_000.0).round() / 1_000.0;
        let (error, detail) = match &notes.error {
            Some((code, detail)) => (Some(*code), Some(detail.as_str())),
            None => (None, None),
        };
        let (method, path, id) = (method.as_str(), path.as_str(), &*context.id);
        let (cache, model, tokens_saved) =
            (notes.cache, notes.model.as_deref(), notes.tokens_saved);
        let client = notes.client.as_deref();
        let aborted = (!*complete).then_some(true);
        // The level of an event is part of its static description, hence a macro.
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    method,
                    path,
                    status,
                    client,
                    cache,
                    ms,
                    model,
                    tokens_saved,
                    error,
                    detail,
                    aborted,
                    id,
                    "request"
                )
            };
        }
        let broken_off = error.is_some() && *status == Some(200);
        if path.starts_with("/health") {
            tell!(debug);
        } else if broken_off || status.is_some_and(|status| status >= 500) {
            tell!(warn);
        } else {
            tell!(info);
        }
    }
}

// === impl Guarded ===

impl<G: Ended> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut this = self.project();
        let frame = std::task::ready!(this.body.as_mut().poll_frame(cx));
        // hyper does not ask again once a body says that it is at its end.
        if frame.is_none() || this.body.is_end_stream() {
            if let Some(guard) = this.guard {
                guard.complete();
            }
            *this.guard = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
