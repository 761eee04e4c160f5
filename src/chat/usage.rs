//! What an answer cost, as its provider counted it or as an estimate.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use super::answer::clip;
use crate::metering::nano_usd;

/// No call has so many tokens. Who counts more is mistaken, and one mistake must not spoil all sums.
pub(super) const MOST_TOKENS: u64 = 1_000_000_000_000;
/// No call costs so much: a million dollars.
pub(super) const HIGHEST_COST: u64 = 1_000_000_000_000_000;

/// How sure the figures of a [`Usage`] are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The provider counted them.
    #[default]
    Reported,
    /// They were counted here, with the model's own vocabulary.
    Exact,
    /// They are a guess.
    Estimated,
}

/// The tokens of one call, and its price where the provider tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Both together, as the provider says; their sum if it does not.
    pub total_tokens: u64,
    /// How many of the prompt's tokens the provider's own prompt cache served.
    pub cached_tokens: u64,
    /// How many of the prompt's tokens were put into that cache, where the provider bills them by themselves.
    pub cache_write_tokens: u64,
    /// How many of the answer's tokens nobody sees: those of the model's reasoning.
    pub reasoning_tokens: u64,
    /// What the call cost in nano-dollars: as the provider says, else, once it is paid for, by the table.
    pub cost_nano_usd: Option<u64>,
    /// How sure all this is.
    pub certainty: Certainty,
}

// === impl Certainty ===

impl Certainty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reported, Self::Exact, Self::Estimated];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Exact => "exact",
            Self::Estimated => "estimated",
        }
    }
}

// === impl Usage ===

impl Usage {
    /// Usage as OpenAI writes it, marked where it is an estimate.
    pub fn to_json(self) -> Value {
        let mut json = json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        });
        if self.is_estimated() {
            json["estimated"] = true.into();
        }
        json
    }

    /// Whether the figures are a guess.
    pub fn is_estimated(self) -> bool {
        self.certainty == Certainty::Estimated
    }

    /// The usage of an answer whose upstream reported none: `prompt_tokens` as estimated, and a token for
    /// every four bytes of generated text, as `OpenAI` counts English.
    pub fn estimated(prompt_tokens: u64, text_bytes: usize) -> Self {
        let completion_tokens = text_bytes.div_ceil(4) as u64;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            certainty: Certainty::Estimated,
            ..Self::default()
        }
    }

    /// Both together; as sure as the less sure of them, and without the price that only one of them tells.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: u64, other: u64| one.saturating_add(other);
        Self {
            prompt_tokens: sum(self.prompt_tokens, other.prompt_tokens),
            completion_tokens: sum(self.completion_tokens, other.completion_tokens),
            total_tokens: sum(self.total_tokens, other.total_tokens),
            cached_tokens: sum(self.cached_tokens, other.cached_tokens),
            cache_write_tokens: sum(self.cache_write_tokens, other.cache_write_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
            cost_nano_usd: self
                .cost_nano_usd
                .zip(other.cost_nano_usd)
                .map(|(one, other)| sum(one, other)),
            certainty: self.certainty.max(other.certainty),
        }
    }

    /// Reads a `usage` object; one without a single token counts as none.
    pub fn read(usage: &Value) -> Option<Self> {
        let count = |keys: &[&str]| keys.iter().find_map(|key| tokens(usage.pointer(key)?));
        let prompt_tokens = count(&["/prompt_tokens"])
            .or_else(|| {
                let input = count(&["/input_tokens"])?;
                // Anthropic counts those of its cache beside the others.
                let cached = count(&["/cache_read_input_tokens"]).unwrap_or(0);
                let written = count(&["/cache_creation_input_tokens"]).unwrap_or(0);
                Some(input + cached + written)
            })
            .unwrap_or(0);
        let completion_tokens = count(&["/completion_tokens", "/output_tokens"]).unwrap_or(0);
        let sum = prompt_tokens.saturating_add(completion_tokens);
        let total_tokens = count(&["/total_tokens"])
            .filter(|&total| total > 0)
            .unwrap_or(sum);
        // Those of OpenAI's two APIs, Anthropic's, DeepSeek's and Moonshot's.
        let cached_tokens = count(&[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
            "/cache_read_input_tokens",
            "/prompt_cache_hit_tokens",
            "/cached_tokens",
        ]);
        (total_tokens > 0).then(|| Self {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cached_tokens: cached_tokens.unwrap_or(0).min(prompt_tokens),
            // OpenRouter's name, and Anthropic's.
            cache_write_tokens: count(&[
                "/prompt_tokens_details/cache_write_tokens",
                "/cache_creation_input_tokens",
            ])
            .unwrap_or(0)
            .min(prompt_tokens),
            reasoning_tokens: count(&[
                "/completion_tokens_details/reasoning_tokens",
                "/output_tokens_details/reasoning_tokens",
            ])
            .unwrap_or(0)
            .min(completion_tokens),
            cost_nano_usd: usage.get("cost").and_then(Value::as_number).and_then(cost),
            certainty: Certainty::Reported,
        })
    }
}

/// What OpenRouter says that a call cost: dollars, as a number that prints as it was written.
pub(super) fn cost(usd: &Number) -> Option<u64> {
    nano_usd(&usd.to_string()).filter(|cost| *cost <= HIGHEST_COST)
}

fn tokens(count: &Value) -> Option<u64> {
    // Servers written in JavaScript or Lua may write 12.0.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and no count of tokens is near the limits"
    )]
    count
        .as_u64()
        .or_else(|| count.as_f64().map(|count| count as u64))
        .filter(|count| *count <= MOST_TOKENS)
}

/// Adds a usage that was counted here to a whole answer that has none: SDKs expect one, and an estimate says that it
/// is one.
pub fn with_usage(body: Bytes, usage: Usage) -> Bytes {
    if usage.certainty == Certainty::Reported || !body.ends_with(b"}") || has_usage(&body) {
        return body;
    }
    let usage = usage.to_json().to_string();
    // Of just that size, for caches keep it.
    let parts = [
        &body[..body.len() - 1],
        b",\"usage\":",
        usage.as_bytes(),
        b"}",
    ];
    parts.concat().into()
}

/// The usage and the model of another answer than a chat completion, such as embeddings, where it tells them.
pub fn usage_of(body: &[u8]) -> Option<(Usage, Option<Arc<str>>)> {
    #[derive(Deserialize)]
    struct Told {
        usage: Option<Value>,
        model: Option<Value>,
    }
    // Most answers of lists and the like have none, and need not be read for that.
    memchr::memmem::find(body, b"\"usage\"")?;
    let told: Told = serde_json::from_slice(body).ok()?;
    let usage = Usage::read(&told.usage?)?;
    let model = told.model.as_ref().and_then(Value::as_str).map(clip);
    Some((usage, model))
}

fn has_usage(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        usage: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(body).is_ok_and(|probe| probe.usage.is_some())
}
