//! `pegasus-nest rules`: what compression has learned, and what the operator says to it.
//!
//! The service and this command share two files (`compression.rules.file` and the statistics beside it), so that it works
//! whether the service runs or not; one that runs follows within a second.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::compressor::{Kind, Lesson, Rule, Unit};
use crate::config::Config;
use crate::tuning::learn::{Book, Entry, Mode, Passage, Shelf, Skip, Span, State, Statistics};
use crate::words::some;

mod approve;
mod costly;
mod diff;
mod list;
mod propose;

/// The options of `rules`.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct RulesArgs {
    #[command(subcommand)]
    pub what: What,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with the rules.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum What {
    /// List the rules, and how they do against the hold-out.
    List,
    /// List texts that come again and again, the costliest first.
    Costly {
        /// So many of them.
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// Print their whole texts.
        #[arg(long)]
        full: bool,
    },
    /// Ask a model for a shorter version of a text, show it, and keep it for approval. This sends the text, and costs.
    Propose(propose::ProposeArgs),
    /// Put a shorter version in the place of a text, from the next version of the rules on.
    Approve(approve::ApproveArgs),
    /// Do without a rule: that about a text, or one of the compressor's that was left out in a kind of content.
    Deny {
        /// The name of a text (or its beginning), or RULE:KIND such as phrases:prose, which is then never left out.
        #[arg(value_name = "ID")]
        target: String,
        #[command(flatten)]
        when: When,
    },
    /// Keep a rule as it is, whatever the hold-out says.
    Pin {
        /// The name of a text (or its beginning), or RULE:KIND.
        #[arg(value_name = "ID")]
        target: String,
        /// Let it be decided again.
        #[arg(long)]
        undo: bool,
    },
    /// Print the rule file.
    Export,
    /// Take over the rules of another service's file, from the next version on.
    Import {
        /// The file; - is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        when: When,
    },
}

/// When a decision has its effect.
#[derive(Clone, Copy, Debug, Args, PartialEq, Eq)]
pub struct When {
    /// Begin the next version at once: a version lives for a day otherwise, so that prompts stay the same for the
    /// provider's cache. Conversations under way keep theirs, but what is denied ends in them as well.
    #[arg(long)]
    pub now: bool,
}

/// What a command works on.
struct Desk<'c> {
    config: &'c Config,
    shelf: Shelf,
    statistics: Statistics,
    is_json: bool,
}

/// A rule that a word names.
enum Target {
    Text(Box<Entry>),
    Skip(Rule, Kind),
}

/// Does what the options say.
pub fn run(args: &RulesArgs, config: &Config) -> anyhow::Result<()> {
    let shelf = Shelf::new(config.compression.learning.file.clone());
    let desk = Desk {
        config,
        statistics: shelf.statistics()?,
        shelf,
        is_json: args.json,
    };
    match &args.what {
        What::List => list::run(&desk),
        What::Costly { limit, full } => costly::run(&desk, *limit, *full),
        What::Propose(args) => propose::run(&desk, args),
        What::Approve(args) => approve::run(&desk, args),
        What::Deny { target, when } => desk.deny(target, *when),
        What::Pin { target, undo } => desk.pin(target, !undo),
        What::Export => say(&desk.shelf.read()?.write()),
        What::Import { file, when } => desk.import(file, *when),
    }
}

/// Prints to standard output.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    super::unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The text of a file; - is standard input.
fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("standard input is not UTF-8 text")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

// === impl Desk ===

impl Desk<'_> {
    /// The text with this name, or the beginning of it: as a rule has it, else as it was counted.
    fn text(&self, book: &Book, id: &str) -> anyhow::Result<Entry> {
        let is_fit = id.len() >= 4 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_fit {
            bail!(
                "{id:?} is no name of a text: give four or more of the digits that `rules costly` or `rules list` show"
            );
        }
        let id = id.to_ascii_lowercase();
        let rules = book
            .rules
            .iter()
            .filter(|entry| entry.id().starts_with(&id));
        let mut found: Vec<Entry> = rules.cloned().collect();
        for passage in self.statistics.costly() {
            let is_known = found.iter().any(|entry| entry.id() == passage.id());
            if passage.id().starts_with(&id) && !is_known {
                found.push(entry(passage));
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => bail!(
                "no text has the name {id}: `pegasus-nest rules costly` lists those that are known"
            ),
            many => bail!("{many} texts have names that begin with {id}: give more of its digits"),
        }
    }

    fn target(&self, book: &Book, target: &str) -> anyhow::Result<Target> {
        match target.split_once(':') {
            Some((rule, kind)) => Ok(Target::Skip(rule.parse()?, kind.parse()?)),
            None => Ok(Target::Text(Box::new(self.text(book, target)?))),
        }
    }

    fn deny(&self, target: &str, when: When) -> anyhow::Result<()> {
        let target = self.target(&self.shelf.read()?, target)?;
        let (told, book) = self.shelf.change(|book| {
            let version = book.version;
            let told = match &target {
                Target::Text(entry) => {
                    let mut denied = book
                        .find(&entry.id())
                        .cloned()
                        .unwrap_or_else(|| (**entry).clone());
                    denied.state = State::Denied;
                    denied.span.end_after(version);
                    let told = format!("{} is denied", denied.id());
                    book.put(denied);
                    told
                }
                Target::Skip(rule, kind) => {
                    let mut skip = book
                        .skip(*rule, *kind)
                        .cloned()
                        .unwrap_or_else(|| new_skip(*rule, *kind));
                    skip.state = State::Denied;
                    skip.span.end_after(version);
                    match book.skip_mut(*rule, *kind) {
                        Some(known) => *known = skip,
                        None => book.skips.push(skip),
                    }
                    format!("{rule} is never left out in {kind}")
                }
            };
            book.advance(Timestamp::now(), false, when.now);
            told
        })?;
        self.confirm(&told, &book)
    }

    fn pin(&self, target: &str, is_pinned: bool) -> anyhow::Result<()> {
        let target = self.target(&self.shelf.read()?, target)?;
        let (told, book) = self.shelf.change(|book| {
            let pinned = match &target {
                Target::Text(entry) => book.find_mut(&entry.id()).map(|entry| &mut entry.is_pinned),
                Target::Skip(rule, kind) => {
                    book.skip_mut(*rule, *kind).map(|skip| &mut skip.is_pinned)
                }
            };
            let pinned = pinned.context("there is no rule about it to pin: approve one first")?;
            *pinned = is_pinned;
            anyhow::Ok(if is_pinned {
                "it is pinned"
            } else {
                "it is not pinned"
            })
        })?;
        self.confirm(told?, &book)
    }

    fn import(&self, file: &Path, when: When) -> anyhow::Result<()> {
        let other = Book::parse(&read(file)?).with_context(|| format!("{}", file.display()))?;
        let (count, book) = self.shelf.change(|book| {
            let mut count = 0_u64;
            for mut entry in other.rules {
                let known = book.find(&entry.id()).cloned();
                let is_same =
                    |known: &Entry| (&known.lesson, known.state) == (&entry.lesson, entry.state);
                // What somebody thought of elsewhere undoes nothing that was approved here.
                let is_undoing = |known: &Entry| {
                    (known.state, entry.state) == (State::Approved, State::Proposed)
                };
                if known
                    .as_ref()
                    .is_some_and(|known| is_same(known) || is_undoing(known))
                {
                    continue;
                }
                entry.before = None;
                entry.span = match (entry.state, known) {
                    (State::Approved, _) => Span::begin_after(book.version),
                    // The shorter text that is in force here ends by itself.
                    (_, Some(known)) if known.lesson != entry.lesson => Span::default(),
                    (_, Some(mut known)) => {
                        known.span.end_after(book.version);
                        known.span
                    }
                    (_, None) => Span::default(),
                };
                book.put(entry);
                count += 1;
            }
            book.advance(Timestamp::now(), false, when.now);
            count
        })?;
        let told = format!(
            "{} taken over into {}; skips are learned by each service for itself",
            some(count, "rule"),
            self.place()
        );
        self.confirm(&told, &book)
    }

    /// Where the rules are, and whether the file is there: a relative path is another one elsewhere.
    fn place(&self) -> String {
        let path = self.shelf.path();
        let shown = super::shown(path);
        if path.exists() {
            shown
        } else {
            format!("{shown}, which is not there (compression.rules.file)")
        }
    }

    /// Says what was done, and when it has its effect.
    fn confirm(&self, told: &str, book: &Book) -> anyhow::Result<()> {
        let effect = self.effect(book);
        if self.is_json {
            let told = serde_json::json!({"done": told, "effect": effect, "version": book.version});
            return say(&format!("{told}\n"));
        }
        say(&format!("{told}; {effect}\n"))
    }

    /// When what is decided has its effect.
    fn effect(&self, book: &Book) -> String {
        let mode = self.config.compression.learning.mode;
        if mode != Mode::Act {
            let mode = mode.as_str();
            return format!(
                "nothing is applied while compression.learn is {mode}: set it to \"act\""
            );
        }
        let mut next = book.clone();
        if !next.advance(Timestamp::now(), false, true) {
            return format!("version {} is in force", book.version);
        }
        let next = next.version;
        match book.due().filter(|due| *due > Timestamp::now()) {
            Some(due) => {
                format!("version {next} has it, which begins at {due:.0}; --now begins it at once")
            }
            None => format!("version {next} has it, which begins as soon as the service looks"),
        }
    }
}

/// What a rule about a text would be.
fn entry(passage: &Passage) -> Entry {
    Entry {
        lesson: Lesson {
            role: passage.role(),
            unit: passage.unit(),
            text: passage.text.as_deref().unwrap_or_default().into(),
            with: "".into(),
        },
        state: State::Proposed,
        is_pinned: false,
        span: Span::default(),
        before: None,
        note: None,
    }
}

fn new_skip(rule: Rule, kind: Kind) -> Skip {
    Skip {
        rule,
        kind,
        state: State::Denied,
        is_pinned: false,
        span: Span::default(),
        since: None,
        note: None,
    }
}

/// Whether a shorter version is at hand: what was proposed, or that a phrase goes.
fn has_proposal(entry: &Entry) -> bool {
    !entry.lesson.with.is_empty() || entry.lesson.unit == Unit::Phrase
}
