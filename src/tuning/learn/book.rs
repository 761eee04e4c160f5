//! The rule file: what was learned, in versions that people can read and edit.
//!
//! A rule is in all versions from `from` on and before `until`; what a person or the service decides has its effect in the
//! next version. One lives for a day at least, so that prompts stay the same for the provider's cache, unless an operator
//! cannot wait, or a rule does harm.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use toml::Spanned;

use super::word::Word;
use crate::compressor::{Kind, Lessons, Rule, Skips};

use rows::{File, RuleRow, SkipRow};

pub use entry::{Before, Entry, Skip, Span, State, id, pair_of};
pub(super) use entry::{digest, hex, pair};

mod entry;
mod rows;
#[cfg(test)]
mod tests;

/// How long a version is in force at least.
pub const LIFE: Duration = Duration::from_hours(24);

/// A larger version cannot stand in a file: there is always one after it.
const MOST: u32 = u32::MAX / 2;

/// What stands above the rules.
const HEAD: &str = "\
# What Pegasus Nest has learned to shorten on this service's own traffic. The service and `pegasus-nest rules` write this
# file, and you may edit it: comments are lost then, and a change has its effect in the next version, or when the service
# is started anew.
#
# A rule puts `with` where `text` stands byte for byte: as a whole message (unit = \"text\"), between blank lines
# (\"paragraph\") or as a sentence (\"phrase\") of its role. state: proposed, approved, denied (by an operator) or stopped (by
# the hold-out). It is in the versions from `from` on, and before `until`; `before` is the shorter text that it takes the
# place of, in the versions before that. A skip leaves out a rule of the compressor in lines of a kind in which it never
# paid here.

";

/// All rules, and which version of them is in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    /// The version in force; zero: none has been yet.
    pub version: u32,
    /// Since when it is.
    pub since: Option<Timestamp>,
    /// The last version that did without something that was denied or did harm, also if that was approved again since.
    pub ended: Option<u32>,
    /// Shorter texts.
    pub rules: Vec<Entry>,
    /// Rules of the compressor that are not tried in lines of some kinds.
    pub skips: Vec<Skip>,
}

/// Why a file is none of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Broken {
    line: usize,
    what: String,
}

// === impl Book ===

impl Book {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, Broken> {
        let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let broken = |at: usize, what: String| Broken {
            line: line_at(at),
            what,
        };
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            broken(at, error.message().replace('\n', " "))
        })?;
        let (at, version) = file.version.map_or((0, 0), |version| {
            (version.span().start, version.into_inner())
        });
        if version > MOST {
            return Err(broken(
                at,
                format!("version {version} is too large: {MOST} is the last one that can be given"),
            ));
        }
        let mut book = Self {
            version,
            since: file.since.map(|Word(since)| since),
            ended: file.ended,
            ..Self::default()
        };
        for row in file.rules {
            let at = row.span().start;
            let entry = Entry::from(row.into_inner());
            if let Some(refused) = entry
                .lesson
                .check()
                .err()
                .filter(|_| entry.state == State::Approved)
            {
                return Err(broken(at, format!("rule {}: {refused}", entry.id())));
            }
            if book.find(&entry.id()).is_some() {
                let what = format!(
                    "rule {} stands there twice (the same text, role and unit)",
                    entry.id()
                );
                return Err(broken(at, what));
            }
            book.rules.push(entry);
        }
        for row in file.skips {
            let at = row.span().start;
            let skip = Skip::from(row.into_inner());
            if book.skip(skip.rule, skip.kind).is_some() {
                let what = format!(
                    "the skip of {} in {} stands there twice",
                    skip.rule, skip.kind
                );
                return Err(broken(at, what));
            }
            book.skips.push(skip);
        }
        let next = book.version.saturating_add(1);
        // What was written by hand says no version.
        for (state, span) in book.spans() {
            if state == State::Approved {
                span.from.get_or_insert(next);
            } else if span.from.is_some() {
                span.until.get_or_insert(next);
            }
        }
        Ok(book)
    }

    /// The file.
    pub fn write(&self) -> String {
        let file = File {
            version: Some(Spanned::new(0..0, self.version)),
            since: self.since.map(Word),
            ended: self.ended,
            rules: self
                .rules
                .iter()
                .map(|entry| Spanned::new(0..0, RuleRow::from(entry)))
                .collect(),
            skips: self
                .skips
                .iter()
                .map(|skip| Spanned::new(0..0, SkipRow::from(skip)))
                .collect(),
        };
        let text = toml::to_string_pretty(&file).expect("words, numbers and texts can be written");
        format!("{HEAD}{text}")
    }

    /// What is in force in a version.
    pub fn lessons(&self, version: u32) -> Lessons {
        let mut skips = Skips::default();
        for skip in self.skips.iter().filter(|skip| skip.span.has(version)) {
            skips.add(skip.rule, skip.kind);
        }
        let rules = self.rules.iter();
        let rules = rules.filter_map(|entry| entry.lesson_in(version));
        // What cannot be used was in force before somebody edited it; it is not any more.
        let usable = rules.filter(|lesson| lesson.check().is_ok());
        Lessons::new(usable.collect(), skips)
    }

    /// Begins the next version, if it would be another one, because of what was decided or because a rule in force
    /// `is_edited`, and the time has come or nobody can wait. Whether it did.
    pub fn advance(&mut self, now: Timestamp, is_edited: bool, cannot_wait: bool) -> bool {
        let next = self.version.saturating_add(1);
        let changes = |(_, span): (State, Span)| span.has(self.version) != span.has(next);
        let is_due = cannot_wait || self.due().is_none_or(|due| due <= now);
        if !is_due || !(is_edited || self.decided().any(changes)) {
            return false;
        }
        let is_over = |before: &Before| !before.span.has(self.version);
        for entry in &mut self.rules {
            entry.before = entry.before.take().filter(|before| !is_over(before));
        }
        let version = self.version;
        let is_ended = |(state, span): (State, Span)| {
            matches!(state, State::Denied | State::Stopped) && span.has(version) && !span.has(next)
        };
        if self.decided().any(is_ended) {
            self.ended = Some(next);
        }
        self.version = next;
        self.since = Some(now);
        true
    }

    /// Whether a version since this one does without something that it had because that was denied or did harm.
    pub fn has_ended_since(&self, version: u32) -> bool {
        self.ended.is_some_and(|ended| ended > version)
    }

    /// All that was decided, and when it has its effect.
    fn decided(&self) -> impl Iterator<Item = (State, Span)> {
        let rules = self.rules.iter().flat_map(|entry| {
            let before = entry.before.as_ref();
            let before = before.map(|before| (before.state, before.span));
            before.into_iter().chain([(entry.state, entry.span)])
        });
        rules.chain(self.skips.iter().map(|skip| (skip.state, skip.span)))
    }

    /// When the next version may begin; `None`: at once.
    pub fn due(&self) -> Option<Timestamp> {
        let life = SignedDuration::try_from(LIFE).ok()?;
        self.since
            .filter(|_| self.version > 0)?
            .checked_add(life)
            .ok()
    }

    /// The rule with this name, or the beginning of it.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.rules.iter().find(|entry| entry.id().starts_with(id))
    }

    /// The same to be changed.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.rules
            .iter_mut()
            .find(|entry| entry.id().starts_with(id))
    }

    /// What was decided about a rule of the compressor in lines of a kind.
    pub fn skip(&self, rule: Rule, kind: Kind) -> Option<&Skip> {
        let mut skips = self.skips.iter();
        skips.find(|skip| (skip.rule, skip.kind) == (rule, kind))
    }

    /// The same to be changed.
    pub fn skip_mut(&mut self, rule: Rule, kind: Kind) -> Option<&mut Skip> {
        let mut skips = self.skips.iter_mut();
        skips.find(|skip| (skip.rule, skip.kind) == (rule, kind))
    }

    /// Takes a rule in, in the place of the one about the same text. What is in force of that stays so until the next version.
    pub fn put(&mut self, mut entry: Entry) {
        let version = self.version;
        match self.find_mut(&entry.id()) {
            Some(known) => {
                entry.take_over(known, version);
                *known = entry;
            }
            None => self.rules.push(entry),
        }
    }

    fn spans(&mut self) -> impl Iterator<Item = (State, &mut Span)> {
        let rules = self.rules.iter_mut();
        let rules = rules.map(|entry| (entry.state, &mut entry.span));
        rules.chain(
            self.skips
                .iter_mut()
                .map(|skip| (skip.state, &mut skip.span)),
        )
    }
}
