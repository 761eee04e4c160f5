//! `/api/tuning`: what adjusted itself, and why.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::Edge;
use super::clear::Peer;
use super::dialect::failure;
use super::document::Guarded;
use crate::tuning::journal::{Entry, Gain};

/// What adjusts itself, and what it decided.
#[derive(Serialize, ToSchema)]
#[schema(as = Tuning)]
struct Report {
    /// The newest first.
    decisions: Vec<Line>,
}

/// One decision.
#[derive(Serialize, ToSchema)]
#[schema(as = TuningDecision)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: u64,
    /// When it was made; if several times, when last.
    #[schema(format = DateTime)]
    at: String,
    /// How often it was made one after the other.
    times: u32,
    /// What it is about.
    #[schema(example = "cache.max_entries")]
    subject: String,
    /// What was done.
    #[schema(example = "proposed")]
    action: &'static str,
    before: String,
    after: String,
    /// The figures that led to it.
    evidence: String,
    /// What it should bring.
    expected: Option<Figure>,
    /// What it brought.
    measured: Option<Figure>,
}

/// What a decision brings; below zero: it does harm.
#[derive(Serialize, ToSchema)]
#[schema(as = TuningGain)]
struct Figure {
    amount: f64,
    #[schema(example = "dollars a day")]
    unit: &'static str,
}

/// What adjusted itself, and why
///
/// Each decision with what was before and after it, its evidence, what was expected of it and what it brought. Takes the
/// admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/tuning", tag = "operations", operation_id = "tuning",
    responses((status = 200, description = "The decisions.", body = Report), Guarded))]
pub(super) async fn tuning(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|Extension(Peer(address))| address);
    match edge.shared.guard.operator(&headers, peer) {
        Ok(_) => Json(report(&edge)).into_response(),
        Err(error) => failure(&error),
    }
}

fn report(edge: &Edge) -> Report {
    let entries = edge.shared.stack.journal.entries();
    Report {
        decisions: entries.into_iter().map(Line::from).collect(),
    }
}

// === impl Line ===

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        let decision = entry.decision;
        Self {
            id: entry.id.0,
            at: format!("{:.3}", entry.at),
            times: entry.times,
            subject: decision.subject.into(),
            action: decision.action.as_str(),
            before: decision.before.into(),
            after: decision.after.into(),
            evidence: decision.evidence.into(),
            expected: decision.expected.map(Figure::from),
            measured: entry.measured.map(Figure::from),
        }
    }
}

// === impl Figure ===

impl From<Gain> for Figure {
    fn from(gain: Gain) -> Self {
        Self {
            amount: gain.amount,
            unit: gain.unit.as_str(),
        }
    }
}
