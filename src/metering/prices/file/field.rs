//! The fields of a file of prices: amounts, counts, days and names.

use std::{collections::HashSet, sync::Arc};

use toml::de::DeValue;

use super::Value;
use crate::metering::decimal::Decimal;

/// What a price is given in, and how it becomes pico-USD.
pub(super) struct Unit {
    name: &'static str,
    /// The power of ten between the two.
    power: i32,
    /// The highest price accepted.
    highest: u64,
}

pub(super) const PER_MILLION: Unit = Unit {
    name: "USD per million tokens",
    power: 6,
    highest: 1_000_000,
};
pub(super) const PER_REQUEST: Unit = Unit {
    name: "USD per request",
    power: 12,
    highest: 1_000,
};

/// Reads fields and gathers what is wrong with them.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Mistakes and their lines.
    pub(super) wrong: Vec<(usize, String)>,
    /// The names that there were, in lower case.
    seen: HashSet<Arc<str>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            wrong: Vec::new(),
            seen: HashSet::new(),
        }
    }

    /// A name in lower case; each stands once in a file.
    pub(super) fn name(&mut self, at: usize, name: &str) -> Arc<str> {
        let lower: Arc<str> = name.to_ascii_lowercase().into();
        if name.trim().is_empty() {
            self.fail(at, "a name is empty".to_owned());
        } else if !self.seen.insert(Arc::clone(&lower)) {
            self.fail(at, format!("the name {name:?} is there twice"));
        }
        lower
    }

    /// A price in pico-USD, or pico-USD per token.
    pub(super) fn amount(&mut self, key: &str, value: &Value<'t>, unit: &Unit) -> Option<u64> {
        let Unit {
            name,
            power,
            highest,
        } = *unit;
        let written = match value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => {
                self.fail(value.span().start, format!("{key} is not a number"));
                return None;
            }
        };
        let decimal = Decimal::read(written);
        let rounded = decimal.and_then(|decimal| decimal.rounded(power));
        if rounded.is_none_or(|amount| amount > highest * 10_u64.pow(power.unsigned_abs())) {
            self.fail(
                value.span().start,
                format!("{key} is not from 0 to {highest} {name}"),
            );
            return None;
        }
        let amount = decimal.and_then(|decimal| decimal.exact(power));
        if amount.is_none() {
            self.fail(
                value.span().start,
                format!("{key} = {written} is finer than 1e-{power} {name}"),
            );
        }
        amount
    }

    pub(super) fn count(&mut self, key: &str, value: &Value<'t>) -> Option<u64> {
        let count = value.get_ref().as_integer().and_then(|number| {
            u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|&count| count > 0)
        });
        if count.is_none() {
            self.fail(
                value.span().start,
                format!("{key} is not a whole number above zero"),
            );
        }
        count
    }

    /// A day, quoted or as TOML has it.
    pub(super) fn date(&mut self, key: &str, value: &Value<'t>) -> Option<Arc<str>> {
        let date = match value.get_ref() {
            DeValue::String(text) => text.parse().ok(),
            DeValue::Datetime(date) => Some(*date),
            _ => None,
        };
        let day = date
            .filter(|date: &toml::value::Datetime| date.time.is_none())
            .and_then(|date| date.date);
        if day.is_none() {
            self.fail(
                value.span().start,
                format!("{key} is not a day such as \"2026-11-09\""),
            );
        }
        day.map(|day| day.to_string().into())
    }

    pub(super) fn fail(&mut self, at: usize, what: String) {
        let line = self.line(at);
        self.wrong.push((line, what));
    }

    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }
}
