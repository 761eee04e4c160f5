//! Folds the chunks that most of a stream consists of: a piece of text, between fields that came before.
//!
//! They need no tree of their values. Whatever else there is in a chunk is left to the general way, which also is the
//! first to see each field: here fields are only repeated, and texts only grow.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::set;
use crate::chat::object::Object;

/// More fields than any API has; each is compared with each.
const MAX_FIELDS: usize = 16;
/// Numbers of so many digits are whole ones that are read exactly.
const MAX_DIGITS: usize = 18;

/// What came again since the general way folded a chunk: fields with their last values, as they are written.
#[derive(Default)]
pub(super) struct Repeated<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

/// A chunk with one choice, and its other fields as they are written.
struct Plain<'a> {
    choice: Choice<'a>,
    fields: Vec<(&'a str, &'a str)>,
}

/// Fields that are null are as if they were not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Object<Delta<'a>>,
    #[serde(rename = "finish_reason")]
    _finish_reason: Option<Never>,
    #[serde(default, deserialize_with = "is_there")]
    logprobs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(default, deserialize_with = "is_there")]
    refusal: bool,
    #[serde(rename = "tool_calls")]
    _tool_calls: Option<Never>,
    #[serde(rename = "function_call")]
    _function_call: Option<Never>,
}

/// A string, which is copied only if there are escapes in it; behind an `Option` serde copies every `Cow`.
struct Text<'a>(Cow<'a, str>);

/// What is there is not plain.
enum Never {}

/// Folds a chunk if it is plain; of one that is not, nothing.
pub(super) fn fold<'a>(
    data: &'a [u8],
    whole: &Map<String, Value>,
    choices: &mut BTreeMap<u64, Map<String, Value>>,
    repeated: &mut Repeated<'a>,
) -> Option<()> {
    let Plain { choice, fields } = serde_json::from_str(std::str::from_utf8(data).ok()?).ok()?;
    let known = choices.get_mut(&choice.index.unwrap_or(0))?;
    if choice.logprobs && !known.contains_key("logprobs") {
        return None;
    }
    let Some(Value::Object(message)) = known.get_mut("message") else {
        return None;
    };
    let Object(delta) = choice.delta;
    if delta.refusal && !message.contains_key("refusal") {
        return None;
    }
    let role = delta.role.as_ref().map(|Text(role)| &**role);
    if role.is_some() && role != message.get("role").and_then(Value::as_str) {
        return None;
    }
    let texts = [
        ("content", delta.content),
        ("reasoning", delta.reasoning),
        ("reasoning_content", delta.reasoning_content),
    ];
    let grows = |(key, text): &(&str, Option<Text<'_>>)| {
        text.is_none() || matches!(message.get(*key), Some(Value::String(_)))
    };
    if !texts.iter().all(grows) || !fields.iter().all(|field| repeats(*field, whole)) {
        return None;
    }
    for (key, text) in texts {
        if let (Some(Text(text)), Some(Value::String(known))) = (text, message.get_mut(key)) {
            known.push_str(&text);
        }
    }
    for field in fields {
        repeated.take(field);
    }
    Some(())
}

/// Whether a field is there, which must then be null.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<Never>::deserialize(deserializer).map(|_| true)
}

/// Whether a field of a chunk means nothing for the whole.
fn is_void((key, value): (&str, &str)) -> bool {
    match key {
        "object" => value == "\"chat.completion.chunk\"",
        "obfuscation" => true,
        "usage" => value == "null",
        _ => false,
    }
}

/// Whether a value is one that every reading takes, and takes alike.
fn is_simple(value: &str) -> bool {
    match value.as_bytes() {
        b"null" | b"true" | b"false" => true,
        [b'"', ..] => memchr::memchr(b'\\', value.as_bytes()).is_none(),
        digits => digits.len() <= MAX_DIGITS && digits.iter().all(u8::is_ascii_digit),
    }
}

/// Whether a field is one that came before, with a value that may take the place of what it had.
fn repeats(field: (&str, &str), whole: &Map<String, Value>) -> bool {
    let (key, value) = field;
    if !is_simple(value) {
        return false;
    }
    if is_void(field) {
        return true;
    }
    let is_special = matches!(key, "object" | "usage" | "error");
    // An empty text takes the place of null, and of nothing else.
    let fills_null = value == "\"\"" && whole.get(key).is_some_and(Value::is_null);
    !is_special && !fills_null && whole.contains_key(key)
}

// === impl Repeated ===

impl<'a> Repeated<'a> {
    fn take(&mut self, field: (&'a str, &'a str)) {
        let (key, value) = field;
        // Nothing is lost to a later null or empty text.
        if is_void(field) || matches!(value, "null" | "\"\"") {
            return;
        }
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.fields.push(field),
        }
    }

    /// Puts what came again where the general way has put it first.
    pub(super) fn flush(&mut self, whole: &mut Map<String, Value>) {
        for (key, value) in self.fields.drain(..) {
            if let Ok(value) = serde_json::from_str(value) {
                set(whole, key, value);
            }
        }
    }
}

// === impl Plain ===

impl<'de> Deserialize<'de> for Plain<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Plain<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let not_plain = || A::Error::custom("not plain");
                let (mut choice, mut fields) = (None, Vec::with_capacity(MAX_FIELDS / 2));
                // A key with escapes in it cannot be borrowed.
                while let Some(key) = map.next_key::<&'de str>()? {
                    if key == "choices" {
                        let [Object(only)] = map.next_value::<[Object<Choice<'de>>; 1]>()?;
                        if choice.replace(only).is_some() {
                            return Err(not_plain());
                        }
                        continue;
                    }
                    // Of two fields with one name the last one counts, which is for others to see.
                    if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == key) {
                        return Err(not_plain());
                    }
                    fields.push((key, map.next_value::<&'de RawValue>()?.get()));
                }
                let choice = choice.ok_or_else(not_plain)?;
                Ok(Plain { choice, fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

// === impl Text ===

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Either)
    }
}

// === impl Never ===

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("not plain"))
    }
}
