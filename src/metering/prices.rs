//! What the tokens of a request cost, in whole nano-dollars, so that sums never drift.

use std::{collections::BTreeMap, sync::Arc};

use toml::{Table, Value};

const BUILT_IN: &str = include_str!("../../config/prices.toml");

/// Nano-USD per token in one USD per million tokens.
const NANO_PER_TOKEN: f64 = 1000.0;
/// The highest price accepted, in USD per million tokens.
const HIGHEST: f64 = 1_000_000.0;

/// Prices by model name; cheap to clone.
#[derive(Clone, Debug)]
pub struct PriceTable {
    models: Arc<BTreeMap<String, Price>>,
}

/// Nano-USD for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Price {
    input: u64,
    output: u64,
}

/// All that is wrong with a file of prices, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPrices(String);

impl PriceTable {
    /// Reads `[models."name"]` tables with `input` and `output` in USD per million tokens.
    pub fn from_toml(text: &str) -> Result<Self, BadPrices> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
            BadPrices(format!("line {line}: {}", error.message().trim()))
        })?;
        let (mut models, mut wrong) = (BTreeMap::new(), Vec::new());
        for (section, value) in &table {
            match value {
                Value::Table(found) if section == "models" => {
                    for (name, price) in found {
                        match Price::read(price) {
                            Ok(price) => _ = models.insert(name.clone(), price),
                            Err(error) => wrong.push(format!("model {name:?}: {error}")),
                        }
                    }
                }
                _ => wrong.push(format!("{section:?} is not [models.\"name\"]")),
            }
        }
        if wrong.is_empty() {
            Ok(Self {
                models: Arc::new(models),
            })
        } else {
            Err(BadPrices(wrong.join("; ")))
        }
    }

    /// The cost in nano-USD; `None` if the model has no price.
    pub fn nano_usd(&self, model: &str, prompt_tokens: u64, completion_tokens: u64) -> Option<u64> {
        let price = self.models.get(model)?;
        let input = price.input.saturating_mul(prompt_tokens);
        Some(input.saturating_add(price.output.saturating_mul(completion_tokens)))
    }
}

impl Default for PriceTable {
    fn default() -> Self {
        Self::from_toml(BUILT_IN).expect("the built-in prices are valid")
    }
}

impl Price {
    fn read(value: &Value) -> Result<Self, String> {
        let table = value
            .as_table()
            .ok_or("expected a table with input and output")?;
        if let Some(other) = table
            .keys()
            .find(|key| !["input", "output"].contains(&key.as_str()))
        {
            return Err(format!("{other:?} is neither input nor output"));
        }
        Ok(Self {
            input: nano(table, "input")?,
            output: nano(table, "output")?,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is whole, not negative and at most a billion"
)]
fn nano(table: &Table, key: &str) -> Result<u64, String> {
    let usd = match table.get(key) {
        Some(Value::Float(usd)) => *usd,
        // Larger whole numbers are above the highest price.
        Some(Value::Integer(usd)) => i32::try_from(*usd).map_or(f64::NAN, f64::from),
        Some(_) => return Err(format!("{key} is not a number")),
        None => return Err(format!("{key} is missing")),
    };
    if !(0.0..=HIGHEST).contains(&usd) {
        return Err(format!(
            "{key} is not from 0 to {HIGHEST} USD per million tokens"
        ));
    }
    let nano = usd * NANO_PER_TOKEN;
    // A decimal such as 0.075 has no exact binary form; the tolerance is far below the finest price.
    if (nano - nano.round()).abs() > 1e-6 {
        return Err(format!(
            "{key} = {usd} is finer than 0.001 USD per million tokens"
        ));
    }
    Ok(nano.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_models_are_priced() {
        let prices = PriceTable::default();
        let million = 1_000_000;
        for (model, input, output) in [
            ("anthropic/claude-sonnet-4", 3_000, 15_000),
            ("google/gemini-flash-1.5", 75, 300),
            ("openai/gpt-4o", 2_500, 10_000),
            ("gpt-4o-mini", 150, 600),
        ] {
            assert_eq!(
                prices.nano_usd(model, million, 0),
                Some(input * million),
                "{model}"
            );
            assert_eq!(prices.nano_usd(model, 0, 1), Some(output), "{model}");
            assert_eq!(
                prices.nano_usd(model, 2, 3),
                Some(2 * input + 3 * output),
                "{model}"
            );
        }
        assert_eq!(prices.nano_usd("unheard/of", 1, 1), None);
        assert_eq!(
            prices.nano_usd("gpt-4o", u64::MAX, u64::MAX),
            Some(u64::MAX)
        );
    }

    #[test]
    fn prices_are_whole_nano_dollars() {
        let one = |price: &str| {
            let text = format!("[models.m]\ninput = {price}\noutput = 0");
            PriceTable::from_toml(&text).map(|prices| prices.nano_usd("m", 1, 0))
        };
        assert_eq!(one("0.001"), Ok(Some(1)));
        assert_eq!(one("3"), Ok(Some(3000)));
        assert_eq!(one("1000000.0"), Ok(Some(1_000_000_000)));
        for price in [
            "0.0005",
            "-1",
            "-0.001",
            "nan",
            "inf",
            "1000001",
            "9999999999",
            "\"3\"",
        ] {
            assert!(one(price).is_err(), "{price}");
        }
    }

    #[test]
    fn all_mistakes_are_told() {
        let text = "[models.a]\ninput = 1\n[models.b]\ninput = 1\noutput = 2\ncached = 1\n[prices]";
        let error = PriceTable::from_toml(text).unwrap_err().to_string();
        for part in [
            "model \"a\": output is missing",
            "model \"b\": \"cached\"",
            "\"prices\"",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let error = PriceTable::from_toml("[models.a]\ninput = = 1")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
