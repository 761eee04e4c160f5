//! The report as a page of its own: it loads nothing, runs nothing, and says so to the browser.

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use self::parts::{caption, details, escape, table};
use super::chart::{self, Chart, Step};
use super::money::{about, count, dollars, duration, percent};
use super::text::title;
use super::{Named, Report};

mod parts;
mod settings;

const STYLE: &str = include_str!("html/page.css");

/// The page; `name` is that of the log.
pub fn page(report: &Report, name: &str) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
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
        charts(report, &mut out);
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
        "<header><h1>What Pegasus Nest would save</h1>\n<p>{} requests of <b>{}</b>",
        count(log.requests),
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

/// A time as RFC 3339 has it, for people.
fn day(time: &str) -> String {
    time.replace('T', " ").trim_end_matches('Z').to_owned()
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

fn charts(report: &Report, out: &mut String) {
    let (each, steps) = chart::steps(&report.over_time);
    let is_dated = report.over_time.is_dated;
    let labels = labels(&steps, is_dated);
    let each = step(u64::try_from(each).unwrap_or(0));
    out.push_str("<section class=\"charts\">\n");
    let title = "Cost so far, with and without";
    let drawn = chart::cumulated(&steps, title);
    let key = [
        ("without", "without Pegasus Nest"),
        ("with", "with it"),
        ("between", "saved"),
    ];
    figure(out, title, &drawn, &labels, &key);
    let (mut with, mut without) = (0, 0);
    let mut rows = Vec::new();
    for (step, label) in steps.iter().zip(&labels) {
        with += step.part.cost();
        without += step.part.without();
        rows.push(vec![
            label.clone(),
            dollars(without),
            dollars(with),
            dollars(without - with),
        ]);
    }
    details(
        out,
        title,
        &["until the step from", "without", "with", "saved"],
        &rows,
    );

    let title = format!("Cost and savings in steps of {each}");
    let drawn = chart::bars(&steps, &title);
    let key = ["cache", "dedup", "compression", "paid"].map(|name| (name, name));
    figure(out, &title, &drawn, &labels, &key);
    let rows = steps.iter().zip(&labels).map(|(step, label)| {
        let amounts = chart::shares(&step.part).map(|(_, amount)| dollars(amount));
        std::iter::once(label.clone()).chain(amounts).collect()
    });
    let rows: Vec<_> = rows.collect();
    details(
        out,
        &title,
        &["from", "paid", "compression", "dedup", "cache"],
        &rows,
    );

    let title = format!("Requests answered without a call, in steps of {each}");
    let drawn = chart::rates(&steps, &title);
    figure(
        out,
        &title,
        &drawn,
        &labels,
        &[("with", "share of requests")],
    );
    let rows = steps.iter().zip(&labels).map(|(Step { part, .. }, label)| {
        let rate = super::share(part.hits + part.joined, part.requests());
        let counts = [part.requests(), part.hits, part.joined].map(count);
        let cells = std::iter::once(label.clone()).chain(counts);
        cells.chain([percent(rate)]).collect()
    });
    let rows: Vec<_> = rows.collect();
    details(
        out,
        &title,
        &["from", "requests", "cache", "dedup", "share"],
        &rows,
    );
    out.push_str("</section>\n");
}

/// A chart with its words.
fn figure(out: &mut String, title: &str, chart: &Chart, labels: &[String], key: &[(&str, &str)]) {
    let _ = write!(
        out,
        "<figure><figcaption>{title}</figcaption><ul class=\"key\">"
    );
    for (class, what) in key {
        let _ = write!(out, "<li><i class=\"swatch {class}\"></i>{what}</li>");
    }
    out.push_str("</ul><div class=\"plot\"><ol class=\"up\">");
    for word in chart.up.iter().rev() {
        let _ = write!(out, "<li>{word}</li>");
    }
    let _ = write!(
        out,
        "</ol><div class=\"area\">{}</div><ol class=\"along\">",
        chart.svg
    );
    let some = [
        0,
        labels.len() / 3,
        labels.len() * 2 / 3,
        labels.len().saturating_sub(1),
    ];
    let mut last = None;
    for at in some {
        // Of few steps some are the same.
        if last != Some(at)
            && let Some(word) = labels.get(at)
        {
            let _ = write!(out, "<li>{word}</li>");
        }
        last = Some(at);
    }
    out.push_str("</ol></div></figure>\n");
}

/// When each step begins: by the calendar, whose day is told when it changes, or since the beginning.
fn labels(steps: &[Step], is_dated: bool) -> Vec<String> {
    let mut known = String::new();
    let label = |step: &Step| {
        let seconds = step.from.div_euclid(1_000);
        if !is_dated {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            return format!("+{hours}:{minutes:02}:{:02}", seconds % 60);
        }
        let time = Timestamp::from_second(seconds).map(|time| time.to_string());
        let time = day(&time.unwrap_or_default());
        let Some((date, clock)) = time.split_once(' ') else {
            return time;
        };
        // To the minute, unless seconds are what is shown.
        let clock = clock.strip_suffix(":00").unwrap_or(clock);
        let shown = if known == date {
            clock.to_owned()
        } else {
            format!("{date} {clock}")
        };
        date.clone_into(&mut known);
        shown
    };
    steps.iter().map(label).collect()
}

/// How long a step is, in words.
fn step(millis: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
    ];
    let unit = UNITS.iter().find(|(unit, _)| millis.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or(&(1_000, "second"));
    match millis / unit {
        1 => format!("1 {name}"),
        many => format!("{} {name}s", count(many)),
    }
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
        "<section><h2>Not in the figures</h2><p>{} of {} lines cannot be read, and {} requests would be refused. The first:</p><ul class=\"prose\">",
        count(log.unreadable),
        count(log.lines),
        count(log.refused)
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
