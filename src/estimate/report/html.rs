//! The report as a page of its own: it loads nothing, runs nothing, and says so to the browser.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use self::parts::{caption, day, escape, table};
use super::chart;
use super::text::title;
use super::{Named, Report};
use crate::words::{about, count, dollars, duration, percent, some};

mod charts;
mod parts;
mod settings;

const STYLE: &str = include_str!("html/page.css");

/// How each page begins.
pub const START: &str = "<!doctype html>";

/// The page; `name` is that of the log.
pub fn page(report: &Report, name: &str) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "{START}\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>What Pegasus Nest would save on {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        base64(&Sha256::digest(STYLE)),
        escape(name),
    );
    head(report, name, &mut out);
    out.push_str("<main>\n");
    if report.log.requests > 0 {
        verdict(report, &mut out);
        charts::section(report, &mut out);
        tables(report, &mut out);
        if let Some(swept) = &report.sweep {
            settings::section(swept, &mut out);
        }
    }
    problems(report, &mut out);
    assumptions(report, &mut out);
    let _ = write!(
        out,
        "</main>\n<footer><p>Pegasus Nest {}, <code>pegasus-nest estimate</code>. How prompts begin is in this \
         page only where <code>--show-prompts</code> was given; answers never are.</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn head(report: &Report, name: &str, out: &mut String) {
    let log = &report.log;
    let _ = write!(
        out,
        "<header><h1>What Pegasus Nest would save</h1>\n<p>{} of <b>{}</b>",
        some(log.requests, "request"),
        escape(name)
    );
    if let (Some(from), Some(until)) = (&log.from, &log.until) {
        let span = about(log.span_ms);
        let _ = write!(out, ", {} to {} ({span})", day(from), day(until));
    }
    let settings = &report.settings;
    let cache = if settings.cache {
        let entries = count(settings.max_entries);
        format!(
            "a cache of {entries} answers for {}",
            duration(settings.ttl_ms)
        )
    } else {
        "no cache".to_owned()
    };
    let dedup = if settings.dedup {
        "shared calls"
    } else {
        "no shared calls"
    };
    let broken = if log.interrupted {
        " The replay was broken off."
    } else {
        ""
    };
    let level = settings.level;
    let _ = writeln!(
        out,
        ", replayed with compression {level}, {cache} and {dedup}.{broken}</p></header>"
    );
}

fn verdict(report: &Report, out: &mut String) {
    let total = &report.total;
    let (without, with) = (
        dollars(total.without_nano_usd),
        dollars(total.with_nano_usd),
    );
    let saved = dollars(total.proxy_saved_nano_usd);
    let share = percent(total.saved_share);
    let _ = writeln!(
        out,
        "<section class=\"verdict\"><h2 class=\"quiet\">Saved</h2>\n<p class=\"figure\">{saved}</p>\n\
         <p class=\"of\"><b class=\"saved\">{share}</b> of the {without} that these requests cost without it; with it, {with}.</p>"
    );
    let words = format!("Of {without}, {with} are paid and {saved} are saved");
    let _ = writeln!(
        out,
        "<div class=\"whole\">{}</div>",
        chart::bar(&total.part, &words)
    );
    out.push_str("<ul class=\"key\">");
    for (class, amount) in chart::shares(&total.part) {
        let what = if class == "paid" {
            "paid"
        } else {
            title(class)
        };
        let amount = dollars(amount);
        let _ = write!(
            out,
            "<li><i class=\"swatch {class}\"></i>{what} <b>{amount}</b></li>"
        );
    }
    out.push_str("</ul>\n<dl class=\"facts\">");
    let requests = total.part.requests();
    let spared = total.hits + total.joined;
    let tokens: u64 = report.layers.iter().take(3).map(|layer| layer.tokens).sum();
    for (what, fact) in [
        ("answered without a call", percent(total.hit_rate)),
        (
            "calls spared",
            format!("{} of {}", count(spared), count(requests)),
        ),
        ("tokens not bought", count(tokens)),
        ("answers kept at the end", count(report.kept)),
    ] {
        let _ = write!(out, "<div><dt>{what}</dt><dd>{fact}</dd></div>");
    }
    out.push_str("</dl>\n");
    if spared == 0 {
        out.push_str(
            "<p class=\"notice\">No request came again while its answer was fresh: a cache saves nothing on this log.</p>\n",
        );
    }
    out.push_str("</section>\n");
}

fn tables(report: &Report, out: &mut String) {
    out.push_str("<section class=\"columns\">\n<div>");
    caption(out, "By layer");
    let rows = report
        .layers
        .iter()
        .filter(|layer| layer.name != "provider_cache" || layer.tokens > 0);
    let rows = rows.map(|layer| {
        let is_ours = layer.name != "provider_cache";
        vec![
            title(layer.name).to_owned(),
            layer.requests.map_or_else(|| "–".to_owned(), count),
            count(layer.tokens),
            dollars(layer.saved_nano_usd),
            if is_ours {
                percent(layer.share)
            } else {
                "as without us".to_owned()
            },
        ]
    });
    let rows: Vec<_> = rows.collect();
    table(
        out,
        &["layer", "requests", "tokens", "saved", "share"],
        &rows,
    );
    out.push_str("</div><div>");
    caption(out, "By endpoint");
    named(out, "endpoint", &report.by_endpoint);
    out.push_str("</div>\n<div>");
    caption(out, "By model");
    named(out, "model", &report.by_model);
    out.push_str("</div>\n");
    if !report.repeated.is_empty() {
        out.push_str("<div>");
        caption(out, "Requests that came again");
        let rows = report.repeated.iter().map(|repeat| {
            let counts = [repeat.times, repeat.bytes as u64, repeat.first_line].map(count);
            let digest = format!("<code>{}…</code>", &repeat.sha256[..16]);
            let prompt = repeat.prompt.as_deref().map(escape);
            let name = prompt.map_or(digest.clone(), |prompt| format!("{digest} {prompt}"));
            std::iter::once(name).chain(counts).collect()
        });
        let rows: Vec<_> = rows.collect();
        table(
            out,
            &["SHA-256 of the body", "times", "bytes", "first on line"],
            &rows,
        );
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
}

fn named(out: &mut String, what: &str, rows: &[Named]) {
    let rows = rows.iter().map(|Named { name, sum }| {
        vec![
            escape(name),
            count(sum.part.requests()),
            percent(sum.hit_rate),
            dollars(sum.without_nano_usd),
            dollars(sum.with_nano_usd),
            percent(sum.saved_share),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table(
        out,
        &[what, "requests", "hits", "without", "with", "saved"],
        &rows,
    );
}

fn problems(report: &Report, out: &mut String) {
    let log = &report.log;
    if log.unreadable + log.refused == 0 {
        return;
    }
    let _ = write!(
        out,
        "<section><h2>Not in the figures</h2><p>{} of {} cannot be read, and {} would be refused. The first:</p><ul class=\"prose\">",
        count(log.unreadable),
        some(log.lines, "line"),
        some(log.refused, "request")
    );
    for problem in &log.problems {
        let _ = write!(
            out,
            "<li>line {}: {}</li>",
            problem.line,
            escape(&problem.why)
        );
    }
    out.push_str("</ul></section>\n");
}

fn assumptions(report: &Report, out: &mut String) {
    out.push_str("<section><h2>What this rests on</h2><ul class=\"prose\">");
    for assumption in &report.assumptions {
        let _ = write!(out, "<li>{}</li>", escape(assumption));
    }
    out.push_str("</ul></section>\n");
}

/// As RFC 4648 section 4 has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let is_there = digit <= group.len();
            let place = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_there {
                char::from(DIGITS[place as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests;
