//! Takes out of one message's text what costs tokens and carries no meaning, before the request is
//! cached or sent.
//!
//! Every function here is pure: the same text and level give the same bytes on every instance, so a
//! conversation's prefix stays what it was and the provider's own prompt cache still hits. Three
//! properties hold for every input:
//!
//! * an edit is the deletion of ASCII white space, nothing else is ever removed, added or moved;
//! * whatever may be code, data, markup, a quotation or a layout keeps its bytes (see `layout.rs`);
//! * an output is never edited again: a text whose output would be is given back as it came.

mod blocks;
mod code;
mod elements;
mod fences;
mod gaps;
mod layout;
mod lines;
mod look;
#[cfg(test)]
mod properties;
mod safe;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

/// Bumped when any output changes, so that cache aliases computed by another version die.
pub const VERSION: u32 = 1;

/// How much is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: the text goes out byte for byte.
    Off,
    /// White space in prose that no reader sees.
    Safe,
    /// What `Safe` takes out.
    Balanced,
    /// What `Balanced` takes out.
    Aggressive,
}

/// The word given is no compression level; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression level: use off, safe, balanced or aggressive")]
pub struct UnknownLevel(String);

/// The shorter text, or `None` when nothing changed (a scan and no copy).
pub fn compress(text: &str, level: Level) -> Option<String> {
    match level {
        Level::Off => None,
        Level::Safe | Level::Balanced | Level::Aggressive => safe::compress(text),
    }
}

// === impl Level ===

impl Level {
    /// The word that names the level in settings, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Safe => "safe",
            Self::Balanced => "balanced",
            Self::Aggressive => "aggressive",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Off, Self::Safe, Self::Balanced, Self::Aggressive]
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
