//! Judges a whole upstream answer: whether it is one, of which kind, what it used.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::invalid::{Invalid, kind, parse_object, refuse_error};
use super::quality::Quality;
use super::size::Size;
use super::usage::Usage;

mod plain;

/// Reasons with which a model ends an answer that it has finished, in any case of letters:
/// `OpenAI`'s, then Anthropic's, the open-weight servers', Gemini's and Cohere's.
pub(super) const GOOD_ENDINGS: [&str; 10] = [
    "stop",
    "tool_calls",
    "function_call",
    "end_turn",
    "stop_sequence",
    "tool_use",
    "eos",
    "eos_token",
    "complete",
    "completed",
];

/// Of these, the ones that promise calls.
const PROMISES: [&str; 2] = ["tool_calls", "function_call"];

/// Reasons with which a model ends an answer at the limit of tokens: `OpenAI`'s, Anthropic's and Gemini's, Mistral's.
pub(super) const CUT_OFF: [&str; 3] = ["length", "max_tokens", "model_length"];

/// Reasons with which a filter ends an answer: `OpenAI`'s, then Gemini's.
pub(super) const FILTERED: [&str; 6] = [
    "content_filter",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
];

/// So much of the name of a model that answered is kept (bytes): upstreams choose its length.
const MAX_MODEL: usize = 256;

/// What is to be known of a usable whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the provider counted, if it did.
    pub usage: Option<Usage>,
    /// The model that answered, if it says so; of very long names the beginning.
    pub model: Option<Arc<str>>,
    /// What kind of answer it is: that of its worst choice.
    pub quality: Quality,
    /// Bytes of generated text: content, reasoning, refusals and tool-call arguments.
    pub text: usize,
}

/// Reads the body of a whole 2xx answer; fails, saying why, if it is no usable completion.
pub fn read_answer(body: &[u8]) -> Result<Answer, Invalid> {
    match plain::read(body) {
        Some(answer) => Ok(answer),
        None => read_thoroughly(body),
    }
}

fn read_thoroughly(body: &[u8]) -> Result<Answer, Invalid> {
    let parsed = parse_object(body)?;
    let object = &parsed.object;
    refuse_error(object)?;
    let choices = choices_of(object)?;
    // A mended text is not what the model wrote: good enough for its client, not for others.
    let mut quality = if parsed.mended {
        Quality::Mended
    } else {
        Quality::Stop
    };
    let mut text = 0;
    for (at, choice) in choices.iter().enumerate() {
        let verdict = judge(at, choice)?;
        quality = quality.max(verdict.quality);
        text += verdict.text;
    }
    Ok(Answer {
        usage: object.get("usage").and_then(Usage::read),
        model: object.get("model").and_then(Value::as_str).map(clip),
        quality,
        text,
    })
}

/// The name of a model that answered, as much of it as is kept.
pub fn clip(model: &str) -> Arc<str> {
    model[..model.floor_char_boundary(MAX_MODEL)].into()
}

pub(super) fn choices_of(object: &Map<String, Value>) -> Result<&[Value], Invalid> {
    match object.get("choices") {
        None => Err(Invalid::new("it has no choices")),
        Some(Value::Array(choices)) if choices.is_empty() => {
            Err(Invalid::new("its choices are empty"))
        }
        Some(Value::Array(choices)) => Ok(choices),
        Some(other) => Err(Invalid::new(format!(
            "its choices are {}, not an array",
            kind(other)
        ))),
    }
}

pub(super) fn message_of(at: usize, choice: &Value) -> Result<&Map<String, Value>, Invalid> {
    let Some(choice) = choice.as_object() else {
        return Err(Invalid::new(format!(
            "choices[{at}] is {}, not an object",
            kind(choice)
        )));
    };
    match choice.get("message") {
        Some(Value::Object(message)) => Ok(message),
        None => Err(Invalid::new(format!("choices[{at}] has no message"))),
        Some(other) => {
            let kind = kind(other);
            Err(Invalid::new(format!(
                "choices[{at}].message is {kind}, not an object"
            )))
        }
    }
}

struct Verdict {
    quality: Quality,
    text: usize,
}

fn judge(at: usize, choice: &Value) -> Result<Verdict, Invalid> {
    if let Some(choice) = choice.as_object() {
        refuse_error(choice)?;
    }
    let message = message_of(at, choice)?;
    let ending = choice
        .get("finish_reason")
        .and_then(Value::as_str)
        .unwrap_or("");
    let content = message.get("content").unwrap_or(&Value::Null);
    let has = |key: &str| message.get(key).is_some_and(is_substantial);
    let calls = has("tool_calls") || has("function_call");
    let instead = calls
        || [
            "refusal",
            "audio",
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "images",
        ]
        .into_iter()
        .any(has);
    let cut_off = matches!(ending, "length" | "content_filter");
    let shaped = matches!(content, Value::String(_) | Value::Array(_));
    if !(shaped || instead || cut_off) {
        let kind = kind(content);
        return Err(Invalid::new(format!(
            "choices[{at}].message has neither content (it is {kind}) nor anything in its place"
        )));
    }
    let finished = quality_of(ending, calls);
    // A filter or a refusal may well leave nothing: then that is the answer.
    let explained = matches!(finished, Quality::ContentFilter | Quality::Refusal) || has("refusal");
    let says = is_substantial(content) || calls || has("audio") || has("images");
    let promised = PROMISES
        .iter()
        .any(|word| ending.eq_ignore_ascii_case(word));
    let callable = message.get("tool_calls").is_none_or(are_callable)
        && message
            .get("function_call")
            .is_none_or(|call| call.is_null() || has_arguments(call));
    let faults = [
        (Quality::Refusal, has("refusal")),
        (Quality::Empty, !says && !explained),
        (Quality::BrokenToolCalls, promised && !calls || !callable),
        (Quality::Unknown, !(shaped || content.is_null())),
    ];
    let quality = faults
        .into_iter()
        .filter_map(|(quality, applies)| applies.then_some(quality))
        .fold(finished, Ord::max);
    let text = Size::TEXTS
        .iter()
        .filter_map(|key| message.get(*key))
        .map(Size::of)
        .sum();
    Ok(Verdict { quality, text })
}

/// What the reason of an ending says, of an answer with or without calls.
fn quality_of(ending: &str, calls: bool) -> Quality {
    let is_of = |reasons: &[&str]| {
        reasons
            .iter()
            .any(|reason| ending.eq_ignore_ascii_case(reason))
    };
    if is_of(&GOOD_ENDINGS) {
        if calls {
            Quality::ToolCalls
        } else {
            Quality::Stop
        }
    } else if is_of(&CUT_OFF) {
        Quality::Length
    } else if is_of(&FILTERED) {
        Quality::ContentFilter
    } else if is_of(&["refusal"]) {
        Quality::Refusal
    } else if ending.is_empty() {
        Quality::Unfinished
    } else {
        Quality::Unknown
    }
}

fn is_substantial(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim_ascii().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

/// Whether a client can carry out the calls: what cannot be parsed now never will be.
fn are_callable(calls: &Value) -> bool {
    let Value::Array(calls) = calls else {
        return calls.is_null();
    };
    calls.iter().all(|call| match call.get("custom") {
        Some(custom) => custom.get("input").is_some_and(Value::is_string),
        None => call.get("function").is_some_and(has_arguments),
    })
}

fn has_arguments(function: &Value) -> bool {
    // Tools without parameters are called with an empty string by some models.
    function.get("name").is_some_and(is_substantial)
        && function
            .get("arguments")
            .and_then(Value::as_str)
            .is_some_and(|arguments| {
                arguments.trim_ascii().is_empty()
                    || serde_json::from_str::<IgnoredAny>(arguments).is_ok()
            })
}

#[cfg(test)]
mod tests;
