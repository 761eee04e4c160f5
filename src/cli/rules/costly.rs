//! `rules costly`: texts that come again and again, and what they cost.

use std::fmt::Write as _;

use serde_json::json;

use super::super::explain::visible;
use super::{Desk, say};
use crate::compressor::Unit;
use crate::metering::tally::usd;
use crate::tuning::learn::{Book, Mode, Passage};

/// So much of a text is shown, in characters.
const SHOWN: usize = 60;

pub(super) fn run(desk: &Desk<'_>, limit: usize, full: bool) -> anyhow::Result<()> {
    let book = desk.shelf.read()?;
    let statistics = &desk.statistics;
    let days = statistics.days();
    let costly: Vec<_> = statistics.costly().into_iter().take(limit).collect();
    if desk.is_json {
        let texts = costly.iter().map(|passage| {
            json!({
                "id": passage.id(),
                "role": passage.role().as_str(),
                "unit": passage.unit().as_str(),
                "count": passage.count,
                "tokens": passage.tokens,
                "costUsd": usd(passage.cost()),
                "costUsdPerDay": usd(passage.cost()) / days,
                "state": state(&book, passage),
                "text": passage.text,
            })
        });
        let told = json!({
            "since": statistics.since().map(|since| since.to_string()),
            "heard": statistics.heard,
            "missed": statistics.missed,
            "texts": texts.collect::<Vec<_>>(),
        });
        return say(&format!("{told}\n"));
    }
    say(&show(desk, &book, &costly, days, full))
}

fn show(desk: &Desk<'_>, book: &Book, costly: &[&Passage], days: f64, full: bool) -> String {
    let statistics = &desk.statistics;
    let mut out = String::new();
    let learning = &desk.config.compression.learning;
    if learning.mode == Mode::Off {
        out += "compression.learn is off: nothing is counted (set it to \"observe\" or \"act\")\n";
    }
    if let Some(since) = statistics.since() {
        let _ = writeln!(
            out,
            "{} paid requests looked at since {since:.0}, {} more that there was no time for",
            statistics.heard, statistics.missed
        );
    }
    if costly.is_empty() {
        let callers = learning.callers;
        let _ = writeln!(
            out,
            "no text is known that came again and again: it takes {callers} callers (compression.learn_callers) and three \
             times, and a service that runs writes down once a minute what it has counted, beside {}",
            desk.place()
        );
        return out;
    }
    let _ = writeln!(
        out,
        "{:<12}  {:<6}  {:<9}  {:>8}  {:>6}  {:>10}  {:<8}  text",
        "id", "role", "unit", "times", "tokens", "$ a day", "state"
    );
    for passage in costly {
        let text = passage.text.as_deref().unwrap_or_default();
        let shown: String = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(SHOWN)
            .collect();
        let _ = writeln!(
            out,
            "{:<12}  {:<6}  {:<9}  {:>8}  {:>6}  {:>10.4}  {:<8}  {}",
            passage.id(),
            passage.role().as_str(),
            passage.unit().as_str(),
            passage.count,
            passage.tokens,
            usd(passage.cost()) / days,
            state(book, passage),
            visible(&shown)
        );
        if full {
            for line in text.lines() {
                let _ = writeln!(out, "    {}", visible(line));
            }
        }
    }
    if costly.iter().any(|passage| passage.unit() == Unit::Phrase) {
        out += "a phrase holds no number, name, negation or word that binds: `rules approve ID` takes it out\n";
    }
    out
}

/// What was decided about a text.
fn state(book: &Book, passage: &Passage) -> &'static str {
    book.find(&passage.id())
        .map_or("-", |entry| entry.state.as_str())
}
