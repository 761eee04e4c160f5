//! What every request passes on its way to a route, outermost first.

use std::any::Any;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::header::HeaderName;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::access;
use super::dialect::Dialect;
use crate::config;
use crate::error::ProxyError;

/// Smaller responses cost more to compress than they save, in bytes.
const COMPRESS_ABOVE: u16 = 1024;

/// Marks a response whose body is on the way: compressing it would hold it back.
#[derive(Clone, Copy)]
pub(super) struct IsStream;

/// Puts the middlewares around the routes.
pub(super) fn apply(routes: Router, config: &config::Server) -> Router {
    let compressible = DefaultPredicate::new()
        .and(SizeAbove::new(COMPRESS_ABOVE))
        .and(
            |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
                extensions.get::<IsStream>().is_none()
            },
        );
    let origins: Vec<HeaderValue> = config.cors_origins.clone();
    routes.layer(
        ServiceBuilder::new()
            // Outermost: whatever happens further in has an id and a line in the log.
            .layer(from_fn(access::log))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(origins.clone(), check))
            .layer(option_layer((!origins.is_empty()).then(|| cors(origins))))
            .layer(
                CompressionLayer::new()
                    .gzip(true)
                    // On answers of a few KiB the better levels cost twice the time for a few per cent.
                    .quality(CompressionLevel::Fastest)
                    .compress_when(compressible),
            ),
    )
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
            HeaderName::from_static("x-pegasus-tokens-saved"),
            HeaderName::from_static("server-timing"),
            header::AGE,
            header::RETRY_AFTER,
        ])
}

/// Turns away what hyper lets pass and RFC 9112 section 3.2 does not, and pages that nobody allowed to
/// call: a page can send a request here without reading the answer, and spend money or clear the cache.
async fn check(
    axum::extract::State(origins): axum::extract::State<Vec<HeaderValue>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    let dialect = Dialect::of(request.uri().path());
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        let message = "a request must have exactly one Host header";
        return dialect.error(&ProxyError::reject(
            StatusCode::BAD_REQUEST,
            "bad_host",
            message,
        ));
    }
    let is_foreign = headers
        .get("sec-fetch-site")
        .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
    let is_navigation = headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode == "navigate");
    let is_known = headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origins.contains(origin));
    let is_link = is_navigation && request.method() == Method::GET && request.uri().path() == "/";
    if is_foreign && !is_known && !is_link {
        let message =
            "pages of other origins may not call this proxy; add theirs to server.cors_origins";
        return dialect.error(&ProxyError::reject(
            StatusCode::FORBIDDEN,
            "cross_origin",
            message,
        ));
    }
    next.run(request).await
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    // The panic hook has told the log where it was; the client learns only that it was not its fault.
    Dialect::Native.error(&ProxyError::Internal(
        "an unexpected defect; the operator's log has its place",
    ))
}
