//! Grows a whole message out of a stream's deltas, each field in the way that providers cut it.

use serde_json::map::Entry;
use serde_json::{Map, Value, json};

use super::invalid::Invalid;

/// Array items that providers cut in two, so that an item may continue the one before it.
const CUT_TYPES: [&str; 4] = ["text", "thinking", "reasoning.text", "reasoning.summary"];

/// The last value wins, but nothing is lost to a later null or empty string.
pub(super) fn set(fields: &mut Map<String, Value>, key: impl Into<String>, value: Value) {
    match fields.entry(key) {
        Entry::Vacant(slot) => {
            slot.insert(value);
        }
        Entry::Occupied(mut slot) => {
            let empty = value.is_null() || value.as_str() == Some("") && !slot.get().is_null();
            if !empty {
                slot.insert(value);
            }
        }
    }
}

fn set_once(fields: &mut Map<String, Value>, key: &str, value: &Value) {
    let known = fields
        .get(key)
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty());
    if !known {
        set(fields, key, value.clone());
    }
}

/// Adds one delta to the message; fails where the pieces cannot be joined.
pub(super) fn merge_message(
    message: &mut Map<String, Value>,
    delta: &Map<String, Value>,
) -> Result<(), Invalid> {
    for (key, value) in delta {
        match (key.as_str(), value) {
            // In a whole message these two say "none"; any other field does so by being absent.
            ("content" | "refusal", Value::Null) => set(message, key, Value::Null),
            (_, Value::Null) => {}
            ("tool_calls", Value::Array(calls)) => {
                let known = message.entry(key).or_insert_with(|| json!([]));
                if let Value::Array(known) = known {
                    calls.iter().try_for_each(|call| merge_call(known, call))?;
                }
            }
            ("function_call", Value::Object(call)) => merge_function(child(message, key), call),
            ("audio", Value::Object(audio)) => merge_audio(child(message, key), audio)?,
            ("content" | "refusal" | "reasoning" | "reasoning_content", _)
            | (_, Value::Array(_)) => {
                grow(message.entry(key).or_insert(Value::Null), value);
            }
            _ => set(message, key, value.clone()),
        }
    }
    Ok(())
}

/// Puts the finished tool calls in the shape of a whole message: in order, without `index`.
pub(super) fn finish_calls(message: &mut Map<String, Value>) {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else {
        return;
    };
    if calls.is_empty() {
        // Some servers send an empty array with every delta; a whole message must not have one.
        message.remove("tool_calls");
        return;
    }
    calls.sort_by_key(index_of);
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.remove("index");
        let default = if call.contains_key("custom") {
            "custom"
        } else {
            "function"
        };
        call.entry("type").or_insert_with(|| json!(default));
        if let Some(Value::Object(function)) = call.get_mut("function") {
            function.entry("arguments").or_insert_with(|| json!(""));
        }
    }
}

fn index_of(call: &Value) -> u64 {
    call.get("index").and_then(Value::as_u64).unwrap_or(0)
}

fn merge_call(calls: &mut Vec<Value>, new: &Value) -> Result<(), Invalid> {
    let Value::Object(fields) = new else {
        return Err(Invalid::new("a delta's tool call is not an object"));
    };
    let index = fields.get("index").and_then(Value::as_u64);
    let at = if let Some(at) = continued(calls, new, index) {
        at
    } else {
        let next = calls
            .iter()
            .map(index_of)
            .max()
            .map_or(0, |last| last.saturating_add(1));
        calls.push(json!({"index": index.unwrap_or(next)}));
        calls.len() - 1
    };
    let Some(Value::Object(call)) = calls.get_mut(at) else {
        return Ok(());
    };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("index", _) | (_, Value::Null) => {}
            ("function" | "custom", Value::Object(function)) => {
                merge_function(child(call, key), function);
            }
            ("id" | "type", _) => set_once(call, key, value),
            _ => set(call, key, value.clone()),
        }
    }
    Ok(())
}

/// The position of the call that `new` goes on with; none if it begins one.
fn continued(calls: &[Value], new: &Value, index: Option<u64>) -> Option<usize> {
    let id = text_at(new, "/id");
    let begins = text_at(new, "/function/name")
        .or(text_at(new, "/custom/name"))
        .is_some();
    match index {
        Some(index) => {
            let at = calls.iter().rposition(|call| index_of(call) == index)?;
            // Some servers give all parallel calls the same index, others give every piece of a
            // call a new id; only a new id together with a name is surely another call.
            let known = text_at(&calls[at], "/id");
            let other = begins && id.is_some() && known.is_some() && id != known;
            (!other).then_some(at)
        }
        None if id.is_some() => calls.iter().rposition(|call| text_at(call, "/id") == id),
        None if begins => None,
        None => calls.len().checked_sub(1),
    }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

fn merge_function(known: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (key, value) in new {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("arguments" | "input", Value::String(_)) => {
                grow(known.entry(key).or_insert(Value::Null), value);
            }
            ("name", _) => set_once(known, key, value),
            _ => set(known, key, value.clone()),
        }
    }
}

fn merge_audio(known: &mut Map<String, Value>, new: &Map<String, Value>) -> Result<(), Invalid> {
    for (key, value) in new {
        match (key.as_str(), value) {
            (_, Value::Null) => {}
            ("data", Value::String(_)) => {
                let data = known.entry(key).or_insert(Value::Null);
                // Base64 that was padded, or cut inside a group, decodes to noise when joined.
                if data
                    .as_str()
                    .is_some_and(|data| data.ends_with('=') || data.len() % 4 != 0)
                {
                    return Err(Invalid::new(
                        "the stream's audio comes in pieces that do not join",
                    ));
                }
                grow(data, value);
            }
            ("transcript", Value::String(_)) => {
                grow(known.entry(key).or_insert(Value::Null), value);
            }
            _ => set(known, key, value.clone()),
        }
    }
    Ok(())
}

/// The object under a key, made if there is none.
fn child<'a>(fields: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = fields.entry(key).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

/// Concatenates text and appends parts; text that meets parts becomes one of them.
fn grow(known: &mut Value, new: &Value) {
    match (&mut *known, new) {
        (Value::String(known), Value::String(new)) => known.push_str(new),
        (Value::Array(parts), Value::Array(new)) => append(parts, new),
        (Value::Array(_), Value::String(text)) if text.is_empty() => {}
        (Value::Array(parts), Value::String(text)) => {
            append(parts, &[json!({"type": "text", "text": text})]);
        }
        (Value::String(text), Value::Array(new)) if !text.is_empty() => {
            let mut parts = vec![json!({"type": "text", "text": std::mem::take(text)})];
            append(&mut parts, new);
            *known = Value::Array(parts);
        }
        (_, new) => *known = new.clone(),
    }
}

/// Appends a delta's items; its first may go on with the last that is known.
fn append(known: &mut Vec<Value>, new: &[Value]) {
    let mut new = new.iter();
    if let (Some(Value::Object(last)), [Value::Object(first), ..]) =
        (known.last_mut(), new.as_slice())
        && continues(last, first)
    {
        for (key, value) in first {
            match (key.as_str(), value) {
                ("text" | "summary" | "thinking", Value::String(_)) | (_, Value::Array(_)) => {
                    grow(last.entry(key).or_insert(Value::Null), value);
                }
                _ => set(last, key, value.clone()),
            }
        }
        new.next();
    }
    known.extend(new.cloned());
}

fn continues(last: &Map<String, Value>, first: &Map<String, Value>) -> bool {
    last.get("type") == first.get("type")
        && last.get("index") == first.get("index")
        && first
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|kind| CUT_TYPES.contains(&kind))
}
