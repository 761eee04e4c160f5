//! Reads a file of prices, and tells all that is wrong with it at once, each with its line.

use std::{borrow::Cow, sync::Arc};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use field::{PER_MILLION, PER_REQUEST, Reader};

use super::model::{Model, Price, Rates, Tier};
use super::{BadPrices, Entry};

mod field;

type Value<'t> = Spanned<DeValue<'t>>;

const RATES: [&str; 5] = [
    "input",
    "output",
    "cached_input",
    "cache_write",
    "reasoning",
];
const OTHERS: [&str; 6] = [
    "names",
    "request",
    "above",
    "context_window",
    "max_output",
    "as_of",
];

/// The entries of a file, in the order of their names.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, BadPrices> {
    let mut reader = Reader::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        BadPrices(format!(
            "line {}: {}",
            reader.line(at),
            error.message().trim()
        ))
    })?;
    let entries = reader.file(table.get_ref());
    if reader.wrong.is_empty() {
        Ok(entries)
    } else {
        reader.wrong.sort_by_key(|(line, _)| *line);
        let told = reader
            .wrong
            .iter()
            .map(|(line, what)| format!("line {line}: {what}"));
        Err(BadPrices(told.collect::<Vec<_>>().join("; ")))
    }
}

impl<'t> Reader<'t> {
    fn file(&mut self, table: &DeTable<'t>) -> Vec<Entry> {
        let as_of = table
            .get("as_of")
            .and_then(|value| self.date("as_of", value));
        let mut entries = Vec::new();
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("as_of", _) => {}
                ("models", DeValue::Table(models)) => {
                    for (name, value) in models {
                        entries.extend(self.entry(name, value, as_of.as_ref()));
                    }
                }
                (other, _) => self.fail(
                    key.span().start,
                    format!("{other:?} is neither as_of nor [models.\"name\"]"),
                ),
            }
        }
        entries
    }

    fn entry(
        &mut self,
        name: &Spanned<Cow<'t, str>>,
        value: &Value<'t>,
        as_of: Option<&Arc<str>>,
    ) -> Option<Entry> {
        let before = self.wrong.len();
        let at = name.span().start;
        let Some(table) = value.get_ref().as_table() else {
            self.fail(
                at,
                format!(
                    "model {:?}: expected a table with input and output",
                    name.get_ref()
                ),
            );
            return None;
        };
        let mut names = vec![self.name(at, name.get_ref())];
        if let Some(others) = table.get("names") {
            match others.get_ref().as_array() {
                Some(others) => {
                    for other in others {
                        let at = other.span().start;
                        match other.get_ref().as_str() {
                            Some(other) => names.push(self.name(at, other)),
                            None => self.fail(at, "names: expected text".to_owned()),
                        }
                    }
                }
                None => self.fail(
                    others.span().start,
                    "names: expected a list, as in [\"a\", \"b\"]".to_owned(),
                ),
            }
        }
        let model = self.model(at, table, as_of);
        // Those of its fields name the model too.
        for (_, what) in &mut self.wrong[before..] {
            if !what.starts_with("model ") {
                *what = format!("model {:?}: {what}", name.get_ref());
            }
        }
        Some(Entry {
            names,
            model: model?,
        })
    }

    fn model(&mut self, at: usize, table: &DeTable<'t>, as_of: Option<&Arc<str>>) -> Option<Model> {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if !RATES.contains(&name) && !OTHERS.contains(&name) {
                self.fail(
                    key.span().start,
                    format!(
                        "{name:?} is none of {}, {}",
                        RATES.join(", "),
                        OTHERS.join(", ")
                    ),
                );
            }
        }
        let rates = self.rates(at, table, None);
        let tiers = table
            .get("above")
            .map_or_else(Box::default, |above| self.tiers(above, rates));
        let request = table
            .get("request")
            .map_or(Some(0), |value| self.amount("request", value, &PER_REQUEST));
        let context_window = table
            .get("context_window")
            .map(|value| self.count("context_window", value));
        let max_output = table
            .get("max_output")
            .map(|value| self.count("max_output", value));
        let own_date = table.get("as_of").map(|value| self.date("as_of", value));
        Some(Model {
            price: Some(Price {
                rates: rates?,
                tiers,
                request: request?,
            }),
            context_window: context_window.flatten(),
            max_output: max_output.flatten(),
            as_of: own_date.unwrap_or_else(|| as_of.cloned()),
        })
    }

    /// The rates of a model, or of one of its tiers, which may leave input or output as they are `below`.
    fn rates(&mut self, at: usize, table: &DeTable<'t>, below: Option<Rates>) -> Option<Rates> {
        let mut rate = |key: &str| {
            table
                .get(key)
                .map(|value| self.amount(key, value, &PER_MILLION))
        };
        let [input, output, cached_input, cache_write, reasoning] = RATES.map(&mut rate);
        let mut needed = |rate: Option<Option<u64>>, key: &str, below: Option<u64>| {
            if rate.is_none() && below.is_none() {
                self.fail(at, format!("{key} is missing"));
            }
            rate.unwrap_or(below)
        };
        let input = needed(input, "input", below.map(|below| below.input));
        let output = needed(output, "output", below.map(|below| below.output));
        Some(Rates {
            input: input?,
            output: output?,
            cached_input: cached_input.unwrap_or(input)?,
            cache_write: cache_write.unwrap_or(input)?,
            reasoning: reasoning.unwrap_or(output)?,
        })
    }

    /// One table, or an array of them by length.
    fn tiers(&mut self, above: &Value<'t>, base: Option<Rates>) -> Box<[Tier]> {
        let tables: Vec<&Value<'t>> = match above.get_ref() {
            DeValue::Array(tables) => tables.iter().collect(),
            _ => vec![above],
        };
        let mut tiers: Vec<Tier> = Vec::new();
        for value in tables {
            let at = value.span().start;
            let Some(table) = value.get_ref().as_table() else {
                self.fail(
                    at,
                    "above: expected a table with tokens, input and output".to_owned(),
                );
                continue;
            };
            for (key, _) in table {
                let name = key.get_ref().as_ref();
                if name != "tokens" && !RATES.contains(&name) {
                    self.fail(
                        key.span().start,
                        format!("above: {name:?} is none of tokens, {}", RATES.join(", ")),
                    );
                }
            }
            let tokens = table.get("tokens");
            if tokens.is_none() {
                self.fail(at, "above: tokens is missing".to_owned());
            }
            let tokens = tokens.and_then(|tokens| self.count("above: tokens", tokens));
            let rates = self.rates(at, table, base);
            if let (Some(above), Some(rates)) = (tokens, rates) {
                if tiers.last().is_some_and(|last| last.above >= above) {
                    self.fail(at, "above: the longest prompts come last".to_owned());
                }
                tiers.push(Tier { above, rates });
            }
        }
        tiers.into()
    }
}
