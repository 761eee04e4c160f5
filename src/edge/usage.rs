//! `/api/usage`: who asked what, what it cost and what was saved, out of the ledger.

use std::collections::BTreeMap;

use axum::Extension;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Edge;
use super::clear::Peer;
use super::dialect::{Fault, failure};
use super::document::Guarded;
use crate::error::ProxyError;
use crate::metering::ledger::{Failed, Group, Ledger, Report};
use crate::metering::tally::{Figures, Tally};

use question::{Layout, Question, Span};
use table::csv;

mod question;
pub(super) mod savings;
mod table;

/// What was asked, cost and saved.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
#[serde(rename_all = "camelCase")]
struct Sums {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    group_by: Vec<&'static str>,
    rows: Vec<Line>,
    total: Figures,
    /// There are more groups than are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    truncated: Option<bool>,
}

/// The figures of one group.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageRow)]
struct Line {
    #[serde(flatten)]
    #[schema(value_type = Keys)]
    keys: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    figures: Figures,
}

/// Which group it is: the keys that `groupBy` names.
#[derive(ToSchema)]
#[schema(as = UsageKeys)]
#[expect(dead_code, reason = "it is the description of what a line's keys are")]
struct Keys {
    /// `2026-01-31`
    day: Option<String>,
    /// `2026-01-31T10:00:00Z`
    hour: Option<String>,
    model: Option<String>,
    caller: Option<String>,
    user: Option<String>,
    endpoint: Option<String>,
    source: Option<String>,
}

/// What was asked, cost and saved
///
/// Out of the ledger. Takes the admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/usage", tag = "savings", operation_id = "usage", params(Span, Layout),
    responses(
        (status = 200, description = "The sums of each group, and of all.",
            content((Sums = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No ledger is kept.", body = Fault<'static>),
        (status = 503, description = "The database of a ledger that instances share does not answer.", body = Fault<'static>),
        (status = 422, description = "A table of more groups than there is room for.", body = Fault<'static>),
        Guarded,
    ))]
pub(super) async fn usage(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let ledger = edge.open_ledger(&headers, peer)?;
        let question =
            Question::read(query.as_deref().unwrap_or_default(), Timestamp::now(), true)?;
        let report = edge.report(&ledger, &question, question.by.clone()).await?;
        let total = edge.report(&ledger, &question, Vec::new()).await?;
        let total = total
            .lines
            .first()
            .map_or_else(Tally::default, |(_, sums)| *sums);
        if question.is_csv && report.is_cut {
            let message = "there are more groups than a report has room for; ask for less time, or group by less";
            return Err(ProxyError::reject(
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_many_groups",
                message,
            ));
        }
        Ok(if question.is_csv {
            csv(&question, &report)
        } else {
            Json(as_json(&question, &report, &total)).into_response()
        })
    };
    answer.await.unwrap_or_else(|error| failure(&error))
}

impl Edge {
    fn open_ledger(
        &self,
        headers: &HeaderMap,
        peer: Option<Extension<Peer>>,
    ) -> Result<Ledger, ProxyError> {
        let peer = peer.map(|Extension(Peer(address))| address);
        self.shared.guard.operator(headers, peer)?;
        self.shared.stack.ledger.clone().ok_or_else(|| {
            let message = "no ledger is kept: set ledger.path or ledger.url, and see the log of the start for why it may not be open";
            ProxyError::reject(StatusCode::NOT_FOUND, "no_ledger", message)
        })
    }

    async fn report(
        &self,
        ledger: &Ledger,
        question: &Question,
        by: Vec<Group>,
    ) -> Result<Report, ProxyError> {
        if let Some(books) = &self.shared.stack.books {
            books.settled().await;
        }
        let (from, until) = (question.from, question.until);
        let report = ledger.report(from.as_millisecond(), until.as_millisecond(), by);
        report.await.map_err(|error| {
            tracing::warn!(%error, "the ledger cannot be read");
            match error {
                Failed::Broken(_) => {
                    ProxyError::Internal("the ledger cannot be read; the operator's log says why")
                }
                Failed::Away(_) => ProxyError::reject_for_now(
                    "ledger_unavailable",
                    "the database of the ledger does not answer, or not as it should; the operator's log says why",
                    5,
                ),
            }
        })
    }
}

fn as_json(question: &Question, report: &Report, total: &Tally) -> Sums {
    let names: Vec<_> = question.by.iter().map(|group| group.as_str()).collect();
    let line = |(keys, sums): &(Vec<String>, Tally)| Line {
        keys: names.iter().copied().zip(keys.iter().cloned()).collect(),
        figures: sums.figures(),
    };
    Sums {
        from: question.from.to_string(),
        to: question.until.to_string(),
        rows: report.lines.iter().map(line).collect(),
        group_by: names,
        total: total.figures(),
        truncated: report.is_cut.then_some(true),
    }
}
