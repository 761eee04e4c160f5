//! Tables and texts of the page.

use std::fmt::Write as _;

/// A text in which nothing is markup.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn caption(out: &mut String, what: &str) {
    let _ = write!(out, "<h2>{what}</h2>");
}

/// A table whose first column has names and whose others have numbers. Cells are markup already.
pub(super) fn table(out: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    out.push_str("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _ = match at {
                0 => write!(out, "<th scope=\"row\">{cell}</th>"),
                _ => write!(out, "<td>{cell}</td>"),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>\n");
}

/// The figures of a chart, for those who want or need them.
pub(super) fn details(out: &mut String, title: &str, heads: &[&str], rows: &[Vec<String>]) {
    let _ = write!(out, "<details><summary>{title}: the figures</summary>");
    table(out, heads, rows);
    out.push_str("</details>\n");
}

/// A time as RFC 3339 has it, for people.
pub(super) fn day(time: &str) -> String {
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}
