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
use super::auth::is_address;
use super::body::is_json;
use super::dialect::failure;
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
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        let message = "a request must have exactly one Host header";
        return failure(&ProxyError::reject(
            StatusCode::BAD_REQUEST,
            "bad_host",
            message,
        ));
    }
    if is_foreign(&request, &origins) {
        let message =
            "pages of other origins may not call this proxy; add theirs to server.cors_origins";
        return failure(&ProxyError::reject(
            StatusCode::FORBIDDEN,
            "cross_origin",
            message,
        ));
    }
    next.run(request).await
}

/// Whether a browser sends this for a page that nobody allowed to call. Other clients send neither header.
fn is_foreign(request: &Request, origins: &[HeaderValue]) -> bool {
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
        // A link to the page for people is no call.
        (Some(b"cross-site" | b"same-site"), _) => path != "/",
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
    // The panic hook has told the log where it was; the client learns only that it was not its fault.
    failure(&ProxyError::Internal(
        "an unexpected defect; the operator's log has its place",
    ))
}
