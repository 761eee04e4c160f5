//! The words in which settings and requests say how much is to be done, and to whose text.

use std::{fmt, str::FromStr};

/// How much is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: the text goes out byte for byte.
    Off,
    /// What a careful editor would not notice: white space, invisible characters, drawn lines.
    Safe,
    /// Also wordy phrases, and what data, tool output and repeats say in vain.
    Balanced,
    /// Also other forms for uniform data, and a plainer tone.
    Aggressive,
}

/// The word given is no compression level; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression level: use off, safe, balanced or aggressive")]
pub struct UnknownLevel(String);

/// Whose text it is, which decides what may be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Instructions of the application; `developer` in newer dialects.
    System,
    /// What a person, or a program in a person's place, says.
    User,
    /// What the model said: its white space at most.
    Assistant,
    /// What a tool put out; `function` in older dialects. Its words are not touched.
    Tool,
}

/// The word given is no role whose text could be compressed; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: use system, user, assistant or tool")]
pub struct UnknownRole(String);

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

// === impl Role ===

impl Role {
    /// The word for it in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// The role that a message of the chat protocol names; `None` for one that is not known.
    pub fn of_message(role: &str) -> Option<Self> {
        match role {
            "system" | "developer" => Some(Self::System),
            "user" => Some(Self::User),
            "assistant" => Some(Self::Assistant),
            "tool" | "function" => Some(Self::Tool),
            _ => None,
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::of_message(word).ok_or_else(|| UnknownRole(word.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
