//! Compares a message with its compressed form and names every hard fact that was lost or made up.
//!
//! The checks read the original with code of their own, which knows nothing of the compressor's
//! rules: what both get wrong in the same way would never be seen. Four rewritings are no damage:
//! JSON of the same value with its numbers spelled alike, a repeat folded to its first copy,
//! terminal colours taken out, and one indentation taken off every line.

mod bag;
mod facts;
mod fences;
mod json;
mod layout;
pub(crate) mod patterns;

use std::fmt;

pub(crate) use fences::fences;
pub(crate) use json::blobs as json_blobs;
pub(crate) use layout::code_lines;

use bag::Bag;
use patterns::{ANSI, Pattern};

/// What can be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Fence,
    Inline,
    Quoted,
    UrlPath,
    Json,
    Tag,
    Placeholder,
    Number,
    Identifier,
    Entity,
    Negation,
    Constraint,
    NonAscii,
    CodeLine,
    Indent,
    NewNumber,
    NewIdentifier,
    NewNegation,
    NewConstraint,
}

/// Everything that one comparison found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    kind: Kind,
    times: usize,
    example: String,
}

/// Names what `compressed` lost of `original`, or says what `original` never did.
pub(crate) fn check(original: &str, compressed: &str) -> Report {
    let mut report = Report::default();
    if original == compressed {
        return report;
    }
    if original.contains('\x1b') {
        let (original, compressed) = (without_ansi(original), without_ansi(compressed));
        compare(&original, &compressed, &mut report);
    } else {
        compare(original, compressed, &mut report);
    }
    report
}

fn compare(original: &str, compressed: &str, report: &mut Report) {
    let folded = fences::without_folded_repeats(original, compressed);
    fences::compare(&folded, compressed, report);

    let prose = fences::blanked(&folded);
    let blobs = json::blobs(&prose);
    json::compare(&blobs, compressed, report);
    let mut bare = prose.clone();
    for blob in &blobs {
        bare = bare.replace(blob.text, " ");
    }

    facts::compare_marked(&prose, &bare, &folded, compressed, report);
    facts::compare_words(&folded, &bare, compressed, report);
    facts::compare_letters(&folded, compressed, report);
    facts::compare_made_up(original, compressed, report);
    layout::compare(original, &prose, &blobs, compressed, report);
}

fn without_ansi(text: &str) -> String {
    ANSI.replace_all(text, "")
}

/// How often `pattern` finds each of its strings in `text`.
fn found(pattern: &Pattern, text: &str) -> Bag {
    pattern.find_all(text).into_iter().collect()
}

// === impl Report ===

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The kinds that were found, each once, in the order of `Kind`.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.findings.iter().map(|finding| finding.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn add(&mut self, kind: Kind, times: usize, example: &str) {
        if times > 0 {
            let example = example.chars().take(80).collect();
            self.findings.push(Finding {
                kind,
                times,
                example,
            });
        }
    }

    /// Adds all that `lost` holds, its first string for an example.
    fn add_bag(&mut self, kind: Kind, lost: &Bag) {
        self.add(kind, lost.total(), lost.first());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            nth,
            Finding {
                kind,
                times,
                example,
            },
        ) in self.findings.iter().enumerate()
        {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{kind:?} {times} ({example:?})")?;
        }
        Ok(())
    }
}
