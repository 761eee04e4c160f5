//! The charts of the page, and the words around them.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::parts::{day, details};
use crate::estimate::report::chart::{self, Chart, Step};
use crate::estimate::report::{Report, share};
use crate::words::{count, dollars, percent, some};

/// All charts, each with its figures below.
pub(super) fn section(report: &Report, out: &mut String) {
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
        let rate = share(part.hits + part.joined, part.requests());
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
    some(millis / unit, name)
}
