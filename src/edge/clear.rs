//! `/api/clear-cache`: all of it or a part, or only how much that would be.

use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Extension;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Edge;
use super::dialect::failure;
use super::document::Guarded;
use super::figures::timestamp;
use crate::config;
use crate::error::ProxyError;
use crate::fingerprint::Scope;
use crate::store::{Cleared, Filter, Shared};

/// The address of the client's end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What is to be cleared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    filter: Filter,
    dry_run: bool,
}

/// What a query may say, each once.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is the description of what Order reads")]
struct Query {
    /// Only answers of this model.
    #[param(min_length = 1, example = "anthropic/claude-sonnet-4")]
    model: Option<String>,
    /// Only answers of the caller with this credential.
    #[param(pattern = "^me$", example = "me")]
    scope: Option<String>,
    /// Only answers that are at least so old.
    #[param(pattern = "^([0-9]{1,3}(ms|s|m|h)|[12]?[0-9]{1,2}d)$", example = "10m")]
    older_than: Option<String>,
    /// Clears nothing, and counts what would be.
    #[param(example = true)]
    dry_run: Option<bool>,
}

/// What was cleared.
#[derive(Serialize, ToSchema)]
#[schema(as = Cleared)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[schema(example = "🧹 Optimization cache cleared successfully")]
    message: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    /// So many answers, in memory and in Redis.
    cleared: usize,
    /// Nothing was cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dry_run: Option<bool>,
    /// What became of Redis, where it is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    redis: Option<&'static str>,
}

/// Empty the cache
///
/// All of it, on every instance where Redis is set, or what the query narrows it to. Takes the admin token where one is
/// set, and answers the proxy's own machine alone where none is.
#[utoipa::path(method(get, post, delete), path = "/api/clear-cache", tag = "operations", operation_id = "clear_cache",
    params(Query),
    responses((status = 200, description = "It is cleared, or counted.", body = Outcome), Guarded))]
pub(super) async fn clear(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|Extension(Peer(address))| address);
    let operator = edge.shared.guard.operator(&headers, peer);
    let order = operator.and_then(|scope| Order::read(query.as_deref().unwrap_or_default(), scope));
    let order = match order {
        Ok(order) => order,
        Err(error) => return failure(&error),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a clear that has begun is carried out, whether its caller waits or not"
    )]
    let done = tokio::spawn(async move { carry_out(&edge, order).await });
    match done.await {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => failure(&ProxyError::Internal("the clear ended without a result")),
    }
}

async fn carry_out(edge: &Edge, order: Order) -> Outcome {
    let store = &edge.shared.stack.store;
    let Order { filter, dry_run } = order;
    let Cleared { answers, shared } = if dry_run {
        store.count(&filter).await
    } else {
        store.clear(&filter).await
    };
    if !dry_run {
        let is_all = filter.is_all();
        tracing::info!(cleared = answers, is_all, "cache cleared");
    }
    Outcome {
        message: if dry_run {
            "🔎 Dry run: nothing was cleared"
        } else {
            "🧹 Optimization cache cleared successfully"
        },
        timestamp: timestamp(SystemTime::now()),
        cleared: answers,
        dry_run: dry_run.then_some(true),
        redis: match (shared, dry_run) {
            (Shared::None, _) => None,
            (Shared::Counted, false) => Some("cleared, and all instances told"),
            (Shared::Counted, true) => Some("counted"),
            (Shared::Uncounted, _) => {
                Some("all instances told; what Redis itself had is not counted")
            }
            (Shared::Unreachable, false) => {
                Some("unreachable: it is cleared as soon as it is back")
            }
            (Shared::Unreachable, true) => {
                Some("unreachable: only this instance's own answers are counted")
            }
        },
    }
}

impl Order {
    /// Reads the query. What is not understood is refused: a slip in a name must not clear everything.
    fn read(query: &str, scope: Scope) -> Result<Self, ProxyError> {
        let mut order = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(refuse(&name, "expected it once"));
            }
            match (&*name, &*value) {
                ("model", "") => return Err(refuse("model", "expected the name of a model")),
                ("model", model) => order.filter.model = Some(model.into()),
                ("scope", "me") => order.filter.scope = Some(scope.digest()),
                ("scope", _) => {
                    let accepted = "expected me: the answers of the caller with this credential";
                    return Err(refuse("scope", accepted));
                }
                ("older_than", text) => {
                    let least = config::duration(text).map_err(|accepted| {
                        refuse("older_than", &format!("expected {accepted}"))
                    })?;
                    order.filter.older_than = Some(least);
                }
                ("dry_run", "true" | "1" | "") => order.dry_run = true,
                ("dry_run", "false" | "0") => order.dry_run = false,
                ("dry_run", _) => return Err(refuse("dry_run", "expected true or false")),
                (name, _) => {
                    let accepted = "there is no such parameter; there are model, scope, older_than and dry_run";
                    return Err(refuse(name, accepted));
                }
            }
            seen.push(name);
        }
        Ok(order)
    }
}

fn refuse(parameter: &str, accepted: &str) -> ProxyError {
    let parameter: String = parameter.chars().take(50).collect();
    let message = format!("{parameter}: {accepted}");
    ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_parameter", message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(query: &str) -> Result<Order, String> {
        Order::read(query, Scope::Anonymous).map_err(|error| error.to_string())
    }

    #[test]
    fn a_query_narrows() {
        assert_eq!(read("").unwrap(), Order::default());
        let order = read("model=a%2Fb+c&scope=me&older_than=10m&dry_run=true").unwrap();
        let filter = Filter {
            model: Some("a/b c".into()),
            scope: Some(Scope::Anonymous.digest()),
            older_than: Some(Duration::from_mins(10)),
        };
        assert_eq!((order.filter, order.dry_run), (filter, true));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (query, says) in [
            ("modle=x", "there are model, scope"),
            ("model=", "name of a model"),
            ("scope=you", "expected me"),
            ("older_than=10", "unit is missing"),
            ("dry_run=maybe", "true or false"),
            ("model=a&model=b", "expected it once"),
            ("_=1", "no such parameter"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(says), "{query}: {error}");
        }
    }
}
