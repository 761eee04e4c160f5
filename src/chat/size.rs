//! Measures the generated text in an answer or a chunk, for estimates where a provider counts none.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Bytes of generated text in any JSON value, counted without keeping the text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Size {
    pub(super) bytes: usize,
    /// Whether the value is a string, an array or null, as content has to be.
    pub(super) is_content: bool,
}

impl Size {
    /// The fields of a message or delta that hold generated text.
    pub(super) const TEXTS: [&str; 6] = [
        "content",
        "reasoning",
        "reasoning_content",
        "refusal",
        "tool_calls",
        "function_call",
    ];

    /// The fields of parts and tool calls that hold, or lead to, generated text.
    const WITHIN: [&str; 7] = [
        "text",
        "thinking",
        "refusal",
        "function",
        "arguments",
        "custom",
        "input",
    ];

    pub(super) fn of(value: &Value) -> usize {
        Self::deserialize(value).map_or(0, |size| size.bytes)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Size, E> {
        Ok(Size {
            bytes: text.len(),
            is_content: true,
        })
    }

    fn visit_unit<E>(self) -> Result<Size, E> {
        Ok(Size {
            bytes: 0,
            is_content: true,
        })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Size, E> {
        Ok(Size::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Size, E> {
        Ok(Size::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Size, E> {
        Ok(Size::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Size, E> {
        Ok(Size::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Size, A::Error> {
        let mut bytes = 0;
        while let Some(size) = items.next_element::<Size>()? {
            bytes += size.bytes;
        }
        Ok(Size {
            bytes,
            is_content: true,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Size, A::Error> {
        let mut bytes = 0;
        while let Some(IsText(is_text)) = fields.next_key()? {
            if is_text {
                bytes += fields.next_value::<Size>()?.bytes;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Size {
            bytes,
            is_content: false,
        })
    }
}

/// Whether a key is one of [`Size::WITHIN`], read without allocating.
struct IsText(bool);

impl<'de> Deserialize<'de> for IsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = IsText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<IsText, E> {
                Ok(IsText(Size::WITHIN.contains(&key)))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
