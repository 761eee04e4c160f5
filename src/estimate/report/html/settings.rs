//! The part of the page about other settings.

use std::fmt::Write as _;

use super::parts::{escape, table};
use crate::estimate::report::swept::{Swept, Tried};
use crate::words::{count, dollars, duration, percent};

/// How many shades there are.
const SHADES: f64 = 9.0;

pub(super) fn section(swept: &Swept, out: &mut String) {
    out.push_str("<section><h2>Other settings</h2>\n");
    let row = |name: &str, tried: &Tried| {
        vec![
            name.to_owned(),
            tried.level.to_owned(),
            count(tried.max_entries),
            duration(tried.ttl_ms),
            percent(tried.hit_rate),
            dollars(tried.cost_nano_usd),
            percent(tried.saved_share),
        ]
    };
    let rows = [
        row("as they are", &swept.current),
        row("recommended", &swept.recommended),
    ];
    let heads = [
        "settings",
        "compression",
        "entries",
        "ttl",
        "hits",
        "with",
        "saved",
    ];
    table(out, &heads, &rows);
    let _ = writeln!(
        out,
        "<div class=\"columns two settings\"><div><p>To paste into the configuration:</p><pre>{}</pre></div>\
         <p class=\"quiet\">{}</p></div>",
        escape(&swept.toml),
        escape(Swept::CAVEAT)
    );
    out.push_str("<div class=\"heat\">");
    let mut levels: Vec<_> = swept.tried.iter().map(|tried| tried.level).collect();
    levels.sort_by_key(|level| LEVELS.iter().position(|known| known == level));
    levels.dedup();
    for level in levels {
        map(swept, level, out);
    }
    out.push_str("</div></section>\n");
}

const LEVELS: [&str; 4] = ["off", "safe", "balanced", "aggressive"];

/// What entries and times save at one level, the better the greener.
fn map(swept: &Swept, level: &str, out: &mut String) {
    let of_level: Vec<_> = swept
        .tried
        .iter()
        .filter(|tried| tried.level == level)
        .collect();
    let distinct = |of: fn(&Tried) -> u64| {
        let mut all: Vec<_> = of_level.iter().map(|tried| of(tried)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (entries, ttls) = (
        distinct(|tried| tried.max_entries),
        distinct(|tried| tried.ttl_ms),
    );
    let _ = write!(
        out,
        "<table><caption>compression <b>{level}</b>, saved</caption><thead><tr><td>entries</td>"
    );
    for ttl in &ttls {
        let _ = write!(out, "<th scope=\"col\">{}</th>", duration(*ttl));
    }
    out.push_str("</tr></thead><tbody>");
    for max_entries in entries {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", count(max_entries));
        for ttl in &ttls {
            let tried = of_level
                .iter()
                .find(|tried| tried.max_entries == max_entries && tried.ttl_ms == *ttl);
            match tried {
                Some(tried) => cell(swept, tried, out),
                None => out.push_str("<td>–</td>"),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>\n");
}

fn cell(swept: &Swept, tried: &Tried, out: &mut String) {
    let shares = || swept.tried.iter().map(|tried| tried.saved_share);
    let (least, most) = (shares().fold(1.0, f64::min), shares().fold(0.0, f64::max));
    let place = (tried.saved_share - least) / (most - least).max(1e-9);
    let best = &swept.recommended;
    let is_best = (tried.level, tried.max_entries, tried.ttl_ms)
        == (best.level, best.max_entries, best.ttl_ms);
    let mark = if is_best { " best" } else { "" };
    let _ = write!(
        out,
        "<td class=\"shade{:.0}{mark}\">{}</td>",
        (place * SHADES).clamp(0.0, SHADES),
        percent(tried.saved_share)
    );
}
