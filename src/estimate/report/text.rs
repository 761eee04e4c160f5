//! The report on a terminal.

use std::fmt::Write as _;

use super::swept::{Swept, Tried};
use super::{Named, Report, Sum};
use crate::metering::tally::Figure;
use crate::words::{about, count, dollars, duration, percent, some};

/// So many models and combinations are listed.
const LISTED: usize = 12;

/// The report as text; `name` is that of the log.
pub fn show(report: &Report, name: &str) -> String {
    let mut out = String::new();
    head(report, name, &mut out);
    if report.log.requests == 0 {
        problems(report, &mut out);
        return out;
    }
    verdict(&report.total, &mut out);
    layers(report, &mut out);
    table("By model", &report.by_model, &mut out);
    table("By endpoint", &report.by_endpoint, &mut out);
    repeated(report, &mut out);
    if let Some(swept) = &report.sweep {
        sweep(swept, &mut out);
    }
    problems(report, &mut out);
    let _ = writeln!(out, "\nWhat this rests on");
    for assumption in &report.assumptions {
        wrap(assumption, &mut out);
    }
    out
}

fn head(report: &Report, name: &str, out: &mut String) {
    let log = &report.log;
    let _ = write!(out, "{} of {name}", some(log.requests, "request"));
    if let (Some(from), Some(until)) = (&log.from, &log.until) {
        let _ = write!(out, ", {from} to {until} ({})", about(log.span_ms));
    }
    let _ = writeln!(out, "{}", if log.interrupted { ", broken off" } else { "" });
    let settings = &report.settings;
    let cache = if settings.cache {
        let (entries, ttl) = (count(settings.max_entries), duration(settings.ttl_ms));
        let scope = if settings.scope == "global" {
            ", shared by all callers"
        } else {
            ""
        };
        format!("{entries} entries for {ttl}{scope}")
    } else {
        "off".to_owned()
    };
    let dedup = if settings.dedup { "on" } else { "off" };
    let level = settings.level;
    let _ = writeln!(
        out,
        "with compression {level}, cache {cache}, dedup {dedup}"
    );
}

fn verdict(total: &Sum, out: &mut String) {
    let (without, with) = (
        dollars(total.without_nano_usd),
        dollars(total.with_nano_usd),
    );
    let room = without.len().max(with.len());
    let _ = writeln!(out, "\nwithout Pegasus Nest  {without:>room$}");
    let _ = writeln!(out, "with Pegasus Nest     {with:>room$}");
    let saved = dollars(total.proxy_saved_nano_usd);
    let share = percent(total.saved_share);
    let _ = writeln!(out, "saved                 {saved:>room$}  {share}");
}

fn layers(report: &Report, out: &mut String) {
    let total = &report.total;
    let _ = writeln!(
        out,
        "\n{:22} {:>11} {:>8} {:>15} {:>14} {:>8}",
        "Saved by", "requests", "", "tokens", "dollars", ""
    );
    for layer in &report.layers {
        if layer.name == "provider_cache" && layer.tokens == 0 {
            continue;
        }
        let answered = layer.requests.map_or_else(String::new, count);
        let rate = layer.requests.map_or_else(String::new, |requests| {
            percent(super::share(requests, total.part.requests()))
        });
        let share = if layer.name == "provider_cache" {
            "(as without us)".to_owned()
        } else {
            percent(layer.share)
        };
        let _ = writeln!(
            out,
            "{:22} {answered:>11} {rate:>8} {:>15} {:>14} {share:>8}",
            title(layer.name),
            count(layer.tokens),
            dollars(layer.saved_nano_usd),
        );
    }
    if total.hits + total.joined == 0 {
        let _ = writeln!(
            out,
            "no request came again while its answer was fresh: a cache saves nothing on this log"
        );
    }
}

/// The name of a layer or a source for people.
pub(super) fn title(name: &str) -> &str {
    match name {
        "provider_cache" => "the provider's cache",
        name => name,
    }
}

fn table(what: &str, rows: &[Named], out: &mut String) {
    let widest = rows
        .iter()
        .take(LISTED)
        .map(|row| shorten(&row.name).chars().count());
    let width = widest.chain([22]).max().unwrap_or(22);
    let _ = writeln!(
        out,
        "\n{what:width$} {:>11} {:>8} {:>15} {:>14} {:>8}",
        "requests", "hits", "without", "with", "saved"
    );
    for Named { name, sum } in rows.iter().take(LISTED) {
        let unpriced = sum.part.tally.get(Figure::Unpriced) > 0 && sum.without_nano_usd == 0;
        let saved = if unpriced {
            "no price".to_owned()
        } else {
            percent(sum.saved_share)
        };
        let _ = writeln!(
            out,
            "{:width$} {:>11} {:>8} {:>15} {:>14} {saved:>8}",
            shorten(name),
            count(sum.part.requests()),
            percent(sum.hit_rate),
            dollars(sum.without_nano_usd),
            dollars(sum.with_nano_usd),
        );
    }
    if rows.len() > LISTED {
        let _ = writeln!(
            out,
            "and {} more; --json has all of them",
            rows.len() - LISTED
        );
    }
}

/// As much of a name as a table holds, with nothing in it that could drive a terminal.
fn shorten(name: &str) -> String {
    let visible = name.chars().filter(|c| !c.is_control());
    visible.take(40).collect()
}

fn repeated(report: &Report, out: &mut String) {
    if report.repeated.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{:22} {:>11} {:>8} {:>15}",
        "Came again (SHA-256)", "times", "bytes", "first on line"
    );
    for repeat in &report.repeated {
        let prompt = repeat.prompt.as_deref().unwrap_or_default();
        let line = format!(
            "{:22} {:>11} {:>8} {:>15}  {prompt}",
            &repeat.sha256[..16],
            count(repeat.times),
            count(repeat.bytes as u64),
            count(repeat.first_line),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if report.repeated_at_most_more > 0 {
        let more = count(report.repeated_at_most_more);
        let _ = writeln!(out, "each of these may have come up to {more} times more");
    }
}

fn sweep(swept: &Swept, out: &mut String) {
    let _ = writeln!(
        out,
        "\n{:10} {:>10} {:>6} {:>9} {:>14} {:>14} {:>8}",
        "Settings", "entries", "ttl", "hits", "with", "saved", ""
    );
    let mut row = |mark: &str, tried: &Tried| {
        let _ = writeln!(
            out,
            "{:10} {:>10} {:>6} {:>9} {:>14} {:>14} {:>8}{mark}",
            tried.level,
            count(tried.max_entries),
            duration(tried.ttl_ms),
            percent(tried.hit_rate),
            dollars(tried.cost_nano_usd),
            dollars(tried.saved_nano_usd),
            percent(tried.saved_share),
        );
    };
    row("  as they are", &swept.current);
    row("  recommended", &swept.recommended);
    // Of those that come to the same, one is enough.
    let settings = |tried: &Tried| (tried.level, tried.max_entries, tried.ttl_ms);
    let others = swept.tried.iter();
    let mut others: Vec<_> = others
        .filter(|tried| settings(tried) != settings(&swept.recommended))
        .collect();
    let all = others.len();
    others.dedup_by_key(|tried| tried.cost_nano_usd);
    for tried in others.iter().take(LISTED) {
        row("", tried);
    }
    let others = all - others.len().min(LISTED);
    if others > 0 {
        let _ = writeln!(
            out,
            "and {others} more that save the same or less; --json has all of them"
        );
    }
    out.push('\n');
    let _ = writeln!(out, "Recommended, to paste into the configuration:\n");
    for line in swept.toml.lines() {
        let _ = writeln!(out, "    {line}");
    }
    out.push('\n');
    wrap(Swept::CAVEAT, out);
}

fn problems(report: &Report, out: &mut String) {
    let log = &report.log;
    if log.unreadable + log.refused == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\nNot in the figures: {} of {} cannot be read, {} would be refused",
        count(log.unreadable),
        some(log.lines, "line"),
        some(log.refused, "request")
    );
    for problem in &log.problems {
        let why: String = problem
            .why
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        let _ = writeln!(out, "  line {}: {why}", problem.line);
    }
    let named = log.problems.len() as u64;
    if log.unreadable + log.refused > named {
        let _ = writeln!(
            out,
            "  and {} more",
            count(log.unreadable + log.refused - named)
        );
    }
}

/// A paragraph with a dash before it, in lines of 100 characters.
fn wrap(text: &str, out: &mut String) {
    let mut line = String::from("-");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(out, "{line}");
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
