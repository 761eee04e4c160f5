//! `rules list`: the rules, and how they do against the hold-out.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Desk, say};
use crate::compressor::Level;
use crate::tokens::Vocabulary;
use crate::tuning::learn::{Before, Book, Entry, Harm, Mode, Span, Trial, pair_of};

pub(super) fn run(desk: &Desk<'_>) -> anyhow::Result<()> {
    let book = desk.shelf.read()?;
    if desk.is_json {
        let rules = book.rules.iter().map(|entry| rule(desk, &book, entry));
        let skips = book.skips.iter().map(|skip| {
            json!({
                "rule": skip.rule.as_str(),
                "kind": skip.kind.as_str(),
                "state": skip.state.as_str(),
                "pinned": skip.is_pinned,
                "inForce": skip.span.has(book.version),
                "note": skip.note,
            })
        });
        let told = json!({
            "version": book.version,
            "since": book.since.map(|since| since.to_string()),
            "rules": rules.collect::<Vec<_>>(),
            "skips": skips.collect::<Vec<_>>(),
            "trial": trial(desk, &book, None).map(figures),
        });
        return say(&format!("{told}\n"));
    }
    say(&show(desk, &book))
}

fn rule(desk: &Desk<'_>, book: &Book, entry: &Entry) -> Value {
    let (before, after) = tokens(entry);
    json!({
        "id": entry.id(),
        "role": entry.lesson.role.as_str(),
        "unit": entry.lesson.unit.as_str(),
        "state": entry.state.as_str(),
        "pinned": entry.is_pinned,
        "inForce": entry.span.has(book.version),
        "from": entry.span.from,
        "until": entry.span.until,
        "tokensBefore": before,
        "tokensAfter": after,
        "note": entry.note,
        "before": replaced(entry, book).map(|before| {
            json!({"until": before.span.until, "tokensAfter": Vocabulary::O200k.count(&before.with)})
        }),
        "trial": trial(desk, book, Some(&subject(entry, book))).map(figures),
    })
}

/// What is in force until this one is.
fn replaced<'e>(entry: &'e Entry, book: &Book) -> Option<&'e Before> {
    entry
        .before
        .as_ref()
        .filter(|before| before.span.has(book.version))
}

/// What its comparison with the hold-out is about: what is in force, else the rule itself.
fn subject(entry: &Entry, book: &Book) -> String {
    let in_force = entry.lesson_in(book.version);
    pair_of(in_force.as_ref().unwrap_or(&entry.lesson))
}

/// The comparison with the hold-out, as figures.
fn figures(trial: &Trial) -> Value {
    let saving = trial.saving();
    let longer = trial.longer_answers();
    json!({
        "shortened": trial.treated.requests,
        "heldOut": trial.held.requests,
        "saved": saving.map(|saving| saving.value),
        "savedPlusMinus": saving.map(|saving| saving.give),
        "longerAnswers": longer.map(|longer| longer.value),
        "longerAnswersPlusMinus": longer.map(|longer| longer.give),
        "harm": trial.harm().map(Harm::as_str),
    })
}

fn show(desk: &Desk<'_>, book: &Book) -> String {
    let mut out = match book.since.filter(|_| book.version > 0) {
        Some(since) => format!(
            "version {} of {}, in force since {since:.0}\n",
            book.version,
            desk.place()
        ),
        None => format!("no version is in force yet in {}\n", desk.place()),
    };
    let compression = &desk.config.compression;
    let mode = compression.learning.mode;
    if mode != Mode::Act && !book.rules.is_empty() {
        let mode = mode.as_str();
        let _ = writeln!(
            out,
            "nothing of it is applied while compression.learn is {mode}: set it to \"act\""
        );
    } else if compression.level == Level::Off && !book.rules.is_empty() {
        out += "nothing of it is applied where compression.level is off\n";
    }
    if let Some(trial) = trial(desk, book, None) {
        let _ = writeln!(out, "{}", trial.tell());
    }
    if book.rules.is_empty() && book.skips.is_empty() {
        out += "no rules: `pegasus-nest rules costly` lists texts that are worth one\n";
    }
    for entry in &book.rules {
        let (before, after) = tokens(entry);
        let pinned = if entry.is_pinned { ", pinned" } else { "" };
        let _ = writeln!(
            out,
            "{}  {}{pinned}, {}: a {} of the role {}, {before} tokens, {after} after",
            entry.id(),
            entry.state.as_str(),
            when(entry.span, book.version),
            entry.lesson.unit,
            entry.lesson.role,
        );
        for told in [
            replaced(entry, book).map(|before| {
                let tokens = Vocabulary::O200k.count(&before.with);
                let until = before.span.until.unwrap_or(book.version);
                format!("until version {until} begins, the one before it is in force: {tokens} tokens after")
            }),
            trial(desk, book, Some(&subject(entry, book))).map(Trial::tell),
            entry.note.clone(),
        ]
        .into_iter()
        .flatten()
        {
            let _ = writeln!(out, "    {}", super::super::explain::visible(&told));
        }
    }
    for skip in &book.skips {
        let pinned = if skip.is_pinned { ", pinned" } else { "" };
        let _ = writeln!(
            out,
            "{}:{}  left out, {}{pinned}, {}",
            skip.rule,
            skip.kind,
            skip.state.as_str(),
            when(skip.span, book.version)
        );
        if let Some(note) = &skip.note {
            let _ = writeln!(out, "    {}", super::super::explain::visible(note));
        }
    }
    out
}

/// Since when, or from when on.
fn when(span: Span, version: u32) -> String {
    match (span.has(version), span.from, span.until) {
        (true, _, None) => "in force".to_owned(),
        (true, _, Some(until)) => format!("in force until version {until} begins"),
        (false, Some(from), _) if from > version => format!("from version {from} on"),
        _ => "not in force".to_owned(),
    }
}

/// The comparison under the version in force, or that of a rule.
fn trial<'d>(desk: &'d Desk<'_>, book: &Book, pair: Option<&str>) -> Option<&'d Trial> {
    let version = if pair.is_some() { 0 } else { book.version };
    let mut trials = desk.statistics.trials.iter();
    let found = trials.find(|(of, about, _)| (*of, about.as_deref()) == (version, pair));
    found.map(|(.., trial)| trial)
}

fn tokens(entry: &Entry) -> (usize, usize) {
    let count = |text: &str| Vocabulary::O200k.count(text);
    (count(&entry.lesson.text), count(&entry.lesson.with))
}
