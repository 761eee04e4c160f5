//! What every request passes on its way to a route, outermost first: its line in the log, a net under what panics,
//! the checks; then, for whoever needs them, CORS, compression and the routes.
//!
//! A chat completion needs the last of these only if pages of other origins may ask for one, and a hit would pay for their
//! boxed futures: it goes straight to its handler, and is compressed, if at all, behind that.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tower::util::{Either, option_layer};
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::Compression;
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use super::access::{Context, Line};
use super::auth::is_address;
use super::body::is_json;
use super::clear::Peer;
use super::dialect::failure;
use super::encoding::{self, Compressible};
use super::linger::{self, Rest};
use super::outgoing::{Answer, Outgoing};
use super::{Edge, framing, openai, page};
use crate::config;
use crate::error::ProxyError;

/// All that answers requests.
pub struct Front {
    edge: Edge,
    origins: Vec<HeaderValue>,
    around: Around,
}

/// The way through CORS, compression and the routes.
type Around = Either<Cors<Compressed>, Compressed>;
type Compressed = Compression<Router, Compressible>;

// === impl Front ===

impl Front {
    /// These routes, with what every request passes on its way to them.
    pub(super) fn new(edge: Edge, routes: Router) -> Self {
        let config: &config::Server = &edge.shared.config.server;
        let origins = config.cors_origins.clone();
        let compressed = encoding::layer().layer(routes);
        let cors = option_layer((!origins.is_empty()).then(|| cors(origins.clone())));
        Self {
            around: cors.layer(compressed),
            origins,
            edge,
        }
    }

    /// Answers a request of nobody's, as of a client whose address is not known.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.serve(request, None).await.map(Body::new)
    }

    /// The same for one that is there as a whole, and with all of its answer; what breaks off is shorter.
    pub async fn answer_whole(&self, request: Request<Bytes>) -> Response<Bytes> {
        let answer = self.serve(request.map(Full::new), None).await;
        let (head, mut body) = answer.into_parts();
        let mut whole = Bytes::new();
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) if whole.is_empty() => whole = data,
                Ok(data) => whole = [whole, data].concat().into(),
                Err(_) => {}
            }
        }
        Response::from_parts(head, whole)
    }

    /// Answers a request that came from this address, if that is known.
    pub(super) async fn serve<B>(&self, request: Request<B>, peer: Option<SocketAddr>) -> Answer
    where
        B: Rest,
        B::Error: std::error::Error + Send + Sync,
    {
        let line = Line::begin(&request, &self.edge.shared.stack);
        let request = linger::watch(request);
        let response = if let Some(refusal) = check(&request, &self.origins) {
            refusal.map(Outgoing::from)
        } else {
            let handled = async {
                if self.goes_straight(&request) {
                    let takes_gzip = encoding::takes_gzip(request.headers());
                    let answer = openai::complete(&self.edge, line.context(), request).await;
                    if takes_gzip {
                        encoding::compress(answer).await
                    } else {
                        encoding::say_what_varies(answer)
                    }
                } else {
                    let context = line.context().clone();
                    Box::pin(self.go_around(request.map(Body::new), context, peer)).await
                }
            };
            let caught = AssertUnwindSafe(handled).catch_unwind().await;
            caught.unwrap_or_else(|panic| panicked(panic).map(Outgoing::from))
        };
        line.finish(response)
    }

    /// Whether nothing on the way around would touch the request or its response.
    fn goes_straight<B>(&self, request: &Request<B>) -> bool {
        self.origins.is_empty()
            && request.method() == Method::POST
            && request.uri().path() == openai::COMPLETIONS
    }

    async fn go_around(
        &self,
        mut request: Request<Body>,
        context: Context,
        peer: Option<SocketAddr>,
    ) -> Answer {
        let extensions = request.extensions_mut();
        extensions.insert(context);
        if let Some(peer) = peer {
            extensions.insert(Peer(peer));
        }
        let response = match self.around.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(|body| Outgoing::from(Body::new(body)))
    }
}

fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("x-cache"),
            HeaderName::from_static("cache-status"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-pegasus-budget"),
            HeaderName::from_static("x-pegasus-tokens-saved"),
            HeaderName::from_static("server-timing"),
            header::AGE,
            header::RETRY_AFTER,
        ])
}

/// Turns away what is no good HTTP although hyper lets it pass, and pages that nobody allowed to call: a page
/// can send a request here without reading the answer, and spend money or clear the cache.
fn check<B>(request: &Request<B>, origins: &[HeaderValue]) -> Option<Response<Body>> {
    if let Some(refusal) = framing::refuse(request) {
        return Some(refusal);
    }
    if is_foreign(request, origins) {
        let message =
            "pages of other origins may not call this proxy; add theirs to server.cors_origins";
        return Some(failure(&ProxyError::reject(
            StatusCode::FORBIDDEN,
            "cross_origin",
            message,
        )));
    }
    None
}

/// Whether a browser sends this for a page that nobody allowed to call. Other clients send neither header.
fn is_foreign<B>(request: &Request<B>, origins: &[HeaderValue]) -> bool {
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN);
    if origin.is_some_and(|origin| origins.contains(origin)) {
        return false;
    }
    let path = request.uri().path();
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) || path == "/api/clear-cache";
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match (site, origin) {
        // A link to a page for people is no call.
        (Some(b"cross-site" | b"same-site"), _) => !page::is_document(path) && path != "/docs",
        // Over plain HTTP to anything but localhost browsers tell the origin alone. What a page may read is for
        // the browser to decide, what it may do is decided here.
        (None, Some(origin)) => changes && may_come_unasked(origin, headers),
        _ => false,
    }
}

/// Whether a page could have sent this without the leave that a preflight asks for.
fn may_come_unasked(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let authority = [&b"http://"[..], b"https://"]
        .into_iter()
        .find_map(|scheme| origin.as_bytes().strip_prefix(scheme));
    if let (Some(authority), Some(host)) = (authority, host)
        && authority == host
    {
        // Our own page, or that of somebody whose name resolves to us.
        return !is_address(host);
    }
    // JSON from elsewhere has been through a preflight, which only known origins pass.
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    !content_type.is_some_and(is_json)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    failure(&ProxyError::DEFECT)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::routing::get;
    use futures_util::StreamExt as _;

    use super::*;
    use crate::config::Config;
    use crate::stack;

    fn front(routes: Router) -> Front {
        let config = Config::default();
        let stack = stack::build(&config).unwrap();
        Front::new(Edge::new(config, stack), routes)
    }

    async fn ask(front: &Front, path: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, "a");
        let body = http_body_util::Empty::<Bytes>::new();
        front.serve(request.body(body).unwrap(), None).await
    }

    /// A panic in a handler costs its own request an answer of 500, one in a body breaks that off, and neither costs
    /// anybody else anything.
    #[tokio::test]
    async fn a_panic_is_one_requests_affair() {
        let broken = || async {
            let pieces = futures_util::stream::iter(0..2).map(|n| match n {
                0 => Ok::<_, Infallible>("half"),
                _ => panic!("seeded"),
            });
            Response::new(Body::from_stream(pieces))
        };
        let routes = Router::new()
            .route("/v1/x", get(|| async { panic!("seeded") as &str }))
            .route("/x", get(|| async { panic!("seeded") as &str }))
            .route("/body", get(broken))
            .route("/good", get(|| async { "good" }));
        let front = front(routes);
        for (path, code) in [("/v1/x", "/error/code"), ("/x", "/code")] {
            let response = ask(&front, path).await;
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.pointer(code).unwrap(), "internal_error");
            assert!(!body.to_string().contains("seeded"));
        }
        let body = ask(&front, "/body").await.into_body();
        // Each connection is a task of its own, which is what ends.
        #[expect(clippy::disallowed_methods, reason = "it stands for a connection")]
        let task = tokio::spawn(async { body.collect().await.map(|_| ()) });
        assert!(task.await.unwrap_err().is_panic());
        let good = ask(&front, "/good").await.into_body().collect().await;
        assert_eq!(good.unwrap().to_bytes(), "good");
    }
}
