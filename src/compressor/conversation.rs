//! Folds what a message repeats from an earlier one of the same request.
//!
//! Only the later message changes, and what becomes of it depends on it and on the messages before it
//! alone: as a conversation grows, the bytes of its earlier turns stay what they were, so the provider's
//! prompt cache still hits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::tokens::Vocabulary;

use super::{
    Compressed, Compressor, MIN_TOKENS, Role, Saving,
    document::{About, Document},
    edit::{self, Edit, Journal},
    kind::Kind,
    lines, references,
    repeats::{fold, runs, whole},
    rule::Rule,
    seen::{Seen, beginning},
};

/// Repeats are folded once the messages of a conversation, up to the one at hand, have repeated so many
/// bytes: one large block, or a smaller one again and again.
const REPEATED: usize = 400;
/// The same at `aggressive`.
const REPEATED_AGGRESSIVE: usize = 160;
/// Fewer bytes in one place stay, and do not count.
const RUN: usize = 100;
/// A text that does not come to rest in so many rounds is not folded.
const ROUNDS: usize = 6;

/// The messages of one request, in their order.
#[derive(Default)]
pub struct Conversation<'t> {
    seen: Seen<'t>,
    /// How many bytes the messages so far have repeated.
    repeated: usize,
}

// === impl Compressor ===

impl Compressor {
    /// Whether a text may turn out to repeat an earlier one. A [`Conversation`] need not remember what stands after
    /// the last one that may.
    pub fn may_repeat(self, text: &str, role: Role) -> bool {
        self.rules.has(Rule::RepeatedContent) && role != Role::Assistant && text.len() >= RUN
    }

    /// From how many repeated bytes on repeats are folded.
    fn enough(self) -> usize {
        if self.rules.has(Rule::Boilerplate) {
            REPEATED_AGGRESSIVE
        } else {
            REPEATED
        }
    }
}

// === impl Conversation ===

impl<'t> Conversation<'t> {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next message's text, compressed; `None` when nothing changed.
    pub fn compress(
        &mut self,
        compressor: Compressor,
        text: &str,
        role: Role,
    ) -> Option<Compressed> {
        let compressed = compressor.compress(text, role);
        let folded = {
            let text = compressed
                .as_ref()
                .map_or(text, |compressed| &compressed.text);
            self.fold(compressor, text, role)
        };
        match (compressed, folded) {
            (Some(mut first), Some(second)) => {
                first.text = second.text;
                for saving in second.savings {
                    Saving::add(&mut first.savings, saving);
                }
                Some(first)
            }
            (first, second) => second.or(first),
        }
    }

    /// A message as it goes out: later ones may repeat it.
    pub fn remember(&mut self, text: impl Into<Cow<'t, str>>) {
        let text = text.into();
        let lines = lines::split(&text);
        self.seen.begin(text);
        for line in lines {
            if references::is_reference(line.body(self.seen.text())) {
                self.seen.part();
            } else {
                self.seen.push(line.start..line.end);
            }
        }
    }

    /// The text with references for what stands in earlier messages, compressed and at rest.
    fn fold(&mut self, compressor: Compressor, text: &str, role: Role) -> Option<Compressed> {
        if self.seen.is_empty()
            || !compressor.may_repeat(text, role)
            || !Vocabulary::O200k.has_at_least(text, MIN_TOKENS)
        {
            return None;
        }
        let mut journal = Journal::default();
        let mut current = Cow::Borrowed(text);
        for _ in 0..ROUNDS {
            let document = Document::of(&current, role);
            let (mut edits, repeated) = self.propose(&document);
            self.repeated += repeated;
            if self.repeated < compressor.enough() {
                edits.clear();
            }
            let Some(folded) = edit::apply(&document, &edits, &mut journal) else {
                return matches!(current, Cow::Owned(_)).then(|| Compressed {
                    text: current.into_owned(),
                    savings: journal.savings,
                });
            };
            let mut later = Journal::default();
            current = Cow::Owned(match compressor.rest(&folded, role, &mut later) {
                Some(rested) => rested,
                None => folded,
            });
            for saving in later.savings {
                Saving::add(&mut journal.savings, saving);
            }
        }
        None
    }

    /// The edits that fold what is repeated, and how many bytes that is.
    fn propose(&mut self, document: &Document<'_>) -> (Vec<Edit>, usize) {
        let (mut edits, mut repeated) = (Vec::new(), 0);
        if document.about == About::Wording {
            return (edits, repeated);
        }
        let text = document.text;
        let bytes = |run: &Range<usize>| match run.clone().last() {
            Some(last) => document.lines[last].end - document.lines[run.start].start,
            None => 0,
        };
        let lines = document.lines.iter();
        let lines: Vec<&str> = lines.map(|line| &text[line.start..line.end]).collect();
        self.seen.allow(lines.len());
        let mut alike = HashMap::new();
        for (number, line) in lines.iter().enumerate() {
            alike.entry(beginning(line)).or_insert(number);
        }
        for open in runs(lines.len(), |line| document.kinds[line] != Kind::Reference) {
            let mut at = open.start;
            while at < open.end && !self.seen.is_spent() {
                let run = at..at + self.seen.longest(&lines[at..open.end]);
                if bytes(&run) < RUN {
                    // A longer match may begin at the next line.
                    at += 1;
                    continue;
                }
                at = run.end;
                let run = whole(document, run);
                if bytes(&run) >= RUN
                    && let Some((edit, bytes)) = self.reference(document, &lines, &alike, run)
                {
                    at = document.line_at(edit.at.end.max(1) - 1) + 1;
                    repeated += bytes;
                    edits.push(edit);
                }
            }
        }
        (edits, repeated)
    }

    /// The edit that puts a reference in the place of the run or its beginning, if that is at most half as long; `alike`
    /// has the first line of the message with each beginning.
    fn reference(
        &self,
        document: &Document<'_>,
        lines: &[&str],
        alike: &HashMap<&str, usize>,
        run: Range<usize>,
    ) -> Option<(Edit, usize)> {
        // What this message says before would be the latest.
        if *alike.get(beginning(lines[run.start]))? < run.start {
            return None;
        }
        let named = references::earlier(lines.get(run.clone())?, &self.seen)?;
        let run = whole(document, run.start..run.start + named.lines);
        if run.len() != named.lines {
            return None;
        }
        let bytes = document.lines[run.end - 1].end - document.lines[run.start].start;
        let pays = bytes >= RUN && named.with.len() * 2 <= bytes;
        pays.then(|| {
            (
                fold(document, run, named.with, Rule::RepeatedContent),
                bytes,
            )
        })
    }
}
