//! The rule file as it is written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Before, Entry, Skip, Span, State};
use crate::compressor::{Kind, Lesson, Role, Rule, Unit};
use crate::tuning::learn::word::{Named, Word};

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) version: Option<Spanned<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Word<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<Spanned<RuleRow>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) skips: Vec<Spanned<SkipRow>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleRow {
    /// For people: it follows from the text.
    #[serde(default)]
    id: String,
    state: Word<State>,
    role: Word<Role>,
    unit: Word<Unit>,
    #[serde(default, skip_serializing_if = "is_false")]
    pinned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    text: String,
    with: String,
    /// Last: it is a table of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<BeforeRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeforeRow {
    with: String,
    state: Word<State>,
    from: u32,
    until: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipRow {
    rule: Word<Rule>,
    kind: Word<Kind>,
    state: Word<State>,
    #[serde(default, skip_serializing_if = "is_false")]
    pinned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Word<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

// === impl RuleRow ===

impl From<&Entry> for RuleRow {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id(),
            state: Word(entry.state),
            role: Word(entry.lesson.role),
            unit: Word(entry.lesson.unit),
            pinned: entry.is_pinned,
            from: entry.span.from,
            until: entry.span.until,
            note: entry.note.clone(),
            text: entry.lesson.text.to_string(),
            with: entry.lesson.with.to_string(),
            before: entry.before.as_ref().and_then(BeforeRow::of),
        }
    }
}

impl From<RuleRow> for Entry {
    fn from(row: RuleRow) -> Self {
        Self {
            lesson: Lesson {
                role: row.role.0,
                unit: row.unit.0,
                text: row.text.into(),
                with: row.with.into(),
            },
            state: row.state.0,
            is_pinned: row.pinned,
            span: Span {
                from: row.from,
                until: row.until,
            },
            before: row.before.map(Before::from),
            note: row.note,
        }
    }
}

// === impl BeforeRow ===

impl BeforeRow {
    fn of(before: &Before) -> Option<Self> {
        Some(Self {
            with: before.with.to_string(),
            state: Word(before.state),
            from: before.span.from?,
            until: before.span.until?,
        })
    }
}

impl From<BeforeRow> for Before {
    fn from(row: BeforeRow) -> Self {
        Self {
            with: row.with.into(),
            state: row.state.0,
            span: Span {
                from: Some(row.from),
                until: Some(row.until),
            },
        }
    }
}

// === impl SkipRow ===

impl From<&Skip> for SkipRow {
    fn from(skip: &Skip) -> Self {
        Self {
            rule: Word(skip.rule),
            kind: Word(skip.kind),
            state: Word(skip.state),
            pinned: skip.is_pinned,
            from: skip.span.from,
            until: skip.span.until,
            since: skip.since.map(Word),
            note: skip.note.clone(),
        }
    }
}

impl From<SkipRow> for Skip {
    fn from(row: SkipRow) -> Self {
        Self {
            rule: row.rule.0,
            kind: row.kind.0,
            state: row.state.0,
            is_pinned: row.pinned,
            span: Span {
                from: row.from,
                until: row.until,
            },
            since: row.since.map(|Word(since)| since),
            note: row.note,
        }
    }
}

impl Named for State {
    fn read(text: &str) -> Result<Self, String> {
        let mut all = [Self::Proposed, Self::Approved, Self::Denied, Self::Stopped].into_iter();
        let known = all.find(|state| state.as_str() == text);
        known.ok_or_else(|| {
            format!("{text:?} is no state: use proposed, approved, denied or stopped")
        })
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}
