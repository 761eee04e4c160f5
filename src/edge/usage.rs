//! `/api/usage`: who asked what, what it cost and what was saved, out of the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::Extension;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;
use utoipa::ToSchema;

use super::Edge;
use super::clear::Peer;
use super::dialect::{Fault, failure};
use super::document::Guarded;
use crate::error::ProxyError;
use crate::metering::exposition::dollars;
use crate::metering::ledger::{Group, Ledger, Report};
use crate::metering::tally::{Figure, Figures, Tally, usd};

/// Without `from`, reports begin so many days ago.
const DAYS: i64 = 7;

/// What is to be reported.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    from: Timestamp,
    until: Timestamp,
    by: Vec<Group>,
    is_csv: bool,
}

/// The time that a query asks about.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is the description of what Question reads")]
struct Span {
    /// A time in RFC 3339, or a date: its beginning in UTC. Seven days before `to` where it is missing.
    #[param(example = "2025-01-31", pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$")]
    from: Option<String>,
    /// Likewise; until now where it is missing. Not before `from`.
    #[param(
        example = "2036-01-31T12:00:00Z",
        pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$"
    )]
    to: Option<String>,
}

/// The form of a report.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is the description of what Question reads")]
struct Layout {
    /// Some of `day`, `hour`, `model`, `caller`, `user`, `endpoint` and `source`, each once, with commas between them.
    #[param(
        example = "day,model",
        pattern = "^((day|hour|model|caller|user|endpoint|source)(,(day|hour|model|caller|user|endpoint|source))*)?$"
    )]
    group_by: Option<String>,
    /// `json` or `csv`
    #[param(example = "json", pattern = "^(json|csv)$")]
    format: Option<String>,
}

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

/// What was asked, cost and saved
///
/// Out of the ledger. Takes the admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/usage", tag = "savings", operation_id = "usage", params(Span, Layout),
    responses(
        (status = 200, description = "The sums of each group, and of all.",
            content((Sums = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No ledger is kept.", body = Fault<'static>),
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

/// What was saved, and how that is known
///
/// Takes the admin token where one is set, and answers the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/usage/savings", tag = "savings", operation_id = "savings", params(Span),
    responses(
        (status = 200, description = "The savings by layer, and what the same would have cost without them.",
            body = Explained),
        (status = 404, description = "No ledger is kept.", body = Fault<'static>),
        Guarded,
    ))]
pub(super) async fn savings(
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

impl Edge {
    fn open_ledger(
        &self,
        headers: &HeaderMap,
        peer: Option<Extension<Peer>>,
    ) -> Result<Ledger, ProxyError> {
        let peer = peer.map(|Extension(Peer(address))| address);
        self.shared.guard.operator(headers, peer)?;
        self.shared.stack.ledger.clone().ok_or_else(|| {
            let message = "no ledger is kept: set ledger.path, and see the log of the start for why it may not be open";
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
            ProxyError::Internal("the ledger cannot be read; the operator's log says why")
        })
    }
}

// === impl Question ===

impl Question {
    /// Reads the query; what is not understood is refused.
    fn read(query: &str, now: Timestamp, has_groups: bool) -> Result<Self, ProxyError> {
        let (mut from, mut until, mut by, mut is_csv) = (None, None, Vec::new(), false);
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(refuse(&name, "expected it once"));
            }
            match (&*name, &*value) {
                ("from", text) => from = Some(time("from", text)?),
                ("to", text) => until = Some(time("to", text)?),
                ("group_by", text) if has_groups => by = groups(text)?,
                ("format", "json") if has_groups => is_csv = false,
                ("format", "csv") if has_groups => is_csv = true,
                ("format", _) if has_groups => {
                    return Err(refuse("format", "expected json or csv"));
                }
                (name, _) => {
                    let known = if has_groups {
                        "from, to, group_by and format"
                    } else {
                        "from and to"
                    };
                    return Err(refuse(
                        name,
                        &format!("there is no such parameter; known are {known}"),
                    ));
                }
            }
            seen.push(name);
        }
        // What happens in this very millisecond belongs to it.
        let until = until.unwrap_or(now + 1.millisecond());
        let from = match from {
            Some(from) => from,
            None => until
                .checked_sub((24 * DAYS).hours())
                .map_err(|_| refuse("to", "expected a later time"))?,
        };
        if from > until {
            return Err(refuse("from", "expected a time that is not after to"));
        }
        Ok(Self {
            from,
            until,
            by,
            is_csv,
        })
    }
}

/// A time, or the beginning of a day in UTC.
fn time(name: &str, text: &str) -> Result<Timestamp, ProxyError> {
    let is_date = text.len() == "2026-01-31".len();
    let midnight = is_date.then(|| format!("{text}T00:00:00Z"));
    let time = midnight.as_deref().unwrap_or(text).parse();
    time.map_err(|_| {
        refuse(
            name,
            "expected a time such as 2026-01-31T12:00:00Z (a + in it is %2B in a URL), or a date such as 2026-01-31",
        )
    })
}

fn groups(text: &str) -> Result<Vec<Group>, ProxyError> {
    let mut groups = Vec::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let group = Group::ALL.into_iter().find(|group| group.as_str() == name);
        let Some(group) = group.filter(|group| !groups.contains(group)) else {
            let known = Group::ALL.map(Group::as_str).join(", ");
            return Err(refuse(
                "group_by",
                &format!("expected some of {known}, each once, with commas between them"),
            ));
        };
        groups.push(group);
    }
    Ok(groups)
}

fn refuse(name: &str, accepted: &str) -> ProxyError {
    let name: String = name.chars().take(60).collect();
    ProxyError::reject_field(
        StatusCode::BAD_REQUEST,
        name.clone(),
        format!("{name}: {accepted}"),
    )
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

/// The same as a table for spreadsheets (RFC 4180): money in dollars, exact to the nano-dollar.
fn csv(question: &Question, report: &Report) -> Response {
    let mut text = String::new();
    for group in &question.by {
        let _ = write!(text, "{},", group.as_str());
    }
    let columns = Tally::FIGURES.map(|(_, name)| name.replace("nano_usd", "usd"));
    text.push_str(&columns.join(","));
    text.push_str(",saved_usd,would_have_cost_usd\r\n");
    for (keys, sums) in &report.lines {
        for key in keys {
            text.push_str(&cell(key));
            text.push(',');
        }
        for (figure, name) in Tally::FIGURES {
            let amount = sums.get(figure);
            if name.ends_with("nano_usd") {
                text.push_str(&dollars(amount));
            } else {
                let _ = write!(text, "{amount}");
            }
            text.push(',');
        }
        let (saved, would) = (dollars(sums.saved()), dollars(sums.would_have_cost()));
        let _ = write!(text, "{saved},{would}\r\n");
    }
    let mut response = text.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"usage.csv\"",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A cell of a table. Names come from clients: one that a spreadsheet would take for a formula begins with an
/// apostrophe.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// What each layer saved, and how that is known.
fn explain(question: &Question, by_source: &Report, by_model: &Report) -> Explained {
    let mut total = Tally::default();
    let (mut from_cache, mut joined, mut compressed) = (0, 0, 0);
    for (keys, sums) in &by_source.lines {
        total.add(sums);
        match keys.first().map(String::as_str) {
            Some("cache" | "stale") => from_cache += sums.get(Figure::Requests),
            Some("dedup") => joined += sums.get(Figure::Requests),
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
                "Prompt tokens that the provider's own cache served: the model's price of input less that of cached input.",
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
                      nothing, both as cost and as saving.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn questions_are_read_or_refused_by_name() {
        let read = |query: &str| Question::read(query, now(), true);
        let plain = read("").unwrap();
        assert_eq!(plain.from.to_string(), "2026-01-24T12:00:00.001Z");
        let full =
            read("from=2026-01-01&to=2026-01-02T00:00:00%2B01:00&group_by=day,model&format=csv")
                .unwrap();
        assert_eq!(full.from.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(full.until.to_string(), "2026-01-01T23:00:00Z");
        assert_eq!(
            (full.by, full.is_csv),
            (vec![Group::Day, Group::Model], true)
        );
        for (query, name) in [
            ("from=yesterday", "from"),
            ("from=2026-02-30", "from"),
            ("to=", "to"),
            ("from=2026-02-01&to=2026-01-01", "from"),
            ("group_by=colour", "group_by"),
            ("group_by=day,day", "group_by"),
            ("format=xml", "format"),
            ("format=csv&format=csv", "format"),
            ("form=csv", "form"),
        ] {
            let error = read(query).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(
                error.to_string().starts_with(&format!("{name}: ")),
                "{query}: {error}"
            );
        }
        assert!(Question::read("group_by=day", now(), false).is_err());
    }

    #[test]
    fn cells_are_safe_in_spreadsheets() {
        for (text, safe) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=1+1", "'=1+1"),
            ("", ""),
        ] {
            assert_eq!(cell(text), safe);
        }
    }
}
