//! Values that stand in files as the words that people know them by.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::compressor::{Kind, Role, Rule, Unit};

/// A value as its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word<T>(pub(super) T);

/// What has a word.
pub(super) trait Named: Sized {
    /// The value with this word; else what would be one.
    fn read(text: &str) -> Result<Self, String>;

    /// The word.
    fn write(&self) -> String;
}

/// The same for what can be read and displayed.
macro_rules! named {
    ($($type:ty),+) => {
        $(impl Named for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse::<Self>().map_err(|error| error.to_string())
            }

            fn write(&self) -> String {
                self.to_string()
            }
        })+
    };
}

named!(Role, Unit, Rule, Kind);

impl Named for Timestamp {
    fn read(text: &str) -> Result<Self, String> {
        let time = text.parse::<Self>();
        time.map_err(|_| format!("{text:?} is no time: write it as 2026-01-31T12:00:00Z"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl<T: Named> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<'de, T: Named> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::read(&text).map(Self).map_err(de::Error::custom)
    }
}
