//! What a report is asked for: from when until when, by what, and in which form.

use http::StatusCode;
use jiff::{Timestamp, ToSpan as _};

use crate::error::ProxyError;
use crate::metering::ledger::Group;

/// Without `from`, reports begin so many days ago.
const DAYS: i64 = 7;

/// What is to be reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) by: Vec<Group>,
    pub(super) is_csv: bool,
}

/// The time that a query asks about.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is the description of what Question reads")]
pub(super) struct Span {
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
pub(super) struct Layout {
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

// === impl Question ===

impl Question {
    /// Reads the query; what is not understood is refused.
    pub(super) fn read(query: &str, now: Timestamp, has_groups: bool) -> Result<Self, ProxyError> {
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
}
