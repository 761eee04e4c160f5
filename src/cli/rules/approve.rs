//! `rules approve`: a shorter version, compared with the text that it stands for.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::diff::diff;
use super::{Desk, When, has_proposal, read, say};
use crate::compressor::{Lesson, differences};
use crate::tokens::Vocabulary;
use crate::tuning::learn::{Entry, Span, State};

/// The options of `rules approve`.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct ApproveArgs {
    /// The name of a text, or its beginning.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The shorter version, from this file; - is standard input. Without it, the one that was proposed.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Approve it although numbers, names, negations or words that bind are not the same.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub when: When,
}

/// A shorter version beside the text that it stands for.
pub(super) struct Comparison {
    id: String,
    /// Tokens before and after, in `o200k_base` and `cl100k_base`.
    pub(super) tokens: [(usize, usize); 2],
    /// What is not the same.
    pub(super) differences: Vec<String>,
    text: String,
    with: String,
}

// === impl Comparison ===

impl Comparison {
    pub(super) fn of(entry: &Entry) -> Self {
        let Lesson { text, with, .. } = &entry.lesson;
        let count = |vocabulary: Vocabulary| (vocabulary.count(text), vocabulary.count(with));
        Self {
            id: entry.id(),
            tokens: [count(Vocabulary::O200k), count(Vocabulary::Cl100k)],
            differences: differences(text, with),
            text: text.to_string(),
            with: with.to_string(),
        }
    }

    /// For people.
    pub(super) fn show(&self) -> String {
        let mut shown = format!("{}\n\n", diff(&self.text, &self.with));
        for ((before, after), vocabulary) in
            self.tokens.into_iter().zip(["o200k_base", "cl100k_base"])
        {
            let _ = writeln!(shown, "{vocabulary}: {before} tokens before, {after} after");
        }
        if self.differences.is_empty() {
            shown += "numbers, names, negations and words that bind are the same\n";
        }
        for difference in &self.differences {
            let _ = writeln!(
                shown,
                "differs: {}",
                super::super::explain::visible(difference)
            );
        }
        shown
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let [(before, after), (before_too, after_too)] = self.tokens;
        json!({
            "id": self.id,
            "text": self.text,
            "with": self.with,
            "tokens": {
                "o200k_base": {"before": before, "after": after},
                "cl100k_base": {"before": before_too, "after": after_too},
            },
            "differences": self.differences,
        })
    }
}

pub(super) fn run(desk: &Desk<'_>, args: &ApproveArgs) -> anyhow::Result<()> {
    let mut entry = desk.text(&desk.shelf.read()?, &args.id)?;
    if let Some(file) = &args.text {
        let with = read(file)?;
        // The line end that an editor leaves at the end of a file is none of the text's.
        let with = if entry.lesson.text.ends_with('\n') {
            &with
        } else {
            with.trim_end_matches(['\r', '\n'])
        };
        entry.lesson.with = with.into();
    } else if !has_proposal(&entry) {
        let id = entry.id();
        bail!(
            "nothing was proposed for {id}: give the shorter version with --text FILE, or ask a model with `pegasus-nest rules propose {id}`"
        );
    }
    entry.lesson.check()?;
    let comparison = Comparison::of(&entry);
    if !comparison.differences.is_empty() && !args.force {
        if !desk.is_json {
            say(&comparison.show())?;
        }
        bail!(
            "it was not approved, because these differ: {}. If that is meant, say --force",
            comparison.differences.join("; ")
        );
    }
    let (_, book) = desk.shelf.change(|book| {
        let known = book.find(&entry.id());
        // The same again changes nothing, also not the version that it began with.
        if known.is_none_or(|known| known.state != State::Approved || known.lesson != entry.lesson)
        {
            // It was the other text that was to stay, whatever the hold-out says.
            entry.is_pinned &= known.is_some_and(|known| known.lesson == entry.lesson);
            entry.state = State::Approved;
            entry.span = Span::begin_after(book.version);
            entry.note = (!comparison.differences.is_empty()).then(|| {
                format!(
                    "approved although these differ: {}",
                    comparison.differences.join("; ")
                )
            });
            book.put(entry);
        }
        book.advance(Timestamp::now(), false, args.when.now)
    })?;
    let effect = desk.effect(&book);
    if desk.is_json {
        let mut told = comparison.json();
        told["state"] = "approved".into();
        told["effect"] = effect.into();
        return say(&format!("{told}\n"));
    }
    say(&format!(
        "{}\n{} is approved; {effect}\n",
        comparison.show(),
        comparison.id
    ))
}
