//! The answer that most are: some text, finished, and what it used. It is judged without a tree of all its values; whatever
//! else there is in it is left to the thorough reading.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Number;

use super::{Answer, GOOD_ENDINGS, PROMISES, Quality, Usage};
use crate::chat::object::Object;
use crate::chat::usage::{self, Certainty};
use crate::json::end_of_string;

#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    choices: Vec<Object<Choice<'a>>>,
    usage: Option<Object<Counts>>,
    error: Option<IgnoredAny>,
    object: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Cow<'a, str>,
    error: Option<IgnoredAny>,
    object: Option<IgnoredAny>,
}

/// Fields that are null are as if they were not there.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    tool_calls: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    refusal: Option<IgnoredAny>,
    audio: Option<IgnoredAny>,
    images: Option<IgnoredAny>,
    reasoning: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
    reasoning_details: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Option<Object<Details>>,
    prompt_cache_hit_tokens: Option<IgnoredAny>,
    cached_tokens: Option<IgnoredAny>,
    /// What else providers call the first two.
    input_tokens: Option<IgnoredAny>,
    output_tokens: Option<IgnoredAny>,
    cache_creation_input_tokens: Option<IgnoredAny>,
    completion_tokens_details: Option<Object<Reasoning>>,
    cost: Option<Number>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Reasoning {
    reasoning_tokens: Option<u64>,
}

/// What there is to know of a plain answer; `None` of any other, be it good or bad.
pub(super) fn read(body: &[u8]) -> Option<Answer> {
    if !is_harmless(body) {
        return None;
    }
    let Object(plain): Object<Plain<'_>> =
        serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    let is_error = plain.error.is_some() || plain.object.as_deref() == Some("error");
    if is_error || plain.choices.is_empty() {
        return None;
    }
    let mut text = 0;
    for Object(choice) in &plain.choices {
        let Object(message) = &choice.message;
        let has_more = message.tool_calls.is_some()
            || message.function_call.is_some()
            || message.refusal.is_some()
            || message.audio.is_some()
            || message.images.is_some()
            || message.reasoning.is_some()
            || message.reasoning_content.is_some()
            || message.reasoning_details.is_some()
            || choice.error.is_some()
            || choice.object.is_some();
        // A call that was promised and is not there makes a bad answer.
        let is_finished = GOOD_ENDINGS.iter().any(|ending| {
            !PROMISES.contains(ending) && choice.finish_reason.eq_ignore_ascii_case(ending)
        });
        if has_more || !is_finished || message.content.trim_ascii().is_empty() {
            return None;
        }
        text += message.content.len();
    }
    let usage = match plain.usage {
        None => None,
        Some(Object(counts)) => Some(counts.read()?),
    };
    Some(Answer {
        usage,
        model: plain.model.as_deref().map(super::clip),
        quality: Quality::Stop,
        text,
    })
}

/// Whether nothing can hide in what is skipped that the thorough reading would not take: half characters, numbers that
/// no float holds, brackets without end.
fn is_harmless(body: &[u8]) -> bool {
    const DEEPEST: usize = 100;
    /// Of the parts of a number that is sure to be one: its digits, and those of its exponent.
    const LONGEST: (usize, usize) = (200, 2);
    if [b"\\ud", b"\\uD"]
        .iter()
        .any(|half| memchr::memmem::find(body, *half).is_some())
    {
        return false;
    }
    let (mut at, mut brackets, mut digits, mut is_exponent) = (0, 0, 0, false);
    while let Some(&byte) = body.get(at) {
        match byte {
            // Strings are most of an answer, and need no look but the one above.
            b'"' => {
                at = end_of_string(body, at);
                continue;
            }
            b'{' | b'[' => brackets += 1,
            b'e' | b'E' => (digits, is_exponent) = (0, true),
            b'+' | b'-' => {}
            b'0'..=b'9' => digits += 1,
            _ => (digits, is_exponent) = (0, false),
        }
        let longest = if is_exponent { LONGEST.1 } else { LONGEST.0 };
        if digits > longest || brackets > DEEPEST {
            return false;
        }
        at += 1;
    }
    true
}

impl Counts {
    fn read(self) -> Option<Usage> {
        let has_more = self.prompt_cache_hit_tokens.is_some()
            || self.cached_tokens.is_some()
            || self.input_tokens.is_some()
            || self.output_tokens.is_some()
            || self.cache_creation_input_tokens.is_some();
        if has_more || self.total_tokens == 0 {
            return None;
        }
        let (cached, written) = match self.prompt_tokens_details {
            Some(Object(details)) => (details.cached_tokens, details.cache_write_tokens),
            None => (None, None),
        };
        let reasoning = self
            .completion_tokens_details
            .and_then(|Object(details)| details.reasoning_tokens);
        Some(Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            total_tokens: self.total_tokens,
            cached_tokens: cached.unwrap_or(0).min(self.prompt_tokens),
            cache_write_tokens: written.unwrap_or(0).min(self.prompt_tokens),
            reasoning_tokens: reasoning.unwrap_or(0).min(self.completion_tokens),
            cost_nano_usd: self.cost.as_ref().and_then(usage::cost),
            certainty: Certainty::Reported,
        })
    }
}
