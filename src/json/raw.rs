//! The values of a JSON text as they are written, without a tree.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in the order of its text, each value as it is written there. A key may stand there twice.
pub(crate) struct Members<'t>(Vec<(Box<str>, &'t RawValue)>);

// === impl Members ===

impl<'t> Members<'t> {
    /// The members of the object that a text is; `None` where it is none.
    pub(crate) fn of(text: &'t [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The value of a key; the first one, if there are more.
    pub(crate) fn get(&self, key: &str) -> Option<&'t str> {
        self.iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// The same where it is not null.
    pub(crate) fn given(&self, key: &str) -> Option<&'t str> {
        self.get(key).filter(|value| *value != "null")
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'t str)> {
        self.0.iter().map(|(key, value)| (&**key, value.get()))
    }

    /// A key that stands there more than once.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let mut keys: Vec<_> = self.0.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        keys.windows(2)
            .find(|two| two[0] == two[1])
            .map(|two| two[0])
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// What a value is, by how it begins: "a string", "null" …
pub(crate) fn kind(value: &str) -> &'static str {
    match value.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_they_are_written() {
        let text = br#" { "a" : 1.50 , "b\u0065":[ 1,2 ],"a": null } "#;
        let members = Members::of(text).unwrap();
        let all: Vec<_> = members.iter().collect();
        assert_eq!(all, [("a", "1.50"), ("be", "[ 1,2 ]"), ("a", "null")]);
        assert_eq!((members.get("a"), members.get("c")), (Some("1.50"), None));
        assert_eq!(
            (members.given("be"), members.repeated()),
            (Some("[ 1,2 ]"), Some("a"))
        );
        for text in ["[]", "1", "{", "{\"a\":1}{}"] {
            assert!(Members::of(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn kinds_are_told_by_how_values_begin() {
        let all = ["{}", "[]", "\"\"", "true", "false", "null", "-1", "0"].map(kind);
        assert_eq!(all[..2], ["an object", "an array"]);
        assert_eq!(all[2..6], ["a string", "a boolean", "a boolean", "null"]);
        assert_eq!(all[6..], ["a number", "a number"]);
    }
}
