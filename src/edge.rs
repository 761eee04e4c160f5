//! Where clients come in: connections and their limits, routes, dialects, errors. The only part that
//! knows axum.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::ServiceExt as _;
use utoipa::OpenApi as _;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::config::Config;
use crate::error::ProxyError;
use crate::reply::Reply;
use crate::request::{ProxyRequest, Route};
use crate::stack::Stack;
use crate::tuning::Optimizer;
use crate::tuning::limits::Limits;

use access::Context;
use auth::{Caller, Guard};
use dialect::failure;
use document::{Document, Outline};
use outgoing::Outgoing;

pub use front::Front;
pub use server::run;

mod access;
mod admin;
mod auth;
mod body;
mod clear;
mod create;
mod dialect;
mod document;
mod encoding;
mod events;
mod exchange;
mod figures;
mod framing;
mod front;
mod headers;
mod health;
mod linger;
mod live;
mod metrics;
mod openai;
mod outgoing;
mod page;
mod patient;
mod peers;
mod quota;
mod repeat;
mod resources;
mod server;
mod summary;
mod tuning;
mod usage;

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    stack: Stack,
    guard: Guard,
    in_flight: Arc<Semaphore>,
    body_room: Arc<Semaphore>,
    draining: AtomicBool,
    started: Instant,
    /// The same on people's clocks.
    began: SystemTime,
    document: Document,
}

impl Edge {
    /// An edge in front of this stack.
    pub fn new(config: Config, stack: Stack) -> Self {
        let places = config.server.max_in_flight.min(Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(places));
        if let Some(prefetch) = &stack.prefetch {
            prefetch.watch_places(Arc::clone(&in_flight), places);
        }
        let shared = Shared {
            guard: Guard::new(&config, &stack.budgets),
            in_flight,
            body_room: body::room(config.server.max_body_bytes),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            began: SystemTime::now(),
            document: Document::default(),
            stack,
            config,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// All routes, with what every request passes on its way to them.
    pub fn front(&self) -> Front {
        // The document that they make is dropped: few processes are ever asked for it.
        let (routes, _) = routes().split_for_parts();
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self.clone());
        Front::new(self.clone(), routes)
    }

    /// From now on, readiness is denied.
    pub(crate) fn start_draining(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        if let Some(prefetch) = &self.shared.stack.prefetch {
            prefetch.stop();
        }
    }

    /// Lets a caller in whose request is to be answered, and counts it.
    fn enter(
        &self,
        context: &Context,
        route: Route,
        headers: &HeaderMap,
    ) -> Result<Caller, ProxyError> {
        let caller = self.shared.guard.caller(headers)?;
        let mut caller = caller.with_account(context, route);
        if let Some(quota) = &caller.quota {
            quota.count()?;
            // Before the body, whose upload is a part of the request.
            caller.place = quota.place()?;
        }
        Ok(caller)
    }

    /// Leave to work on one more request of this caller's; kept until its response's body has ended.
    fn admit(&self, caller: &mut Caller) -> Result<Place, ProxyError> {
        let own = caller.place.take();
        let shared = Arc::clone(&self.shared.in_flight)
            .try_acquire_owned()
            .map_err(|_| ProxyError::Overloaded {
                limit: self.shared.config.server.max_in_flight,
                retry_after: std::time::Duration::from_secs(1),
            })?;
        Ok(Place {
            _own: own,
            _shared: shared,
        })
    }

    /// The answer limits where clients give none, unless they are as set: so they are for whom the upstream would say the
    /// same again, since an answer that is cut off could not be asked for once more.
    fn limits(&self, incoming: &HeaderMap) -> Option<&Limits> {
        let optimizer = self.shared.stack.optimizer.as_ref();
        optimizer
            .filter(|_| !incoming.contains_key(headers::IDEMPOTENCY_KEY))
            .map(Optimizer::limits)
    }

    /// One more place for a batch that has one, as long as others find enough: whoever has many requests in hand is not to
    /// take the places of those who have one.
    fn admit_more(&self, caller: &Caller) -> Option<Place> {
        let places = &self.shared.in_flight;
        let all = self.shared.config.server.max_in_flight;
        if places.available_permits() <= all.min(Semaphore::MAX_PERMITS) / 2 {
            return None;
        }
        let own = match &caller.quota {
            Some(quota) => quota.place().ok()?,
            None => None,
        };
        let shared = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Place {
            _own: own,
            _shared: shared,
        })
    }

    /// All of a request's body.
    async fn body<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, ProxyError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let Shared {
            config, body_room, ..
        } = &*self.shared;
        body::read(headers, body, &config.server, body_room).await
    }

    /// Sends a request through the stack and counts what became of it.
    async fn ask(&self, request: &ProxyRequest) -> Result<Reply, ProxyError> {
        let metrics = &self.shared.stack.metrics;
        metrics.requests.add(1);
        let departure = Departure {
            edge: self,
            replied: false,
        };
        let result = self
            .shared
            .stack
            .service
            .clone()
            .oneshot(request.clone())
            .await;
        departure.replied();
        let reply = result.inspect_err(|error| {
            metrics.failed(request.is_looked_up(), error.is_upstream_failure());
        })?;
        metrics.replied(reply.head().provenance);
        let status = reply.head().status;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && self.shared.config.upstream.api_key.is_some()
        {
            return Err(ProxyError::Credentials(status));
        }
        Ok(reply)
    }
}

/// All routes. What is not said of them here, paths and methods included, stands beside their handlers.
fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::with_openapi(Outline::openapi())
        .routes(routes!(page::document))
        .routes(routes!(page::dashboard))
        .routes(routes!(page::asset))
        .routes(routes!(create::prompt))
        .routes(routes!(create::turn))
        .routes(routes!(create::batch::batch))
        .routes(routes!(openai::completions))
        .routes(routes!(openai::forward::forward).map(|_| any(openai::forward::forward)))
        .routes(routes!(admin::stats))
        .routes(routes!(clear::clear))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::savings::savings))
        .routes(routes!(tuning::tuning))
        .routes(routes!(tuning::freeze))
        .routes(routes!(tuning::reset))
        .routes(routes!(live::live))
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::summary))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::detailed))
        .routes(routes!(health::circuit_breakers))
        .routes(routes!(document::openapi))
        .routes(routes!(document::docs))
        .routes(routes!(document::style))
}

/// A response that holds the place of its request until its body has ended.
fn hold(response: Response, place: Place) -> Response {
    response.map(|body| axum::body::Body::new(Outgoing::from(body).holding(place)))
}

/// A place among the requests that are worked on.
struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _shared: OwnedSemaphorePermit,
}

/// Counts a client that leaves before its reply is there.
struct Departure<'a> {
    edge: &'a Edge,
    replied: bool,
}

impl Departure<'_> {
    fn replied(mut self) {
        self.replied = true;
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        if !self.replied {
            self.edge.shared.stack.metrics.departed.add(1);
        }
    }
}

async fn not_found(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    if let Err(error) = edge.shared.guard.caller(&headers) {
        return failure(&error);
    }
    failure(&ProxyError::reject(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such endpoint; GET / lists those there are",
    ))
}

async fn method_not_allowed(
    State(edge): State<Edge>,
    uri: Uri,
    method: http::Method,
    headers: HeaderMap,
) -> Response {
    let path = uri.path();
    let is_open = path == "/metrics"
        || page::is_document(path)
        || [page::ASSETS, "/health", "/docs/style.css"]
            .iter()
            .any(|open| path.starts_with(open));
    if let (false, Err(error)) = (is_open, edge.shared.guard.caller(&headers)) {
        return failure(&error);
    }
    failure(&ProxyError::reject(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not possible here; the Allow header lists what is"),
    ))
}
