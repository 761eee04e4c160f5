//! What was decided about a text, or about a rule of the compressor, and when it has its effect.

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::compressor::{Kind, Lesson, Role, Rule, Unit};

/// A shorter text, and what was decided about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The text and the shorter one.
    pub lesson: Lesson,
    /// What was decided.
    pub state: State,
    /// The hold-out does not stop it.
    pub is_pinned: bool,
    /// When it has its effect.
    pub span: Span,
    /// The shorter text that this one takes the place of, until it does.
    pub before: Option<Before>,
    /// Why it stands as it does, for people.
    pub note: Option<String>,
}

/// A shorter text in whose place another one was approved.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// The shorter text.
    pub with: Box<str>,
    /// What was decided about it.
    pub state: State,
    /// When it has its effect.
    pub span: Span,
}

/// A rule of the compressor that is not tried in lines of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Skip {
    /// Which rule.
    pub rule: Rule,
    /// In what.
    pub kind: Kind,
    /// Approved: it is left out; denied: it never is.
    pub state: State,
    /// It is not tried again by itself.
    pub is_pinned: bool,
    /// When it has its effect.
    pub span: Span,
    /// When it was left out.
    pub since: Option<Timestamp>,
    /// Why, for people.
    pub note: Option<String>,
}

/// What was decided about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Proposed,
    /// It is to be applied.
    Approved,
    /// An operator does not want it.
    Denied,
    /// The hold-out did better without it.
    Stopped,
}

/// From which version on something is in force, and from which one on it is not any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first version.
    pub from: Option<u32>,
    /// The first version without it.
    pub until: Option<u32>,
}

/// What a comparison with the hold-out is about: a text and the shorter one. The comparison goes on through versions that
/// have both.
pub(in crate::tuning::learn) fn pair(role: Role, unit: Unit, text: &str, with: &str) -> String {
    let with = digest(role, unit, with);
    format!("{}-{}", id(&digest(role, unit, text)), hex(&with[..4]))
}

/// The same for a lesson.
pub fn pair_of(lesson: &Lesson) -> String {
    let Lesson {
        role,
        unit,
        text,
        with,
    } = lesson;
    pair(*role, *unit, text, with)
}

/// What tells a text of a role from all others.
pub(in crate::tuning::learn) fn digest(role: Role, unit: Unit, text: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [role.as_str(), unit.as_str(), text] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Bytes in hexadecimal.
pub(in crate::tuning::learn) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // A string takes whatever is written to it.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The name of a rule: the beginning of the digest of what it is about.
pub fn id(digest: &[u8]) -> String {
    hex(&digest[..digest.len().min(6)])
}

// === impl Entry ===

impl Entry {
    /// Its name.
    pub fn id(&self) -> String {
        let Lesson {
            role, unit, text, ..
        } = &self.lesson;
        id(&digest(*role, *unit, text))
    }

    /// What it does in a version.
    pub fn lesson_in(&self, version: u32) -> Option<Lesson> {
        if self.span.has(version) {
            return Some(self.lesson.clone());
        }
        let before = self.before.as_ref();
        let before = before.filter(|before| before.span.has(version))?;
        Some(Lesson {
            with: before.with.clone(),
            ..self.lesson.clone()
        })
    }

    /// What is in force of it does harm. Another one that was approved in its place is judged by itself.
    pub(in crate::tuning::learn) fn stop(&mut self, version: u32, why: String) {
        if let Some(before) = self.before.as_mut().filter(|_| !self.span.has(version)) {
            before.state = State::Stopped;
            self.note = Some(format!(
                "The shorter text before this one was stopped. {why}"
            ));
            return;
        }
        self.state = State::Stopped;
        self.span.end_after(version);
        self.note = Some(why);
    }

    /// It takes the place of `known`, a rule about the same text, with the version after this one.
    pub(super) fn take_over(&mut self, known: &Self, version: u32) {
        let is_other = known.lesson.with != self.lesson.with;
        let is_approved = self.state == State::Approved;
        if known.span.has(version) && !is_other && is_approved {
            // It was denied since, and goes on instead.
            self.span = Span {
                until: None,
                ..known.span
            };
        } else if known.span.has(version) && is_other {
            let mut span = known.span;
            span.end_after(version);
            self.before = Some(Before {
                with: known.lesson.with.clone(),
                state: known.state,
                span,
            });
        } else {
            self.before.clone_from(&known.before);
        }
        if let Some(before) = &mut self.before {
            // Whoever denies a text means all that stands for it, until they approve it after all.
            match (known.state, self.state) {
                (_, State::Denied | State::Stopped) => before.state = self.state,
                (State::Denied, State::Approved) if !known.span.has(version) => {
                    before.state = State::Approved;
                }
                _ => {}
            }
        }
        let back = self.before.as_ref().filter(|before| {
            is_approved && before.span.has(version) && before.with == self.lesson.with
        });
        // Somebody thought better of it before the other one had its effect.
        if let Some(from) = back.map(|before| before.span.from) {
            self.span = Span { from, until: None };
            self.before = None;
        }
    }
}

// === impl Span ===

impl Span {
    /// Whether it holds in a version.
    pub fn has(self, version: u32) -> bool {
        self.from.is_some_and(|from| from <= version)
            && self.until.is_none_or(|until| version < until)
    }

    /// It begins with the version after this one.
    pub fn begin_after(version: u32) -> Self {
        Self {
            from: Some(version.saturating_add(1)),
            until: None,
        }
    }

    /// It ends with this version; what had not begun never does.
    pub fn end_after(&mut self, version: u32) {
        if self.from.is_some_and(|from| from > version) {
            *self = Self::default();
        } else if self.has(version) {
            self.until = Some(version.saturating_add(1));
        }
    }
}

// === impl State ===

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Stopped => "stopped",
        }
    }
}
