//! All entries in one automaton.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{
    entry::{Entry, expand},
    frames::{ANNOUNCEMENTS, COURTESY, FILLERS, FRAMES},
    lighter::LIGHTER,
    phrases::PHRASES,
};
use crate::compressor::rule::{Rule, RuleSet};

/// The automaton over all wordings, and what each stands for.
pub(super) struct Table {
    automaton: AhoCorasick,
    /// By pattern: the entry, and which of the bytes are replaced.
    patterns: Vec<(&'static Entry, Range<usize>)>,
    rules: Vec<Rule>,
}

/// An entry's wording in a line.
pub(super) struct Found {
    pub(super) entry: &'static Entry,
    /// All of it.
    pub(super) at: Range<usize>,
    /// What is replaced.
    pub(super) part: Range<usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// The table, built once.
pub(super) fn table() -> &'static Table {
    &TABLE
}

/// All entries, as the tables have them.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    [PHRASES, FRAMES, ANNOUNCEMENTS, COURTESY, FILLERS, LIGHTER]
        .into_iter()
        .flatten()
}

// === impl Table ===

impl Table {
    fn new() -> Self {
        let mut texts = Vec::new();
        let mut patterns = Vec::new();
        for entry in entries() {
            for wording in expand(entry.from) {
                texts.push(wording.text);
                patterns.push((entry, wording.part));
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            // All matches are wanted: the longest may stand where its context is wrong.
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("the tables are constants");
        let mut rules: Vec<_> = patterns.iter().map(|(entry, _)| entry.rule).collect();
        rules.dedup();
        Self {
            automaton,
            patterns,
            rules,
        }
    }

    /// Every wording of the tables in `body`, whole words only.
    pub(super) fn find<'a>(&'a self, body: &'a str) -> impl Iterator<Item = Found> + 'a {
        self.automaton
            .find_overlapping_iter(body)
            .filter_map(|hit| {
                let (entry, part) = &self.patterns[hit.pattern().as_usize()];
                let (start, end) = (hit.start(), hit.end());
                whole(body.as_bytes(), start, end).then(|| Found {
                    entry,
                    at: start..end,
                    part: start + part.start..start + part.end,
                })
            })
    }

    /// Whether one of the rules has an entry.
    pub(super) fn serves(&self, rules: RuleSet) -> bool {
        self.rules.iter().any(|rule| rules.has(*rule))
    }

    /// How many wordings there are, by rule.
    #[cfg(test)]
    pub(super) fn patterns(&self) -> &[(&'static Entry, Range<usize>)] {
        &self.patterns
    }
}

/// Whether no word, path or address goes on at either end.
fn whole(bytes: &[u8], start: usize, end: usize) -> bool {
    let joins =
        |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_'-/@#&*\\".contains(&byte);
    let inner = |at: usize| bytes[at].is_ascii_alphanumeric();
    let before =
        start == 0 || !inner(start) || !(joins(bytes[start - 1]) || bytes[start - 1] == b'.');
    let after = end == bytes.len() || !inner(end - 1) || !joins(bytes[end]);
    before && after
}
