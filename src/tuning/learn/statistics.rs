//! What was counted, as it stands in the file beside the rules: for `pegasus-nest rules`, and for the next process.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kinds::Tried;
use super::passages::Passage;
use super::trial::Trial;
use super::word::Word;
use crate::compressor::{Kind, Rule};

/// All that was counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Since when.
    pub(super) since: Option<Word<Timestamp>>,
    /// Until when.
    pub(super) until: Option<Word<Timestamp>>,
    /// Paid requests that were looked at.
    pub heard: u64,
    /// Those that there was no time for.
    pub missed: u64,
    /// Texts that came again.
    pub passages: Vec<Passage>,
    /// What the compressor's rules brought, by kind of content.
    pub(super) kinds: Vec<(Word<Rule>, Word<Kind>, Tried)>,
    /// The comparison with the hold-out: of all requests under a version, and of those with the text of a rule (zero).
    pub trials: Vec<(u32, Option<String>, Trial)>,
}

impl Statistics {
    /// Days that it is about, some hours at least, so that little does not look like much.
    pub fn days(&self) -> f64 {
        let (Some(Word(since)), Some(Word(until))) = (self.since, self.until) else {
            return 1.0;
        };
        let seconds = until.duration_since(since).as_secs_f64();
        (seconds / 86_400.0).max(0.25)
    }

    /// When counting began.
    pub fn since(&self) -> Option<Timestamp> {
        self.since.map(|Word(since)| since)
    }

    /// The texts that are known, the costliest first.
    pub fn costly(&self) -> Vec<&Passage> {
        let known = self.passages.iter();
        let mut known: Vec<_> = known.filter(|passage| passage.text.is_some()).collect();
        known.sort_by_key(|passage| std::cmp::Reverse((passage.cost(), passage.spent_tokens())));
        known
    }
}
