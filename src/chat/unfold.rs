//! Makes the chunks of a stream out of a whole answer, for callers that asked for a stream.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::{choices_of, message_of};
use super::invalid::{Invalid, parse_object, refuse_error};

/// Unfolds a whole answer into the data of a stream's events, without `[DONE]`.
///
/// Each choice gives one chunk with all of its message and one that finishes it. With
/// `include_usage` a last chunk holds the usage, if the answer has any. Fails if it is no answer.
pub fn unfold(whole: &[u8], include_usage: bool) -> Result<Vec<Bytes>, Invalid> {
    let object = parse_object(whole)?.object;
    refuse_error(&object)?;
    let choices = choices_of(&object)?;
    let indexes = indexes(choices);
    let mut firsts = Vec::with_capacity(choices.len());
    let mut finishes = Vec::with_capacity(choices.len());
    for (at, (choice, index)) in choices.iter().zip(indexes).enumerate() {
        let delta = delta(message_of(at, choice)?);
        let mut first = Map::new();
        let mut finish = Map::new();
        for (key, value) in choice.as_object().into_iter().flatten() {
            match key.as_str() {
                "index" | "message" | "finish_reason" => {}
                "logprobs" => _ = first.insert(key.clone(), value.clone()),
                _ => _ = finish.insert(key.clone(), value.clone()),
            }
        }
        let reason = choice.get("finish_reason").cloned().unwrap_or_default();
        for (fields, delta, reason) in [
            (&mut first, delta, Value::Null),
            (&mut finish, json!({}), reason),
        ] {
            fields.insert("index".to_owned(), json!(index));
            fields.insert("delta".to_owned(), delta);
            fields.insert("finish_reason".to_owned(), reason);
        }
        firsts.push(Value::Object(first));
        finishes.push(Value::Object(finish));
    }
    let mut envelope = Envelope::new(&object, include_usage);
    let mut chunks: Vec<_> = firsts
        .into_iter()
        .chain(finishes)
        .map(|choice| envelope.chunk(json!([choice])))
        .collect();
    if let Some(usage) = object
        .get("usage")
        .filter(|usage| include_usage && usage.is_object())
    {
        envelope.fields.insert("usage".to_owned(), usage.clone());
        chunks.push(envelope.chunk(json!([])));
    }
    Ok(chunks)
}

/// What stands around the choices of every chunk.
struct Envelope {
    fields: Map<String, Value>,
    /// Top-level lists and objects, such as citations, which need not be repeated.
    once: Map<String, Value>,
}

impl Envelope {
    fn new(whole: &Map<String, Value>, include_usage: bool) -> Self {
        let (once, mut fields): (Map<_, _>, Map<_, _>) = whole
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "object" | "choices" | "usage" | "error"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .partition(|(_, value)| value.is_array() || value.is_object());
        fields.insert("object".to_owned(), json!("chat.completion.chunk"));
        if include_usage {
            fields.insert("usage".to_owned(), Value::Null);
        }
        Self { fields, once }
    }

    fn chunk(&mut self, choices: Value) -> Bytes {
        let mut chunk = self.fields.clone();
        chunk.append(&mut self.once);
        chunk.insert("choices".to_owned(), choices);
        Value::Object(chunk).to_string().into()
    }
}

/// The choices' own indexes, or their positions if those are missing or ambiguous.
fn indexes(choices: &[Value]) -> Vec<u64> {
    let own: Option<Vec<_>> = choices
        .iter()
        .map(|choice| choice.get("index").and_then(Value::as_u64))
        .collect();
    own.filter(|own| own.iter().collect::<HashSet<_>>().len() == own.len())
        .unwrap_or_else(|| (0u64..).take(choices.len()).collect())
}

fn delta(message: &Map<String, Value>) -> Value {
    let mut delta = message.clone();
    delta.entry("role").or_insert_with(|| json!("assistant"));
    if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
        for (index, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call {
                call.insert("index".to_owned(), json!(index));
            }
        }
    }
    Value::Object(delta)
}

#[cfg(test)]
mod tests;
