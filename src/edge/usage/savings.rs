//! `/api/usage/savings`: what each layer saved, and how that is known.

use axum::Extension;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::question::{Question, Span};
use crate::edge::Edge;
use crate::edge::clear::Peer;
use crate::edge::dialect::{Fault, failure};
use crate::edge::document::Guarded;
use crate::error::ProxyError;
use crate::metering::ledger::{Group, Report};
use crate::metering::tally::{Figure, Tally, usd};

/// What was saved, by what saved it, and how that is known.
#[derive(Serialize, ToSchema)]
#[schema(as = Savings)]
#[serde(rename_all = "camelCase")]
struct Explained {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    spent_nano_usd: u64,
    spent_usd: f64,
    would_have_cost_nano_usd: u64,
    would_have_cost_usd: f64,
    saved_nano_usd: u64,
    saved_usd: f64,
    /// Of what was spent, what went for answers that were fetched before anybody asked.
    prefetch_spent_nano_usd: u64,
    prefetch_spent_usd: f64,
    layers: Vec<Layer>,
    certainty: Certainty,
    unpriced_models: Vec<String>,
    explanation: &'static str,
}

/// What one layer saved.
#[derive(Serialize, ToSchema)]
#[schema(as = SavingsLayer)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(rename = "layer")]
    name: &'static str,
    saved_nano_usd: u64,
    saved_usd: f64,
    /// Requests that it answered; null for those that answer none.
    #[schema(required)]
    requests: Option<u64>,
    tokens: u64,
    explanation: &'static str,
}

/// Answers by how their tokens are known.
#[derive(Serialize, ToSchema)]
struct Certainty {
    reported: u64,
    exact: u64,
    estimated: u64,
}

/// What was saved, and how that is known
///
/// Takes the admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/usage/savings", tag = "savings", operation_id = "savings", params(Span),
    responses(
        (status = 200, description = "The savings by layer, and what the same would have cost without them.",
            body = Explained),
        (status = 404, description = "No ledger is kept.", body = Fault<'static>),
        (status = 503, description = "The database of a ledger that instances share does not answer.", body = Fault<'static>),
        Guarded,
    ))]
pub(in crate::edge) async fn savings(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let ledger = edge.open_ledger(&headers, peer)?;
        let question = Question::read(
            query.as_deref().unwrap_or_default(),
            Timestamp::now(),
            false,
        )?;
        // Names of models are clients' to choose, and so many that a report of them may be cut.
        let by_source = edge.report(&ledger, &question, vec![Group::Source]).await?;
        let by_model = edge.report(&ledger, &question, vec![Group::Model]).await?;
        Ok(Json(explain(&question, &by_source, &by_model)).into_response())
    };
    answer
        .await
        .unwrap_or_else(|error: ProxyError| failure(&error))
}

/// What each layer saved, and how that is known.
fn explain(question: &Question, by_source: &Report, by_model: &Report) -> Explained {
    let mut total = Tally::default();
    let (mut from_cache, mut joined, mut compressed, mut ahead) = (0, 0, 0, 0);
    for (keys, sums) in &by_source.lines {
        total.add(sums);
        match keys.first().map(String::as_str) {
            Some("cache" | "stale") => from_cache += sums.get(Figure::Requests),
            Some("dedup") => joined += sums.get(Figure::Requests),
            Some("prefetch") => ahead += sums.get(Figure::Cost),
            _ => {}
        }
        compressed += sums.get(Figure::CompressionTokensSaved);
    }
    let unpriced: Vec<_> = by_model
        .lines
        .iter()
        .filter(|(_, sums)| sums.get(Figure::Unpriced) > 0)
        .filter_map(|(keys, _)| keys.first().cloned())
        .collect();
    let get = |figure| total.get(figure);
    let layer = |name, saved, requests, tokens, explanation| Layer {
        name,
        saved_nano_usd: saved,
        saved_usd: usd(saved),
        requests,
        tokens,
        explanation,
    };
    let (spent, saved, would) = (get(Figure::Cost), total.saved(), total.would_have_cost());
    Explained {
        from: question.from.to_string(),
        to: question.until.to_string(),
        spent_nano_usd: spent,
        spent_usd: usd(spent),
        would_have_cost_nano_usd: would,
        would_have_cost_usd: usd(would),
        saved_nano_usd: saved,
        saved_usd: usd(saved),
        prefetch_spent_nano_usd: ahead,
        prefetch_spent_usd: usd(ahead),
        layers: vec![
            layer(
                "cache",
                get(Figure::SavedByCache),
                Some(from_cache),
                get(Figure::CacheTokensSaved),
                "Answers out of the cache: what each had cost when it was made.",
            ),
            layer(
                "dedup",
                get(Figure::SavedByDedup),
                Some(joined),
                get(Figure::DedupTokensSaved),
                "Answers of calls that other requests had begun: what each call cost.",
            ),
            layer(
                "compression",
                get(Figure::SavedByCompression),
                None,
                compressed,
                "Prompt tokens that were not sent, or would not have been, at the model's price of input.",
            ),
            layer(
                "provider_cache",
                get(Figure::SavedByProviderCache),
                None,
                get(Figure::CachedTokens),
                "Prompt tokens that the provider's own cache served: the model's price of input less that of cached input. \
                 What it cost more to put them there is part of what was spent.",
            ),
            layer(
                "max_tokens",
                get(Figure::SavedByMaxTokens),
                None,
                0,
                "Nothing is counted: an answer that ends by itself costs the same without a limit, and of one that was \
                 cut nobody knows how long it would have been.",
            ),
        ],
        certainty: Certainty {
            reported: get(Figure::Reported),
            exact: get(Figure::Exact),
            estimated: get(Figure::Estimated),
        },
        unpriced_models: unpriced,
        explanation: "wouldHaveCost is what the same requests would have cost without this proxy and without the \
                      provider's cache: what was spent, and all savings. Answers of models without a price count as \
                      nothing, both as cost and as saving. An answer that was fetched before anybody asked counts as \
                      saved by the cache with each request that it answers, the first one among them, which would have \
                      paid for it; what it cost (prefetchSpent) is part of what was spent, no part of wouldHaveCost, and \
                      taken off what was saved.",
    }
}
