//! What the tokens of a request cost, in whole nano-dollars, so that sums never drift.
//!
//! Prices come from three places. Of two that know a model the one that is named first here counts:
//!
//! 1. the operator's file (`metering.prices_file`), which is there to correct the others;
//! 2. the upstream's own list, where it offers one ([`Fetched`]);
//! 3. the table in the binary (`prices/table.toml`), whose date is told.
//!
//! What an upstream reports as the cost of a call stands above all of them; it is not asked here. An entry
//! that replaces another holds under all of the other's names too, but for those that its own layer lists.
//! A model that none knows has no price: nothing is guessed.
//!
//! Rates are whole pico-dollars per token, read from the text digit for digit; a call's cost is their sum
//! over its tokens, rounded once to nano-dollars, half up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use foldhash::fast::RandomState;
use model::{Model, Price};
use names::Found;

pub use fetched::Fetched;
pub use model::Tokens;

mod fetched;
mod file;
mod model;
mod names;
#[cfg(test)]
mod tests;

const TABLE: &str = include_str!("prices/table.toml");
/// Its lines are read so many at a time: the tree of all of them would be a tenth of what an idle process holds.
const AT_ONCE: usize = 16;

static BUILT_IN: LazyLock<Vec<Entry>> =
    LazyLock::new(|| built_in().expect("the built-in prices are valid"));

/// The entries of the table in the binary, which has a model in each line.
fn built_in() -> Result<Vec<Entry>, BadPrices> {
    let (head, models) = TABLE.split_once("[models]\n").unwrap_or((TABLE, ""));
    let mut entries = Vec::new();
    let mut lines = models.lines();
    loop {
        let some: Vec<_> = lines.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        entries.extend(file::read(&format!("{head}[models]\n{}", some.join("\n")))?);
    }
    entries.sort_by(|one: &Entry, other| one.names.first().cmp(&other.names.first()));
    Ok(entries)
}

/// Prices by model name; cheap to clone.
#[derive(Clone, Debug)]
pub struct PriceTable {
    index: Arc<Index>,
    /// The operator's entries, which stay above whatever is fetched.
    own: Arc<[Entry]>,
}

/// A model of a file or a list, under each of its names, in lower case.
#[derive(Clone, Debug)]
struct Entry {
    names: Vec<Arc<str>>,
    model: Model,
}

#[derive(Debug, Default)]
struct Index {
    models: Vec<Model>,
    /// The first name of each model.
    first: Vec<Arc<str>>,
    names: HashMap<Arc<str>, usize, RandomState>,
}

/// All that is wrong with a file of prices, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPrices(String);

// === impl PriceTable ===

impl PriceTable {
    /// The built-in table with an operator's file laid over it; `config/prices.toml` shows the layout.
    pub fn from_toml(text: &str) -> Result<Self, BadPrices> {
        Ok(Self::new(None, file::read(text)?.into()))
    }

    /// The same table with an upstream's list in the place of the one before.
    #[must_use]
    pub fn with_fetched(self, fetched: &Fetched) -> Self {
        Self::new(Some(fetched), self.own)
    }

    fn new(fetched: Option<&Fetched>, own: Arc<[Entry]>) -> Self {
        let mut index = Index::default();
        index.lay(&BUILT_IN);
        if let Some(fetched) = fetched {
            index.lay(&fetched.entries);
        }
        index.lay(&own);
        Self {
            index: Arc::new(index),
            own,
        }
    }

    /// What a call costs in nano-dollars, by the model that served it if that has a price, else by the one that
    /// was asked for; `None` if neither has.
    pub fn cost(&self, model: &str, served: Option<&str>, tokens: &Tokens) -> Option<u64> {
        Some(self.rated(model, served)?.cost(tokens))
    }

    /// What a call would have cost more with so many uncached tokens of input more; long prompts cost more a
    /// token, so this is no product.
    pub fn cost_of_more_input(
        &self,
        model: &str,
        served: Option<&str>,
        tokens: &Tokens,
        by: u64,
    ) -> Option<u64> {
        let rated = self.rated(model, served)?;
        let more = rated.cost(&tokens.with_more_prompt(by));
        Some(more.saturating_sub(rated.cost(tokens)))
    }

    /// What the provider's own cache saved: the call's cost, had it held nothing, less its cost.
    pub fn cached_discount(
        &self,
        model: &str,
        served: Option<&str>,
        tokens: &Tokens,
    ) -> Option<u64> {
        let rated = self.rated(model, served)?;
        let uncached = rated.cost(&Tokens {
            cached: 0,
            ..*tokens
        });
        Some(uncached.saturating_sub(rated.cost(tokens)))
    }

    /// What putting a part of its prompt into the provider's cache cost more than not doing so.
    pub fn write_surcharge(
        &self,
        model: &str,
        served: Option<&str>,
        tokens: &Tokens,
    ) -> Option<u64> {
        let rated = self.rated(model, served)?;
        let unwritten = rated.cost(&Tokens {
            cache_write: 0,
            ..*tokens
        });
        Some(rated.cost(tokens).saturating_sub(unwritten))
    }

    /// From which share of second comings on it pays to put a prompt's beginning into the provider's cache: what that
    /// costs more, by what each use of it costs less. `None` where the table has no price, or its use saves nothing.
    pub fn cache_break_even(&self, model: &str) -> Option<f64> {
        let Rated::At(price) = self.rated(model, None)? else {
            return None;
        };
        let rates = &price.rates;
        let saved = rates.input.checked_sub(rates.cached_input)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio of prices need not be exact"
        )]
        let share = |part: u64| (saved > 0).then(|| part as f64 / saved as f64);
        share(rates.cache_write.saturating_sub(rates.input))
    }

    /// The most tokens that a prompt and its answer may have together.
    pub fn context_window(&self, model: &str, served: Option<&str>) -> Option<u64> {
        self.facts(model, served)
            .find_map(|model| model.context_window)
    }

    /// The most tokens that an answer may have.
    pub fn max_output(&self, model: &str, served: Option<&str>) -> Option<u64> {
        self.facts(model, served).find_map(|model| model.max_output)
    }

    /// The day that a model's price is of, as in `2026-11-09`; `None` where it has none, or its file names none.
    pub fn as_of(&self, model: &str, served: Option<&str>) -> Option<&str> {
        let priced = self
            .facts(model, served)
            .find(|model| model.price.is_some());
        priced?.as_of.as_deref()
    }

    fn rated(&self, model: &str, served: Option<&str>) -> Option<Rated<'_>> {
        // Who asks for the free variant does not pay, even if the answer names the model without the suffix.
        let served = served.filter(|_| !model.ends_with(":free"));
        served
            .into_iter()
            .chain([model])
            .find_map(|name| match self.index.find(name)? {
                Found::Free(_) => Some(Rated::Free),
                Found::Listed(model) => model.price.as_ref().map(Rated::At),
            })
    }

    /// What is known about the model that served, then about the one that was asked for.
    fn facts(&self, model: &str, served: Option<&str>) -> impl Iterator<Item = &Model> {
        let known = |name| match self.index.find(name)? {
            Found::Free(model) => model,
            Found::Listed(model) => Some(model),
        };
        [served.and_then(known), known(model)].into_iter().flatten()
    }
}

impl Default for PriceTable {
    fn default() -> Self {
        static TABLE: LazyLock<PriceTable> =
            LazyLock::new(|| PriceTable::new(None, Arc::default()));
        TABLE.clone()
    }
}

/// How a call is priced.
enum Rated<'a> {
    Free,
    At(&'a Price),
}

impl Rated<'_> {
    fn cost(&self, tokens: &Tokens) -> u64 {
        match self {
            Self::Free => 0,
            Self::At(price) => price.cost(tokens),
        }
    }
}

// === impl Index ===

impl Index {
    fn find(&self, name: &str) -> Option<Found<&Model>> {
        names::find(name, |name| {
            self.names.get(name).map(|&model| &self.models[model])
        })
    }

    /// Puts entries above those that are there.
    fn lay(&mut self, entries: &[Entry]) {
        let below = self.models.len();
        // The models below that are replaced. Where two entries name the same one, the one counts that has its
        // first name: openai/gpt-4o means the model more than a snapshot of it does.
        let mut heirs: BTreeMap<usize, usize> = BTreeMap::new();
        for by_first in [false, true] {
            for (at, entry) in entries.iter().enumerate() {
                for name in &entry.names {
                    if let Some(&old) = self.names.get(name)
                        && (self.first[old] == *name) == by_first
                    {
                        heirs.insert(old, below + at);
                    }
                }
            }
        }
        for entry in entries {
            self.models.push(entry.model.clone());
            self.first.push(Arc::clone(&entry.names[0]));
        }
        for (&old, &heir) in &heirs {
            let (olds, heirs) = self.models.split_at_mut(below);
            heirs[heir - below].inherit(&olds[old]);
        }
        for model in self.names.values_mut() {
            *model = heirs.get(model).copied().unwrap_or(*model);
        }
        for (at, entry) in entries.iter().enumerate() {
            for name in &entry.names {
                self.names.insert(Arc::clone(name), below + at);
            }
        }
    }
}
