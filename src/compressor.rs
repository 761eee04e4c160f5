//! Takes out of one message's text what costs tokens and carries no meaning, before the request is
//! cached or sent.
//!
//! Every function here is pure: the same text, role and level give the same bytes on every instance, so a
//! conversation's prefix stays what it was and the provider's own prompt cache still hits. These hold for
//! every input:
//!
//! * an edit is kept only if it lowers the text's `o200k_base` tokens and does not raise those of
//!   `cl100k_base`; where both cannot be had, the bytes stay;
//! * whatever may be code, data, markup, a quotation or text that the task is about keeps its bytes;
//!   numbers, names, negations and words of constraint are counted before and after every reworded line;
//! * an output is never edited again, and a text under [`MIN_TOKENS`] tokens is not edited at all.
//!
//! One message flows so: `document.rs` cuts it into lines and says of each what it is; the
//! rules of one phase after the other propose edits; `edit.rs` makes those that pay; the shorter text is
//! read afresh, until no phase has an edit to make.

mod blocks;
mod code;
mod columns;
mod conversation;
mod disguise;
mod document;
mod edit;
mod elements;
mod fences;
mod gaps;
mod guard;
mod indent;
mod json;
mod kind;
mod lessons;
mod level;
mod lines;
mod logs;
mod look;
mod memo;
mod payload;
mod phases;
mod plan;
#[cfg(test)]
mod properties;
mod references;
mod repeats;
mod rule;
mod seen;
mod space;
mod spans;
mod survey;
mod tables;
mod terminal;
#[cfg(test)]
mod tests;
mod wording;

use std::ops::Range;
use std::sync::Arc;

use crate::tokens::Vocabulary;

use document::Document;
use edit::Journal;
use phases::PHASES;

pub use conversation::Conversation;
pub use guard::differences;
pub use kind::{Kind, UnknownKind};
pub use lessons::{Lesson, Lessons, Refused, Skips, Unit, UnknownUnit};
pub use level::{Level, Role, UnknownLevel, UnknownRole};
pub use memo::{Memo, Recall};
pub use plan::{NAME_BYTES as PLAN_NAME_BYTES, Plan};
pub use rule::{Rule, RuleSet, UnknownRule};
pub use survey::{Survey, paragraphs};

/// Bumped when any output changes, so that cache aliases computed by another version die.
pub const VERSION: u32 = 2;
/// Shorter texts, in tokens, are left alone: there is nothing to gain.
pub const MIN_TOKENS: usize = 64;
/// A text that does not come to rest in so many rounds goes out as it came.
const MAX_ROUNDS: usize = 48;

/// Compresses texts at one level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compressor {
    level: Level,
    rules: RuleSet,
    /// What was learned on the traffic of the service; `None` where that is nothing.
    lessons: Option<Arc<Lessons>>,
}

/// A shorter text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// What goes out.
    pub text: String,
    /// What each rule saved.
    pub savings: Vec<Saving>,
}

/// What one rule saved in lines of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saving {
    /// Which rule.
    pub rule: Rule,
    /// In what.
    pub kind: Kind,
    /// In how many places.
    pub edits: u64,
    /// Characters fewer.
    pub chars: u64,
    /// `o200k_base` tokens fewer.
    pub tokens: u64,
}

/// One edit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which rule made it.
    pub rule: Rule,
    /// In which line of the text as it was then, from 1.
    pub line: usize,
    /// What stood there.
    pub before: String,
    /// What stands there now.
    pub after: String,
    /// `o200k_base` tokens fewer.
    pub tokens: u64,
}

/// What the compressor sees in a text and does to it.
pub struct Explanation {
    /// Each line of the text as it came, with its end, and what it is.
    pub lines: Vec<(Kind, String)>,
    /// What stays inside of the lines that may be reworded: the line's number from 0, bytes within the line, name.
    pub spans: Vec<(usize, Range<usize>, &'static str)>,
    /// The edits, in the order in which they were made.
    pub steps: Vec<Step>,
    /// The shorter text; `None` when nothing changed.
    pub compressed: Option<Compressed>,
}

// === impl Compressor ===

impl Compressor {
    /// Does all that the level says.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            rules: RuleSet::of(level),
            lessons: None,
        }
    }

    /// The same with what was learned.
    #[must_use]
    pub fn with(mut self, lessons: &Arc<Lessons>) -> Self {
        self.lessons = Some(Arc::clone(lessons));
        self
    }

    /// What it may do.
    pub fn rules(&self) -> RuleSet {
        self.rules
    }

    /// The same less some rules.
    #[must_use]
    pub fn without(mut self, denied: RuleSet) -> Self {
        self.rules = self.rules.without(denied);
        self
    }

    /// These rules of its own alone.
    #[must_use]
    fn only(mut self, rules: RuleSet) -> Self {
        self.rules = self.rules.and(rules);
        self
    }

    /// The level it was made for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The shorter text, or `None` when nothing changed (a scan and no copy).
    pub fn compress(&self, text: &str, role: Role) -> Option<Compressed> {
        let mut journal = Journal::default();
        let text = self.begin(text, role, &mut journal)?;
        Some(Compressed {
            text,
            savings: journal.savings,
        })
    }

    /// The same for a text that is not too short, whatever its length.
    fn settle(&self, text: &str, role: Role) -> Option<Compressed> {
        let mut journal = Journal::default();
        let text = self.rest(text, role, &mut journal)?;
        Some(Compressed {
            text,
            savings: journal.savings,
        })
    }

    /// What it sees and does, for people to read.
    pub fn explain(&self, text: &str, role: Role) -> Explanation {
        let document = Document::of(text, role);
        let lines = document.lines.iter().zip(&document.kinds);
        let lines = lines.map(|(line, kind)| (*kind, text[line.start..line.next].to_owned()));
        let mut spans = Vec::new();
        for (number, kind) in document.kinds.iter().enumerate() {
            if kind.is_wordable() {
                let indent = document.lines[number].body - document.lines[number].start;
                for (at, kind) in spans::of(document.body(number)) {
                    spans.push((number, at.start + indent..at.end + indent, kind.as_str()));
                }
            }
        }
        let mut journal = Journal {
            steps: Some(Vec::new()),
            ..Journal::default()
        };
        let shorter = self.begin(text, role, &mut journal);
        Explanation {
            lines: lines.collect(),
            spans,
            steps: journal.steps.unwrap_or_default(),
            compressed: shorter.map(|text| Compressed {
                text,
                savings: journal.savings,
            }),
        }
    }

    fn begin(&self, text: &str, role: Role, journal: &mut Journal) -> Option<String> {
        if self.rules.is_empty() || !Vocabulary::O200k.has_at_least(text, MIN_TOKENS) {
            return None;
        }
        self.rest(text, role, journal)
    }

    /// The text after as many rounds as it takes until no rule has anything to say; `None` when none ever had.
    fn rest(&self, text: &str, role: Role, journal: &mut Journal) -> Option<String> {
        let mut current = self.round(text, role, journal)?;
        for _ in 0..MAX_ROUNDS {
            match self.round(&current, role, journal) {
                Some(shorter) => current = shorter,
                None => return Some(current),
            }
        }
        *journal = Journal {
            savings: Vec::new(),
            steps: journal.steps.take().map(|_| Vec::new()),
        };
        None
    }

    /// The text after what was learned, or after the first phase that changes it.
    fn round(&self, text: &str, role: Role, journal: &mut Journal) -> Option<String> {
        let lessons = self.lessons.as_deref();
        if let Some(lessons) = lessons.filter(|_| self.rules.has(Rule::Learned))
            && lessons.may_apply(text, role)
        {
            let document = Document::of(text, role);
            let edits = lessons.propose(&document, role);
            let shorter = edit::apply(&document, &edits, None, journal);
            if shorter.is_some() {
                return shorter;
            }
        }
        let phases: Vec<_> = PHASES
            .iter()
            .filter(|phase| (phase.is_worth)(text, self.rules, role))
            .collect();
        if phases.is_empty() {
            return None;
        }
        let document = Document::of(text, role);
        let skips = lessons.and_then(Lessons::skips);
        phases.into_iter().find_map(|phase| {
            let rules = self.rules.and(phase.rules.iter().copied().collect());
            if skips.is_some_and(|skips| skips.cover(rules, &document.kinds)) {
                return None;
            }
            let edits = (phase.propose)(&document, self.rules, role);
            edit::apply(&document, &edits, skips, journal)
        })
    }

    /// Whether it does not try a rule in lines of a kind, because of what was learned.
    pub fn skips_in(&self, rule: Rule, kind: Kind) -> bool {
        self.skips().is_some_and(|skips| skips.has(rule, kind))
    }

    /// The rules that it does not try in lines of some kinds.
    fn skips(&self) -> Option<&Skips> {
        self.lessons.as_deref().and_then(Lessons::skips)
    }
}

// === impl Saving ===

impl Saving {
    /// Adds it to those of the same rule and kind.
    pub fn add(all: &mut Vec<Self>, saving: Self) {
        let same = |other: &&mut Self| other.rule == saving.rule && other.kind == saving.kind;
        match all.iter_mut().find(same) {
            Some(sum) => {
                sum.edits += saving.edits;
                sum.chars += saving.chars;
                sum.tokens += saving.tokens;
            }
            None => all.push(saving),
        }
    }
}
