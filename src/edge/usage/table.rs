//! A report as a table for spreadsheets.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::question::Question;
use crate::metering::exposition::dollars;
use crate::metering::ledger::Report;
use crate::metering::tally::Tally;

/// The same as a table for spreadsheets (RFC 4180): money in dollars, exact to the nano-dollar.
pub(super) fn csv(question: &Question, report: &Report) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

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
