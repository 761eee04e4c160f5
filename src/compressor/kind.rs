//! Names what a line is, for the rules that ask, for the statistics and for people.

use std::{fmt, str::FromStr};

use super::{code, lines::Line, look::Look};

/// What a line of a message is. Only the first three are ever reworded; which rules touch the others is
/// said at each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing but white space.
    Blank,
    /// Sentences, list items, headings.
    Prose,
    /// A sentence with placeholders, formulas or the like in it.
    Marked,
    /// Prose whose line breaks are a form of their own.
    Verse,
    /// Likely part of the prose around it, but the doubt is too great.
    Doubtful,
    /// What the task is about: to be translated, corrected, summed up, counted.
    Payload,
    /// A demonstration of questions and answers.
    Example,
    /// A quotation of several lines.
    Quote,
    /// Fenced code, the fences included.
    Fence,
    /// Code without a fence.
    Code,
    /// A change to a file.
    Diff,
    /// Commands and their prompts.
    Shell,
    /// Log lines and other lists that begin with figures.
    Log,
    /// A stack trace.
    Trace,
    /// JSON and what has its brackets.
    Json,
    /// `key: value` lines.
    Entries,
    /// XML, HTML and what stands between their tags.
    Markup,
    /// A line of text between tags.
    Enclosed,
    /// A Markdown table.
    Table,
    /// Separated values, and columns made of blanks.
    Columns,
    /// A formula over several lines.
    Formula,
    /// What stands in for lines that were folded.
    Reference,
}

/// The word given is no kind of line; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of content: the kinds are {list}", list = names())]
pub struct UnknownKind(String);

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Blank,
        Self::Prose,
        Self::Marked,
        Self::Verse,
        Self::Doubtful,
        Self::Payload,
        Self::Example,
        Self::Quote,
        Self::Fence,
        Self::Code,
        Self::Diff,
        Self::Shell,
        Self::Log,
        Self::Trace,
        Self::Json,
        Self::Entries,
        Self::Markup,
        Self::Enclosed,
        Self::Table,
        Self::Columns,
        Self::Formula,
        Self::Reference,
    ];

    /// Its name in statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Prose => "prose",
            Self::Marked => "marked",
            Self::Verse => "verse",
            Self::Doubtful => "doubtful",
            Self::Payload => "payload",
            Self::Example => "example",
            Self::Quote => "quote",
            Self::Fence => "fence",
            Self::Code => "code",
            Self::Diff => "diff",
            Self::Shell => "shell",
            Self::Log => "log",
            Self::Trace => "trace",
            Self::Json => "json",
            Self::Entries => "entries",
            Self::Markup => "markup",
            Self::Enclosed => "enclosed",
            Self::Table => "table",
            Self::Columns => "columns",
            Self::Formula => "formula",
            Self::Reference => "reference",
        }
    }

    /// What may happen to it, in a sentence for people.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Blank => "runs of them may become one",
            Self::Prose => "sentences: may be reworded",
            Self::Marked => "sentences with signs in them: may be reworded around what stays",
            Self::Verse => "its line breaks are a form: its words stay",
            Self::Doubtful => "may be more than text: its words stay",
            Self::Payload => "what the task is about, or what a tool said: its words stay",
            Self::Example => "a demonstration, a speaker or a label: its words stay",
            Self::Quote => "a quotation of several lines: stays",
            Self::Fence => "fenced code: stays byte for byte",
            Self::Code => "code: stays, unless it stands elsewhere",
            Self::Diff => "a change to a file: stays",
            Self::Shell => "commands: stay",
            Self::Log => "log lines: stay, unless they repeat or a template gives them back",
            Self::Trace => "a stack trace: stays",
            Self::Json => "data: loses white space between its tokens at most",
            Self::Entries => "keys and values: stay",
            Self::Markup => "markup: stays",
            Self::Enclosed => "text within markup: its words stay",
            Self::Table => "a table: loses padding at most",
            Self::Columns => "columns: lose padding at most",
            Self::Formula => "a formula: stays",
            Self::Reference => "stands for lines that are said elsewhere",
        }
    }

    /// Whether its sentences may be reworded.
    pub(super) const fn is_wordable(self) -> bool {
        matches!(self, Self::Prose | Self::Marked)
    }

    /// Whether it is prose of some sort rather than code or data.
    pub(super) const fn is_text(self) -> bool {
        matches!(
            self,
            Self::Prose
                | Self::Marked
                | Self::Verse
                | Self::Doubtful
                | Self::Payload
                | Self::Example
        )
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut known = Self::ALL.iter();
        let known = known.find(|kind| kind.as_str() == name);
        known.copied().ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn names() -> String {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    names.join(", ")
}

/// The kind of a line outside of blocks.
pub(super) fn of(text: &str, line: &Line, look: Look) -> Kind {
    if line.is_blank() {
        return Kind::Blank;
    }
    match look {
        Look::Prose => Kind::Prose,
        Look::Marked => Kind::Marked,
        Look::Verse => Kind::Verse,
        Look::Kept => Kind::Doubtful,
        Look::Raw => match of_raw(line.body(text)) {
            // Indentation alone made it raw: what it looks like otherwise is chance.
            Kind::Columns | Kind::Entries if line.body - line.start >= 4 => Kind::Code,
            kind => kind,
        },
    }
}

fn of_raw(body: &str) -> Kind {
    let bytes = body.as_bytes();
    let first = bytes.first().copied().unwrap_or(b' ');
    let starts = |marks: &[&str]| marks.iter().any(|mark| body.starts_with(mark));
    if first == b'|' || bytes.last() == Some(&b'|') {
        Kind::Table
    } else if first == b'<' {
        Kind::Markup
    } else if starts(&["@@ ", "+++ ", "--- ", "diff --git "]) {
        Kind::Diff
    } else if starts(&["$ ", "# ", "% ", ">>> ", "... "]) || code::is_command(body) {
        Kind::Shell
    } else if code::is_trace(body) {
        Kind::Trace
    } else if code::is_log(body) || code::begins_with_figures(body) {
        Kind::Log
    } else if matches!(first, b'{' | b'}' | b'[' | b']' | b'"') {
        Kind::Json
    } else if code::is_entry(body) {
        Kind::Entries
    } else if bytes.contains(&b'\t') || body.contains("  ") {
        Kind::Columns
    } else {
        Kind::Code
    }
}
