//! `/api/usage`: who asked what, what it cost and what was saved, out of the ledger.

use std::fmt::Write as _;

use axum::Extension;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::Edge;
use super::clear::Peer;
use super::dialect::failure;
use crate::error::ProxyError;
use crate::metering::exposition::dollars;
use crate::metering::ledger::{Group, Ledger, Report};
use crate::metering::tally::{Figure, Tally, usd};

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

/// `GET /api/usage`
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

/// `GET /api/usage/savings`
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

fn as_json(question: &Question, report: &Report, total: &Tally) -> Value {
    let names: Vec<_> = question.by.iter().map(|group| group.as_str()).collect();
    let rows: Vec<_> = report
        .lines
        .iter()
        .map(|(keys, sums)| {
            let keys = names.iter().zip(keys);
            let mut row: Map<_, _> = keys
                .map(|(name, key)| ((*name).to_owned(), json!(key)))
                .collect();
            if let Value::Object(figures) = sums.to_json() {
                row.extend(figures);
            }
            row
        })
        .collect();
    let mut answer = json!({
        "from": question.from.to_string(),
        "to": question.until.to_string(),
        "groupBy": names,
        "rows": rows,
        "total": total.to_json(),
    });
    if report.is_cut {
        answer["truncated"] = true.into();
    }
    answer
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
fn explain(question: &Question, by_source: &Report, by_model: &Report) -> Value {
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
        .filter_map(|(keys, _)| keys.first())
        .collect();
    let get = |figure| total.get(figure);
    let layer = |name, saved, requests: Option<u64>, tokens, explanation| {
        json!({
            "layer": name, "savedNanoUsd": saved, "savedUsd": usd(saved), "requests": requests, "tokens": tokens,
            "explanation": explanation,
        })
    };
    let (spent, saved, would) = (get(Figure::Cost), total.saved(), total.would_have_cost());
    json!({
        "from": question.from.to_string(),
        "to": question.until.to_string(),
        "spentNanoUsd": spent,
        "spentUsd": usd(spent),
        "wouldHaveCostNanoUsd": would,
        "wouldHaveCostUsd": usd(would),
        "savedNanoUsd": saved,
        "savedUsd": usd(saved),
        "layers": [
            layer("cache", get(Figure::SavedByCache), Some(from_cache), get(Figure::CacheTokensSaved),
                "Answers out of the cache: what each had cost when it was made."),
            layer("dedup", get(Figure::SavedByDedup), Some(joined), get(Figure::DedupTokensSaved),
                "Answers of calls that other requests had begun: what each call cost."),
            layer("compression", get(Figure::SavedByCompression), None, compressed,
                "Prompt tokens that were not sent, or would not have been, at the model's price of input."),
            layer("provider_cache", get(Figure::SavedByProviderCache), None, get(Figure::CachedTokens),
                "Prompt tokens that the provider's own cache served: the model's price of input less that of cached input."),
            layer("max_tokens", get(Figure::SavedByMaxTokens), None, 0,
                "Nothing is counted: an answer that ends by itself costs the same without a limit, and of one that was \
                 cut nobody knows how long it would have been."),
        ],
        "certainty": {
            "reported": get(Figure::Reported),
            "exact": get(Figure::Exact),
            "estimated": get(Figure::Estimated),
        },
        "unpricedModels": unpriced,
        "explanation": "wouldHaveCost is what the same requests would have cost without this proxy and without the \
                        provider's cache: what was spent, and all savings. Answers of models without a price count as \
                        nothing, both as cost and as saving.",
    })
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
