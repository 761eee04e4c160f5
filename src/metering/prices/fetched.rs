//! Reads the prices that an upstream lists itself, as `OpenRouter` does at `GET /models`.

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::model::{Model, Price, Rates};
use super::{BadPrices, Entry};
use crate::metering::decimal::Decimal;

/// The power of ten between USD and pico-USD.
const POWER: i32 = 12;
/// A price above a dollar a token, or a million dollars a request, is a mistake of the list.
const HIGHEST: u64 = 10_u64.pow(12);
const HIGHEST_REQUEST: u64 = 10_u64.pow(18) - 1;
/// More models than any upstream has.
const MAX_MODELS: usize = 20_000;
/// Longer names are no names.
const MAX_NAME: usize = 200;

/// The prices that an upstream lists; laid over a table by [`PriceTable::with_fetched`](super::PriceTable::with_fetched).
#[derive(Clone, Debug)]
pub struct Fetched {
    pub(super) entries: Arc<[Entry]>,
    unread: usize,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Value>,
}

impl Fetched {
    /// Reads the list that was fetched on that day. A model that cannot be read is left out and counted.
    ///
    /// Prices are decimal strings in USD per token. A price of −1 means that it depends on where the request
    /// ends up: such a model has none. A zero for cached tokens or reasoning beside a price for the others
    /// means that nothing is charged in place of it, not that they are free. A price for cache writes below
    /// that of input is charged on top of it (so `OpenRouter` lists what Google charges for storage).
    pub fn from_models_json(body: &[u8], as_of: &str) -> Result<Self, BadPrices> {
        let list: List = serde_json::from_slice(body)
            .map_err(|error| BadPrices(format!("no list of models: {error}")))?;
        let as_of: Arc<str> = as_of.into();
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        let mut unread = list.data.len().saturating_sub(MAX_MODELS);
        for model in list.data.iter().take(MAX_MODELS) {
            match read(model, &as_of) {
                Some(entry) if seen.insert(Arc::clone(&entry.names[0])) => entries.push(entry),
                _ => unread += 1,
            }
        }
        if entries.is_empty() {
            return Err(BadPrices(format!(
                "a list of {unread} models, none with a name and prices"
            )));
        }
        Ok(Self {
            entries: entries.into(),
            unread,
        })
    }

    /// How many models the list has that could be read.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of the list could not be read.
    pub fn unread(&self) -> usize {
        self.unread
    }
}

/// What a price field says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// It depends.
    Dynamic,
    Picos(u64),
}

fn read(model: &Value, as_of: &Arc<str>) -> Option<Entry> {
    let name = model.get("id")?.as_str()?.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let pricing = model.get("pricing")?.as_object()?;
    let said = |key: &str, highest: u64| said(pricing.get(key), highest);
    let (input, output) = (said("prompt", HIGHEST)?, said("completion", HIGHEST)?);
    let price = match (input, output) {
        (Said::Nothing, _) | (_, Said::Nothing) => return None,
        (Said::Dynamic, _) | (_, Said::Dynamic) => None,
        (Said::Picos(input), Said::Picos(output)) => {
            let other = |key: &str, otherwise: u64| match said(key, HIGHEST) {
                Some(Said::Picos(price)) if price > 0 => price,
                _ => otherwise,
            };
            let write = other("input_cache_write", input);
            let request = match said("request", HIGHEST_REQUEST)? {
                Said::Picos(price) => price,
                Said::Nothing | Said::Dynamic => 0,
            };
            let rates = Rates {
                input,
                output,
                cached_input: other("input_cache_read", input),
                cache_write: if write < input { input + write } else { write },
                reasoning: other("internal_reasoning", output),
            };
            Some(Price {
                rates,
                tiers: Box::default(),
                request,
            })
        }
    };
    let window = |value: Option<&Value>| value?.as_u64().filter(|&tokens| tokens > 0);
    Some(Entry {
        names: vec![name.to_ascii_lowercase().into()],
        model: Model {
            price,
            context_window: window(model.get("context_length")),
            max_output: window(model.pointer("/top_provider/max_completion_tokens")),
            as_of: Some(Arc::clone(as_of)),
        },
    })
}

/// `None` if it is there and no price.
fn said(value: Option<&Value>, highest: u64) -> Option<Said> {
    let text = match value {
        None | Some(Value::Null) => return Some(Said::Nothing),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return None,
    };
    if text.is_empty() {
        return Some(Said::Nothing);
    }
    if text
        .strip_prefix('-')
        .and_then(Decimal::read)
        .and_then(|price| price.exact(0))
        == Some(1)
    {
        return Some(Said::Dynamic);
    }
    let picos = Decimal::read(&text)?.rounded(POWER)?;
    (picos <= highest).then_some(Said::Picos(picos))
}

#[cfg(test)]
mod tests;
