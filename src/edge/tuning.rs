//! `/api/tuning`: what adjusted itself, and why; and the operator's word on it.

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Edge;
use super::clear::Peer;
use super::dialect::{Fault, failure};
use super::document::Guarded;
use crate::config::TuningMode;
use crate::error::ProxyError;
use crate::tuning::journal::{Entry, Gain};
use crate::tuning::{self, Optimizer};

/// So many decisions stand on the page, the newest.
const ON_THE_PAGE: usize = 8;

/// What adjusts itself, and what it decided.
#[derive(Serialize, ToSchema)]
#[schema(as = Tuning)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// `off`: nothing is looked at. `observe`: it is said what would be done. `act`: it is done.
    #[schema(example = "observe")]
    mode: &'static str,
    /// An operator wants everything left as it is.
    frozen: bool,
    /// Seconds between two looks.
    interval_seconds: u64,
    /// Seconds until the next look.
    next_look_seconds: u64,
    /// Why nothing is decided about the cache, where that is so.
    doubts: Option<String>,
    /// What may be set, and what is. Answer limits and calls at once stand here where they are not as configured.
    settings: Vec<Setting>,
    /// The newest first.
    decisions: Vec<Line>,
}

/// A setting that may be moved.
#[derive(Serialize, ToSchema)]
#[schema(as = TuningSetting)]
#[serde(rename_all = "camelCase")]
struct Setting {
    #[schema(example = "cache.max_entries")]
    subject: String,
    configured: String,
    in_force: String,
    least: String,
    most: String,
}

/// Whether everything is to be left as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = TuningFreeze)]
#[serde(deny_unknown_fields)]
struct Freeze {
    /// `false`: the settings may move again.
    frozen: bool,
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
    match edge.let_in(&headers, peer) {
        Ok(()) => Json(report(&edge)).into_response(),
        Err(error) => failure(&error),
    }
}

/// Leave all settings as they are
///
/// What would be done is still said. Without a body it freezes; `{"frozen": false}` lets the settings move again. Takes the
/// admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(post, path = "/api/tuning/freeze", tag = "operations", operation_id = "tuning_freeze",
    request_body(content = Freeze, description = "None: everything is frozen."),
    responses(
        (status = 200, description = "How things stand from now on.", body = Report),
        (status = 400, description = "The body is something else.", body = Fault<'static>),
        (status = 409, description = "Tuning is switched off.", body = Fault<'static>),
        Guarded,
    ))]
pub(super) async fn freeze(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        edge.let_in(&headers, peer)?;
        let optimizer = edge.optimizer()?;
        let body = edge.body(&headers, body).await?;
        let order = if body.trim_ascii().is_empty() {
            Freeze { frozen: true }
        } else {
            serde_json::from_slice(&body).map_err(|_| {
                let message = "the body must be {\"frozen\": true} or {\"frozen\": false}, or nothing, which freezes";
                ProxyError::reject_field(StatusCode::BAD_REQUEST, "frozen", message)
            })?
        };
        optimizer.freeze(order.frozen);
        Ok(Json(report(&edge)).into_response())
    };
    answer.await.unwrap_or_else(|error| failure(&error))
}

/// Put all settings back to the configuration
///
/// And forget what was learnt of them; the decisions stay. Takes the admin token where one is set, and answers the proxy's
/// own machine alone where none is.
#[utoipa::path(post, path = "/api/tuning/reset", tag = "operations", operation_id = "tuning_reset",
    responses(
        (status = 200, description = "How things stand from now on.", body = Report),
        (status = 400, description = "There is a body, and something in it.", body = Fault<'static>),
        (status = 409, description = "Tuning is switched off.", body = Fault<'static>),
        Guarded,
    ))]
pub(super) async fn reset(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        edge.let_in(&headers, peer)?;
        let optimizer = edge.optimizer()?;
        let body = edge.body(&headers, body).await?;
        // Whoever names a setting in it would think that the others stay.
        let is_empty = serde_json::from_slice::<Map<_, _>>(&body).is_ok_and(|map| map.is_empty());
        if !is_empty && !body.trim_ascii().is_empty() {
            let message = "all settings are reset, and nothing else can be: send no body";
            return Err(ProxyError::reject_field(
                StatusCode::BAD_REQUEST,
                "",
                message,
            ));
        }
        optimizer.reset();
        Ok(Json(report(&edge)).into_response())
    };
    answer.await.unwrap_or_else(|error| failure(&error))
}

impl Edge {
    fn let_in(&self, headers: &HeaderMap, peer: Option<Extension<Peer>>) -> Result<(), ProxyError> {
        let peer = peer.map(|Extension(Peer(address))| address);
        self.shared.guard.operator(headers, peer).map(drop)
    }

    /// What the page shows of it.
    pub(super) fn tuning_state(&self) -> Value {
        let mut report = report(self);
        report.decisions.truncate(ON_THE_PAGE);
        // It changes with each second, and nobody reads it there.
        report.next_look_seconds = 0;
        serde_json::to_value(report).unwrap_or_default()
    }

    /// Grows with each decision, and whether all is frozen.
    pub(super) fn tuning_pulse(&self) -> (u64, bool) {
        let stack = &self.shared.stack;
        let optimizer = stack.optimizer.as_ref();
        (
            stack.journal.changes(),
            optimizer.is_some_and(Optimizer::is_frozen),
        )
    }

    fn optimizer(&self) -> Result<&Optimizer, ProxyError> {
        let optimizer = self.shared.stack.optimizer.as_ref();
        optimizer.ok_or_else(|| {
            let message = "tuning is switched off: set tuning.mode to observe or act";
            ProxyError::reject(StatusCode::CONFLICT, "tuning_off", message)
        })
    }
}

fn report(edge: &Edge) -> Report {
    let stack = &edge.shared.stack;
    let decisions = stack
        .journal
        .entries()
        .into_iter()
        .map(Line::from)
        .collect();
    let Some(optimizer) = &stack.optimizer else {
        return Report {
            mode: TuningMode::Off.as_str(),
            frozen: false,
            interval_seconds: edge.shared.config.tuning.interval.as_secs(),
            next_look_seconds: 0,
            doubts: None,
            settings: Vec::new(),
            decisions,
        };
    };
    let standing = optimizer.standing();
    Report {
        mode: standing.mode.as_str(),
        frozen: standing.is_frozen,
        interval_seconds: standing.interval.as_secs(),
        next_look_seconds: standing.next.as_secs(),
        doubts: standing.doubts,
        settings: standing.settings.into_iter().map(Setting::from).collect(),
        decisions,
    }
}

// === impl Setting ===

impl From<tuning::Line> for Setting {
    fn from(line: tuning::Line) -> Self {
        Self {
            subject: line.subject,
            configured: line.configured,
            in_force: line.in_force,
            least: line.least,
            most: line.most,
        }
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
