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
use super::framing;
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

/// Turns away what is no good HTTP although hyper lets it pass, and pages that nobody allowed to call: a page
/// can send a request here without reading the answer, and spend money or clear the cache.
async fn check(
    axum::extract::State(origins): axum::extract::State<Vec<HeaderValue>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(refusal) = framing::refuse(&request) {
        return refusal;
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures_util::StreamExt as _;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::Config;

    async fn ask(routes: &Router, path: &str) -> Response {
        let request = Request::get(path).header(header::HOST, "a");
        let request = request.body(Body::empty()).unwrap();
        routes.clone().oneshot(request).await.unwrap()
    }

    /// A panic in a handler costs its own request an answer of 500, one in a body breaks that off, and neither costs
    /// anybody else anything.
    #[tokio::test]
    async fn a_panic_is_one_requests_affair() {
        let broken = || async {
            let pieces = futures_util::stream::iter(0..2).map(|n| match n {
                0 => Ok::<_, std::convert::Infallible>("half"),
                _ => panic!("seeded"),
            });
            Response::new(Body::from_stream(pieces))
        };
        let routes = Router::new()
            .route("/v1/x", get(|| async { panic!("seeded") as Response }))
            .route("/x", get(|| async { panic!("seeded") as Response }))
            .route("/body", get(broken))
            .route("/good", get(|| async { "good" }));
        let routes = apply(routes, &Config::default().server);
        for (path, code) in [("/v1/x", "/error/code"), ("/x", "/code")] {
            let response = ask(&routes, path).await;
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.pointer(code).unwrap(), "internal_error");
            assert!(!body.to_string().contains("seeded"));
        }
        let body = ask(&routes, "/body").await.into_body();
        // Each connection is a task of its own, which is what ends.
        #[expect(clippy::disallowed_methods, reason = "it stands for a connection")]
        let task = tokio::spawn(async { body.collect().await.map(|_| ()) });
        assert!(task.await.unwrap_err().is_panic());
        let good = ask(&routes, "/good").await.into_body().collect().await;
        assert_eq!(good.unwrap().to_bytes(), "good");
    }
}
