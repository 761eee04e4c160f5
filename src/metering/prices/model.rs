//! What one model costs, and how much it reads and writes at most.

use std::sync::Arc;

/// Pico-dollars in a nano-dollar.
const PICO_PER_NANO: u128 = 1000;

/// The tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the request.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Of the prompt, those that the provider's own cache held.
    pub cached: u64,
    /// Of the prompt, those that the provider put into its own cache.
    pub cache_write: u64,
    /// Of the completion, those that the model reasoned with.
    pub reasoning: u64,
}

/// What is known about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// `None`: the price is not fixed.
    pub(super) price: Option<Price>,
    pub(super) context_window: Option<u64>,
    pub(super) max_output: Option<u64>,
    /// The date of these facts, as in 2026-11-09; `None` if the operator gave none.
    pub(super) as_of: Option<Arc<str>>,
}

/// The price of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Price {
    /// Of a prompt of any length, unless a tier below says otherwise.
    pub(super) rates: Rates,
    /// Long prompts, the shortest first.
    pub(super) tiers: Box<[Tier]>,
    /// Pico-dollars for the call itself.
    pub(super) request: u64,
}

/// Pico-dollars per token: a dollar per million tokens is a million of them, so that the finest prices on the
/// market (0.0375 dollars per million is 37.5 nano-dollars a token) are whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached_input: u64,
    pub(super) cache_write: u64,
    pub(super) reasoning: u64,
}

/// Other rates for all tokens of a call whose prompt is longer than so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    pub(super) above: u64,
    pub(super) rates: Rates,
}

// === impl Tokens ===

impl Tokens {
    /// The same with so many more uncached tokens of the prompt.
    #[must_use]
    pub fn with_more_prompt(self, by: u64) -> Self {
        let prompt = self.prompt.saturating_add(by);
        Self { prompt, ..self }
    }
}

// === impl Model ===

impl Model {
    /// Takes over what it does not say itself. Long prompts keep their dearer rates where the others are the
    /// same: a list that has no tiers only leaves them out.
    pub(super) fn inherit(&mut self, other: &Self) {
        self.context_window = self.context_window.or(other.context_window);
        self.max_output = self.max_output.or(other.max_output);
        if let (Some(price), Some(other)) = (&mut self.price, &other.price)
            && price.tiers.is_empty()
            && price.rates.input == other.rates.input
            && price.rates.output == other.rates.output
        {
            price.tiers.clone_from(&other.tiers);
        }
    }
}

// === impl Price ===

impl Price {
    /// What the call costs in nano-dollars, rounded once, half up. Parts are clamped to their wholes.
    pub(super) fn cost(&self, tokens: &Tokens) -> u64 {
        let rates = self.rates(tokens.prompt);
        let cached = tokens.cached.min(tokens.prompt);
        let written = tokens.cache_write.min(tokens.prompt - cached);
        let reasoning = tokens.reasoning.min(tokens.completion);
        let picos: u128 = [
            (rates.input, tokens.prompt - cached - written),
            (rates.cached_input, cached),
            (rates.cache_write, written),
            (rates.output, tokens.completion - reasoning),
            (rates.reasoning, reasoning),
            (self.request, 1),
        ]
        .iter()
        // Rates are below 2^60, so that six such products stay below 2^128.
        .map(|&(rate, count)| u128::from(rate) * u128::from(count))
        .sum();
        u64::try_from((picos + PICO_PER_NANO / 2) / PICO_PER_NANO).unwrap_or(u64::MAX)
    }

    fn rates(&self, prompt: u64) -> &Rates {
        let tier = self.tiers.iter().rfind(|tier| prompt > tier.above);
        tier.map_or(&self.rates, |tier| &tier.rates)
    }
}
