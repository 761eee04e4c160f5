//! What an answer cost, as its provider counted it or as an estimate.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The tokens that a provider counted for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Both together, as the provider says; their sum if it does not.
    pub total_tokens: u64,
    /// How many of the prompt's tokens the provider's own prompt cache served.
    pub cached_tokens: u64,
    /// Whether the figures are an estimate; those read from an answer are not.
    pub estimated: bool,
}

impl Usage {
    /// Usage as OpenAI writes it, marked where it is an estimate.
    pub fn to_json(self) -> Value {
        let mut json = json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        });
        if self.estimated {
            json["estimated"] = true.into();
        }
        json
    }

    /// The usage of an answer whose upstream reported none: `prompt_tokens` as estimated, and a token for
    /// every four bytes of generated text, as `OpenAI` counts English.
    pub fn estimated(prompt_tokens: u64, text_bytes: usize) -> Self {
        let completion_tokens = text_bytes.div_ceil(4) as u64;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            cached_tokens: 0,
            estimated: true,
        }
    }

    /// Reads a `usage` object; one without a single token counts as none.
    pub fn read(usage: &Value) -> Option<Self> {
        let count = |keys: &[&str]| keys.iter().find_map(|key| tokens(usage.pointer(key)?));
        let prompt_tokens = count(&["/prompt_tokens", "/input_tokens"]).unwrap_or(0);
        let completion_tokens = count(&["/completion_tokens", "/output_tokens"]).unwrap_or(0);
        let sum = prompt_tokens.saturating_add(completion_tokens);
        let total_tokens = count(&["/total_tokens"])
            .filter(|&total| total > 0)
            .unwrap_or(sum);
        // The last two are DeepSeek's and Moonshot's.
        let cached_tokens = count(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cached_tokens",
        ]);
        (total_tokens > 0).then(|| Self {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cached_tokens: cached_tokens.unwrap_or(0).min(prompt_tokens),
            estimated: false,
        })
    }
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
}

/// Adds an estimated usage to a whole answer that has none: SDKs expect one, and it says that it is
/// estimated.
pub fn with_usage(body: Bytes, usage: Usage) -> Bytes {
    if !usage.estimated || !body.ends_with(b"}") || has_usage(&body) {
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

fn has_usage(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        usage: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(body).is_ok_and(|probe| probe.usage.is_some())
}
