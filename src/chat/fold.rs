//! Makes the whole answer of a stream's chunks, for callers and caches that want it in one piece.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::invalid::{Invalid, parse_object};
use super::merge::{finish_calls, merge_message, set};
use super::usage::Usage;
use super::watch::{MAX_CHOICES, deltas_of, too_many_choices};

use plain::Repeated;

mod plain;

/// Folds the data of a stream's events, without `[DONE]`, into one `chat.completion`.
///
/// Fails if a chunk is broken or reports an error, or if there is no choice. Whether the stream
/// ended well is not asked here: an answer of a cut stream has a null `finish_reason`, so that
/// [`read_answer`](super::read_answer) finds it [`Unfinished`](super::Quality::Unfinished).
pub fn fold<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Invalid> {
    fold_by(chunks, plain::fold)
}

/// How a chunk is folded that needs no thorough reading.
type Shortcut<'a> = fn(
    &'a [u8],
    &Map<String, Value>,
    &mut BTreeMap<u64, Map<String, Value>>,
    &mut Repeated<'a>,
) -> Option<()>;

fn fold_by<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    shortcut: Shortcut<'a>,
) -> Result<Vec<u8>, Invalid> {
    let mut whole = Map::new();
    let mut choices = BTreeMap::<u64, Map<String, Value>>::new();
    let mut repeated = Repeated::default();
    for data in chunks {
        if shortcut(data, &whole, &mut choices, &mut repeated).is_some() {
            continue;
        }
        repeated.flush(&mut whole);
        let parsed = parse_object(data)?;
        if parsed.mended {
            return Err(Invalid::new(
                "a chunk holds half a character, which cannot be joined",
            ));
        }
        for (choice, delta) in deltas_of(&parsed.object)? {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            if choices.len() == MAX_CHOICES && !choices.contains_key(&index) {
                return Err(too_many_choices());
            }
            fold_choice(choices.entry(index).or_default(), choice, delta)?;
        }
        fold_rest(&mut whole, parsed.object);
    }
    repeated.flush(&mut whole);
    if choices.is_empty() {
        return Err(Invalid::new("the stream had no choices"));
    }
    let choices = choices
        .into_iter()
        .map(|(index, choice)| finish(index, choice))
        .collect();
    whole.insert("object".to_owned(), json!("chat.completion"));
    whole.insert("choices".to_owned(), Value::Array(choices));
    Ok(Value::Object(whole).to_string().into_bytes())
}

fn fold_rest(whole: &mut Map<String, Value>, object: Map<String, Value>) {
    for (key, value) in object {
        match key.as_str() {
            // Obfuscation pads single chunks against traffic analysis and means nothing in a whole.
            "choices" | "object" | "obfuscation" | "error" => {}
            // Some servers send zeros until they have counted; what is no object counts nothing.
            "usage"
                if !value.is_object()
                    || Usage::read(&value).is_none() && whole.contains_key(&key) => {}
            _ => set(whole, key, value),
        }
    }
}

fn fold_choice(
    whole: &mut Map<String, Value>,
    choice: &Map<String, Value>,
    delta: Option<&Map<String, Value>>,
) -> Result<(), Invalid> {
    if let Some(delta) = delta {
        let message = whole
            .entry("message")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(message) = message {
            merge_message(message, delta)?;
        }
    }
    for (key, value) in choice {
        match key.as_str() {
            "index" | "delta" | "message" | "error" => {}
            "logprobs" => fold_logprobs(whole, value),
            _ => set(whole, key.clone(), value.clone()),
        }
    }
    Ok(())
}

fn fold_logprobs(whole: &mut Map<String, Value>, logprobs: &Value) {
    let known = whole.entry("logprobs").or_insert(Value::Null);
    match (known, logprobs) {
        (Value::Object(known), Value::Object(new)) => {
            for (key, value) in new {
                match (known.get_mut(key), value) {
                    (Some(Value::Array(known)), Value::Array(new)) => known.extend(new.clone()),
                    _ => set(known, key.clone(), value.clone()),
                }
            }
        }
        (known @ Value::Null, new) => *known = new.clone(),
        _ => {}
    }
}

fn finish(index: u64, mut choice: Map<String, Value>) -> Value {
    choice.insert("index".to_owned(), json!(index));
    choice.entry("finish_reason").or_insert(Value::Null);
    let message = choice
        .entry("message")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(message) = message {
        message.entry("role").or_insert_with(|| json!("assistant"));
        message.entry("content").or_insert(Value::Null);
        finish_calls(message);
    }
    Value::Object(choice)
}

#[cfg(test)]
mod tests;
