//! The fields of a chat completion that `/create` passes on as they were written, or fills in.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::{malformed, optional, semantic};
use crate::error::ProxyError;
use crate::json::Node;

/// What may be passed on, each with what it must be.
const PASSED_ON: [(&str, Kind); 8] = [
    ("temperature", Kind::Number(0.0, 2.0)),
    ("top_p", Kind::Number(0.0, 1.0)),
    ("presence_penalty", Kind::Number(-2.0, 2.0)),
    ("frequency_penalty", Kind::Number(-2.0, 2.0)),
    ("max_tokens", Kind::Positive),
    ("seed", Kind::Integer),
    ("stop", Kind::Stop),
    ("response_format", Kind::Object),
];

/// What a field must be; numbers with their bounds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Number(f64, f64),
    Positive,
    Integer,
    Stop,
    Object,
}

/// The fields of a chat completion.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Fields<'a>(BTreeMap<&'static str, Spelled<'a>>);

/// A field's value: the client's spelling, or ours.
#[derive(Serialize)]
#[serde(untagged)]
enum Spelled<'a> {
    Client(&'a RawValue),
    Proxy(Box<RawValue>),
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The fields of a form that are passed on, each checked.
    pub(super) fn read(root: &Node, body: &'a [u8]) -> Result<Self, ProxyError> {
        let raw: BTreeMap<String, &'a RawValue> =
            serde_json::from_slice(body).map_err(|error| {
                ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
            })?;
        let mut fields = BTreeMap::new();
        for (name, kind) in PASSED_ON {
            let Some(node) = optional(root, name) else {
                continue;
            };
            kind.check(name, node)?;
            if let Some(raw) = raw.get(name) {
                fields.insert(name, Spelled::Client(raw));
            }
        }
        Ok(Self(fields))
    }

    /// What may be passed on, as JSON Schema.
    pub(super) fn describe() -> impl Iterator<Item = (String, Value)> {
        PASSED_ON
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind.describe()))
    }

    /// Whether a form's field of this name is passed on.
    pub(super) fn knows(name: &str) -> bool {
        PASSED_ON.iter().any(|(known, _)| *known == name)
    }

    /// Fills in a field. Says whether it was missing.
    pub(super) fn put_default(&mut self, name: &'static str, value: &Value) -> bool {
        let is_missing = !self.0.contains_key(name);
        if is_missing {
            self.put(name, value);
        }
        is_missing
    }

    /// Sets a field.
    pub(super) fn put(&mut self, name: &'static str, value: &Value) {
        // A value that is in memory can be written.
        if let Ok(raw) = to_raw_value(value) {
            self.0.insert(name, Spelled::Proxy(raw));
        }
    }
}

// === impl Kind ===

impl Kind {
    fn describe(self) -> Value {
        match self {
            Self::Number(least, most) => {
                json!({"type": ["number", "null"], "minimum": least, "maximum": most})
            }
            Self::Positive => {
                json!({"type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX})
            }
            Self::Integer => json!({"type": ["integer", "null"]}),
            Self::Object => json!({"type": ["object", "null"]}),
            Self::Stop => {
                json!({"type": ["string", "array", "null"], "items": {"type": "string"}})
            }
        }
    }

    fn check(self, name: &str, node: &Node) -> Result<(), ProxyError> {
        let wrong =
            |what: &str| malformed(name, format!("{name} must be {what}, not {}", node.kind()));
        match self {
            Self::Number(least, most) => {
                let number = node.as_f64().ok_or_else(|| wrong("a number"))?;
                if !(least..=most).contains(&number) {
                    return Err(semantic(
                        name,
                        &format!("{name} must lie between {least} and {most}"),
                    ));
                }
            }
            Self::Positive => {
                if !node.is_integer() {
                    return Err(wrong("an integer"));
                }
                if node
                    .as_u64()
                    .is_none_or(|n| n == 0 || n > u64::from(u32::MAX))
                {
                    return Err(semantic(
                        name,
                        &format!("{name} must be an integer from 1 on"),
                    ));
                }
            }
            Self::Integer if !node.is_integer() => return Err(wrong("an integer")),
            Self::Object if !node.is_object() => return Err(wrong("an object")),
            Self::Stop => {
                let strings = node
                    .as_array()
                    .is_some_and(|items| items.iter().all(|item| item.as_str().is_some()));
                if !strings && node.as_str().is_none() {
                    return Err(wrong("a string or an array of strings"));
                }
            }
            Self::Integer | Self::Object => {}
        }
        Ok(())
    }
}
