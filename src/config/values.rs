//! Parses and shows single values: what a setting's text stands for, and what may be told of it.

use std::{ops::RangeInclusive, time::Duration};

use toml::{Table, Value};

use super::units;

const MASK: &str = "***";

/// Why a value is refused: what is accepted, and the part of the value that is meant, if not all of it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) given: Option<Value>,
    pub(super) accepted: String,
}

impl Refusal {
    pub(super) fn all(accepted: String) -> Vec<Self> {
        vec![Self {
            given: None,
            accepted,
        }]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Plain,
    Secret,
}

pub(super) const TEXT: &str = "expected text in quotes";

pub(super) fn coerce_text(_: &str) -> Option<Value> {
    None
}

pub(super) fn coerce_number(text: &str) -> Option<Value> {
    text.trim().parse().ok().map(Value::Float)
}

/// A TOML array, or items between commas.
pub(super) fn coerce_list(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('[') {
        return format!("list = {text}")
            .parse::<Table>()
            .ok()?
            .remove("list");
    }
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    Some(Value::Array(
        items.map(|item| Value::String(item.to_owned())).collect(),
    ))
}

pub(super) fn duration(value: &Value) -> Result<Duration, Vec<Refusal>> {
    let read = value
        .as_str()
        .map_or_else(|| Err(units::duration_accepted()), units::duration);
    read.map_err(|accepted| Refusal::all(format!("expected {accepted}")))
}

/// A number within the range; the error says which that is.
pub(super) fn number(value: &Value, range: &RangeInclusive<f64>) -> Result<f64, String> {
    let number = match value {
        // Whole numbers of this size are exact; all others are out of any range here.
        Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("expected a number from {least} to {most}")
        })
}

pub(super) fn list<T>(
    value: &Value,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Vec<Refusal>> {
    let Some(items) = value.as_array() else {
        return Err(Refusal::all(
            "expected a list such as [\"one\", \"two\"]".to_owned(),
        ));
    };
    let (mut read, mut refusals) = (Vec::new(), Vec::new());
    for item in items {
        let parsed = match item.as_str() {
            Some(text) => parse(text.trim()),
            None => Err(TEXT.to_owned()),
        };
        match parsed {
            Ok(parsed) => read.push(parsed),
            Err(accepted) => refusals.push(Refusal {
                given: Some(item.clone()),
                accepted,
            }),
        }
    }
    if refusals.is_empty() {
        Ok(read)
    } else {
        Err(refusals)
    }
}

/// What stands for a value that may be a secret, or a secret in the wrong place.
pub(super) fn masked() -> Value {
    Value::String(MASK.to_owned())
}

/// A list of tables; what is wrong with any of them is told.
pub(super) fn tables<T>(
    value: &Value,
    parse: impl Fn(&Table) -> Result<T, Vec<Refusal>>,
) -> Result<Vec<T>, Vec<Refusal>> {
    let refused = |accepted: &str| {
        vec![Refusal {
            given: Some(masked()),
            accepted: accepted.to_owned(),
        }]
    };
    let Some(items) = value.as_array() else {
        return Err(refused("expected a list of tables"));
    };
    let (mut read, mut refusals) = (Vec::new(), Vec::new());
    for item in items {
        let parsed = match item.as_table() {
            Some(table) => parse(table),
            None => Err(refused(
                "expected a table such as { name = \"web\", token_sha256 = \"…\" }",
            )),
        };
        match parsed {
            Ok(parsed) => read.push(parsed),
            Err(more) => refusals.extend(more),
        }
    }
    if refusals.is_empty() {
        Ok(read)
    } else {
        Err(refusals)
    }
}

/// The value as the effective configuration shows it.
pub(super) fn show(value: &Value, shown: Shown) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| show(item, shown)).collect()),
        // A digest is no token, but whoever has it can try tokens at home.
        Value::Table(fields) => Value::Table(
            fields
                .iter()
                .map(|(name, value)| {
                    let is_secret = shown == Shown::Secret || name.starts_with("token");
                    let shown = if is_secret { Shown::Secret } else { shown };
                    (name.clone(), show(value, shown))
                })
                .collect(),
        ),
        _ if shown == Shown::Plain => value.clone(),
        Value::String(text) if text.trim().is_empty() => value.clone(),
        _ => Value::String(MASK.to_owned()),
    }
}

/// The value as a problem shows it, on one line.
pub(super) fn describe(value: &Value, shown: Shown) -> String {
    match show(value, shown) {
        // The part before an @ is a password, the one after a ? often a key.
        Value::String(text) if text.contains('@') || text.contains("://") && text.contains('?') => {
            format!("{MASK:?}")
        }
        Value::String(text) if text.chars().count() > 100 => {
            format!("{:?}…", text.chars().take(100).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) if shown == Shown::Plain => "a list".to_owned(),
        other => other.to_string(),
    }
}
