//! One lesson, and whether it may be used.

use std::{fmt, str::FromStr};

use crate::compressor::{
    Role, guard,
    survey::{paragraphs, split},
};
use crate::tokens::Vocabulary;

/// How much of a message a lesson is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// All of its text.
    Text,
    /// What stands between blank lines.
    Paragraph,
    /// A sentence of its prose.
    Phrase,
}

/// The word given is no unit; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no unit: use text, paragraph or phrase")]
pub struct UnknownUnit(String);

/// A shorter text for one that comes again and again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lesson {
    /// Whose text it is.
    pub role: Role,
    /// How much of a message.
    pub unit: Unit,
    /// What stands there.
    pub text: Box<str>,
    /// What stands there then.
    pub with: Box<str>,
}

/// Why a lesson cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It saves nothing, or costs in one of the vocabularies.
    #[error(
        "the shorter text must have fewer tokens: it has {after} after {before} in o200k_base, and {after_too} after \
         {before_too} in cl100k_base, where it may not have more"
    )]
    DoesNotPay {
        /// Tokens of `o200k_base` before.
        before: usize,
        /// And after.
        after: usize,
        /// Tokens of `cl100k_base` before.
        before_too: usize,
        /// And after.
        after_too: usize,
    },
    /// Nothing would be left of it.
    #[error("the shorter text is empty: only a phrase can be taken out, no {0}")]
    Empty(Unit),
    /// A sentence would lose, or get, what binds.
    #[error("a phrase must keep what binds: {0}")]
    Unguarded(String),
    /// The text is no such unit, so that it would never be found.
    #[error("the text is no {0}: it would never be found")]
    NoSuchUnit(Unit),
}

/// Whether nothing is seen of a character: a blank, a control character, or one of no width.
fn is_invisible(c: char) -> bool {
    let is_empty =
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    c.is_whitespace() || c.is_control() || is_empty
}

// === impl Lesson ===

impl Lesson {
    /// Whether it pays and keeps what a rule must keep.
    pub fn check(&self) -> Result<(), Refused> {
        let whole = 0..self.text.len();
        let is_unit = match self.unit {
            Unit::Text => !self.text.is_empty(),
            Unit::Paragraph => paragraphs(&self.text) == [whole],
            Unit::Phrase => {
                !self.text.contains(['\n', '\r']) && split(&self.text, whole.clone()) == [whole]
            }
        };
        if !is_unit {
            return Err(Refused::NoSuchUnit(self.unit));
        }
        if self.unit != Unit::Phrase && self.with.chars().all(is_invisible) {
            return Err(Refused::Empty(self.unit));
        }
        if self.unit == Unit::Phrase && !guard::keeps(&self.text, &self.with) {
            let differences = guard::differences(&self.text, &self.with).join("; ");
            return Err(Refused::Unguarded(differences));
        }
        let count = |vocabulary: Vocabulary| {
            let counts = [&self.text, &self.with].map(|text| vocabulary.count(text));
            (counts[0], counts[1])
        };
        let (before, after) = count(Vocabulary::O200k);
        let (before_too, after_too) = count(Vocabulary::Cl100k);
        if after >= before || after_too > before_too {
            return Err(Refused::DoesNotPay {
                before,
                after,
                before_too,
                after_too,
            });
        }
        Ok(())
    }
}

// === impl Unit ===

impl Unit {
    /// The word for it in rule files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Paragraph => "paragraph",
            Self::Phrase => "phrase",
        }
    }
}

impl FromStr for Unit {
    type Err = UnknownUnit;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let mut all = [Self::Text, Self::Paragraph, Self::Phrase].into_iter();
        let known = all.find(|unit| unit.as_str() == word);
        known.ok_or_else(|| UnknownUnit(word.to_owned()))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
