//! Folds what a message repeats from an earlier one of the same request.
//!
//! Only the later message changes, and what becomes of it depends on it and on the messages before it
//! alone: as a conversation grows, the bytes of its earlier turns stay what they were, so the provider's
//! prompt cache still hits.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::tokens::Vocabulary;

use super::{
    Compressed, Compressor, MIN_TOKENS, Role, Saving,
    document::{About, Document},
    edit::{self, Edit, Journal},
    kind::Kind,
    lines,
    memo::{Job, Recall},
    references,
    repeats::{bytes, fold, runs, whole},
    rule::{Rule, RuleSet},
    seen::{ALIKE, Seen, beginning},
};

/// Repeats are folded once the messages of a conversation, up to the one at hand, have repeated so many
/// characters: one large block, or a smaller one again and again.
const REPEATED: usize = 400;
/// The same at `aggressive`.
const REPEATED_AGGRESSIVE: usize = 160;
/// Fewer bytes in one place stay, and do not count.
const RUN: usize = 80;
/// A text that does not come to rest in so many rounds is not folded.
const ROUNDS: usize = 8;

/// The messages of one request, in their order.
#[derive(Default)]
pub struct Conversation<'t> {
    seen: Seen<'t>,
    known: Option<Recall<'t>>,
    /// How many characters the messages so far have repeated.
    repeated: usize,
}

/// Lines of the message at hand that stay, by their beginnings.
#[derive(Default)]
struct Own<'l> {
    alike: HashMap<&'l str, Vec<usize>>,
}

// === impl Compressor ===

impl Compressor {
    /// Whether a text may turn out to repeat an earlier one. A [`Conversation`] need not remember what stands after
    /// the last one that may.
    pub fn may_repeat(&self, text: &str, role: Role) -> bool {
        self.rules.has(Rule::RepeatedContent) && role != Role::Assistant && text.len() >= RUN
    }

    /// From how many repeated characters on repeats are folded.
    fn enough(&self) -> usize {
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

    /// The same, with what is known of texts that came before.
    pub fn with(known: Option<Recall<'t>>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// What one message comes to by itself.
    fn alone(&self, compressor: &Compressor, text: &str, role: Role) -> Option<Compressed> {
        let job = Job {
            compressor: compressor.clone(),
            role,
            leaves_short: true,
        };
        self.recall(job, text, || compressor.compress(text, role))
    }

    fn recall(
        &self,
        job: Job,
        text: &str,
        work: impl FnOnce() -> Option<Compressed>,
    ) -> Option<Compressed> {
        match self.known {
            Some(known) => known.recall(job, text, work),
            None => work(),
        }
    }

    /// The text as the compressor leaves it; whether that changed it.
    fn settle(
        &self,
        compressor: &Compressor,
        text: &mut Cow<'_, str>,
        role: Role,
        journal: &mut Journal,
    ) -> bool {
        let job = Job {
            compressor: compressor.clone(),
            role,
            leaves_short: false,
        };
        let settled = self.recall(job, text, || compressor.settle(text, role));
        let Some(settled) = settled else {
            return false;
        };
        *text = Cow::Owned(settled.text);
        for saving in settled.savings {
            Saving::add(&mut journal.savings, saving);
        }
        true
    }

    /// The next message's text, compressed; `None` when nothing changed.
    pub fn compress(
        &mut self,
        compressor: &Compressor,
        text: &str,
        role: Role,
    ) -> Option<Compressed> {
        if self.seen.is_empty()
            || !compressor.may_repeat(text, role)
            || !Vocabulary::O200k.has_at_least(text, MIN_TOKENS)
        {
            return self.alone(compressor, text, role);
        }
        // What this message says twice is folded last: to what an earlier one says, each copy refers by itself.
        let within = [
            Rule::RepeatedLines,
            Rule::RepeatedBlocks,
            Rule::Boilerplate,
            Rule::LogTemplates,
        ];
        let within: RuleSet = within.into_iter().collect();
        let first = compressor.clone().without(within);
        let last = compressor.clone().only(within);
        let mut journal = Journal::default();
        let mut current = Cow::Borrowed(text);
        let before = self.repeated;
        let mut folded = 0;
        for _ in 0..ROUNDS {
            self.settle(&first, &mut current, role, &mut journal);
            let (document, edits, repeated);
            if self.seen.has_a_line_of(&current) {
                document = Some(Document::of(&current, role));
                (edits, repeated) = document
                    .as_ref()
                    .map(|it| self.propose(it))
                    .unwrap_or_default();
            } else {
                (document, edits, repeated) = (None, Vec::new(), 0);
            }
            // What stays is proposed in each round, and counts once.
            self.repeated = before + folded + repeated;
            let shorter = if self.repeated < compressor.enough() {
                None
            } else {
                document.and_then(|it| edit::apply(&it, &edits, compressor.skips(), &mut journal))
            };
            if let Some(shorter) = shorter {
                current = Cow::Owned(shorter);
                folded += repeated;
            } else if !self.settle(&last, &mut current, role, &mut journal) {
                return match current {
                    Cow::Owned(text) => Some(Compressed {
                        text,
                        savings: journal.savings,
                    }),
                    Cow::Borrowed(_) => None,
                };
            }
        }
        self.alone(compressor, text, role)
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

    /// The edits that fold what is repeated, and how many characters that is.
    fn propose(&mut self, document: &Document<'_>) -> (Vec<Edit>, usize) {
        let (mut edits, mut repeated) = (Vec::new(), 0);
        // What is counted must stand in the message; an agent's own tools only mention copies.
        let counts = document.counts_copies && document.text.contains('?');
        if document.about == About::Wording || counts {
            return (edits, repeated);
        }
        let text = document.text;
        let lines = document.lines.iter();
        let lines: Vec<&str> = lines.map(|line| &text[line.start..line.end]).collect();
        self.seen.allow(lines.len());
        let mut own = Own::default();
        let mut read = 0;
        for open in runs(lines.len(), |line| document.kinds[line] != Kind::Reference) {
            let mut at = open.start;
            while at < open.end && !self.seen.is_spent() {
                // A bracket or a drawn line names nothing, and would be the longer part of a name.
                if !references::is_fence(lines[at])
                    && !lines[at]
                        .bytes()
                        .any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80)
                {
                    at += 1;
                    continue;
                }
                let run = at..at + self.seen.longest(&lines[at..open.end]);
                let run = whole(document, run);
                own.read(&lines, &mut read, run.start);
                let Some(edit) = self.reference(document, &lines, &own, run) else {
                    // A longer match, or one that can be named, may begin at the next line.
                    at += 1;
                    continue;
                };
                at = document.line_at(edit.at.end.max(1) - 1) + 1;
                // What becomes a reference is no line that another one could mean.
                read = at;
                repeated += text[edit.at.clone()].chars().count();
                edits.push(edit);
            }
        }
        (edits, repeated)
    }

    /// The edit that puts a reference in the place of the run or its beginning, if that is clearly shorter.
    fn reference(
        &self,
        document: &Document<'_>,
        lines: &[&str],
        own: &Own<'_>,
        run: Range<usize>,
    ) -> Option<Edit> {
        if bytes(document, &run) < RUN {
            return None;
        }
        // What this message says before would be the latest.
        let is_taken = |name: &str| own.begin_with(lines, name);
        let named = references::earlier(lines.get(run.clone())?, &self.seen, is_taken)?;
        let run = whole(document, run.start..run.start + named.lines);
        if run.len() != named.lines {
            return None;
        }
        let bytes = bytes(document, &run);
        let pays = bytes >= RUN && named.with.len() * 3 <= bytes * 2;
        pays.then(|| fold(document, run, named.with, Rule::RepeatedContent))
    }
}

// === impl Own ===

impl<'l> Own<'l> {
    /// Takes note of the lines from `read` on, up to `to`.
    fn read(&mut self, lines: &[&'l str], read: &mut usize, to: usize) {
        for (number, line) in lines.iter().enumerate().take(to).skip(*read) {
            self.alike.entry(beginning(line)).or_default().push(number);
        }
        *read = (*read).max(to);
    }

    /// Whether a line noted begins with the name; in doubt it does.
    fn begin_with(&self, lines: &[&str], name: &str) -> bool {
        let alike = self.alike.get(beginning(name));
        alike.is_some_and(|alike| {
            let is_named = |line: &usize| lines[*line].trim_start().starts_with(name);
            alike.len() > ALIKE || alike.iter().any(is_named)
        })
    }
}
