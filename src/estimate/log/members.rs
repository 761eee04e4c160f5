//! The members of a JSON object as they stand in its text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Names and values, in their order; the values are not read.
pub(super) struct Members<'t>(pub(super) Vec<(Cow<'t, str>, &'t RawValue)>);

/// What kind of value one is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Text,
    Number,
    Array,
    Object,
    Bool,
}

// === impl Members ===

impl<'t> Members<'t> {
    /// The value of the first of these names that is there and not null.
    pub(super) fn find(&self, names: &[&str]) -> Option<&'t RawValue> {
        names.iter().find_map(|name| {
            let found = self.0.iter().find(|(known, _)| known == name);
            found
                .map(|(_, value)| *value)
                .filter(|value| kind(value) != Kind::Null)
        })
    }

    /// The same, where it is of this kind.
    pub(super) fn find_kind(&self, names: &[&str], wanted: Kind) -> Option<&'t RawValue> {
        self.find(names).filter(|value| kind(value) == wanted)
    }

    /// Its text.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        text(self.find(names)?)
    }

    /// Its number, which may stand in quotes.
    pub(super) fn number(&self, names: &[&str]) -> Option<f64> {
        number(self.find(names)?)
    }
}

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Read).map(Self)
    }
}

/// A name, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

pub(super) fn kind(value: &RawValue) -> Kind {
    match value.get().as_bytes().first() {
        Some(b'n') | None => Kind::Null,
        Some(b'"') => Kind::Text,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(b't' | b'f') => Kind::Bool,
        Some(_) => Kind::Number,
    }
}

pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

pub(super) fn number(value: &RawValue) -> Option<f64> {
    let number = match kind(value) {
        Kind::Number => value.get().parse().ok(),
        Kind::Text => text(value)?.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// The object that a value is, or that its text holds: some logs write JSON as a string.
pub(super) fn object_of(value: &RawValue, line: &Bytes) -> Option<Bytes> {
    match kind(value) {
        Kind::Object => Some(line.slice_ref(value.get().as_bytes())),
        Kind::Text => {
            let text = text(value)?;
            let text = text.trim();
            text.starts_with('{')
                .then(|| Bytes::copy_from_slice(text.as_bytes()))
        }
        _ => None,
    }
}
