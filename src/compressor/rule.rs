//! The transformations by name: what each level does is the list below.
//!
//! Saved are `o200k_base` tokens in percent, measured rule by rule on 1,229 messages (345 thousand tokens) from public
//! projects; a category that is not named gained less than 0.05 %. Rules without a figure found nothing there and
//! were measured on texts written for them.
//!
//! | rule | before → after | what it keeps | saves |
//! |---|---|---|---|
//! | **safe** | | | **0.29 of all** |
//! | trailing-blanks | `We go. ␣␣↵` → `We go.↵`; in code only what all lines end with | fences, changes to files, tables; texts about white space | 0.19 of all; transcripts 0.49, long chat 0.31 |
//! | blank-lines | seven and more line ends → `↵↵` (fewer cost one token anyway), none around the text | those beside code, data, verse, quotations | 0.04 of all; code tasks 0.67, specifications 0.25 |
//! | inner-blanks | `home.  It` → `home. It`, also no-break spaces | columns, quotations, inline code | 0.04 of all; retrieval 0.55, mathematics 0.51, long chat 0.21 |
//! | invisible-characters | zero-width space, byte order mark, soft hyphen → nothing | joiners, scripts without spaces | issues 0.18 |
//! | decoration | a line of 40 `=` → `===`, where that is fewer tokens | fences, tables, demonstrations, headings underlined to their length | under 0.05 |
//! | learned-texts | what was learned on a service's own traffic, see `lessons.rs` | whatever is not, byte for byte, what an operator approved a shorter text for | what that is |
//! | **balanced** | | | **4.47 of all** |
//! | json-space | `{"a": 1}` → `{"a":1}` | literals byte for byte; fences, code, demonstrations of a wanted output | 2.81 of all; JSON 14.4, tool output 2.6, transcripts 1.8 |
//! | repeated-blocks | lines that stand above, from 160 bytes on, in a person's words from 400 → `[12 lines identical above, from: …]` | code, verse, demonstrations, a person's rows, texts that the task is about | 0.84 of all; templates 17.4, tool output 4.2, system prompts 0.20 |
//! | repeated-lines | four or more equal lines → the line and a count | the same, and system prompts | – |
//! | repeated-content | lines of earlier messages → `[40 lines identical to earlier, from: …]` | the earlier message; tasks about letters or copies | 4.3 of all, turn by turn; transcripts 5.7 |
//! | ansi-codes | `ESC[31merror` → `error` | visible text, links, moves within a line, colours that tell apart what nothing else does or that the text speaks of | 0.27 of all; tool output 1.6, transcripts 0.36 |
//! | progress-bars | frames that a carriage return overwrote → the last one | frames that say something else; fences | 97 of a `pip` log |
//! | table-padding | `\| a    \|` → `\| a\|` | cells byte for byte, code, escaped bars; trees, plans and boards; talk of form; Markdown that a tool shows | tables in Chinese text 1.7; 27 of a padded table, 23 of what database clients draw |
//! | column-padding | `web␣␣␣␣1/1␣␣␣Running` → `web 1/1 Running` | tables with empty cells or blanks in cells, code, talk of places | 0.12 of all; transcripts 0.29, tool output 0.21 |
//! | common-indent | indentation that all lines of a person’s sentences share → none | texts with code, fences, diffs, quotations | – |
//! | phrases | `in order to` → `to` | 115 entries, each with its context; spans that stay | personas 0.77, system prompts 0.04 |
//! | request-frames | `I would like you to write` → `Write` | questions about ability, subclauses, requests to more than one | 0.07 of all; personas 4.0, system prompts 0.10 |
//! | announcements | `It is important to note that it must` → `It must` | negations and obligations | under 0.05 |
//! | courtesy | `Please tell` → `Tell`, whole sentences of thanks | text that the task is about; an application's greetings and thanks | short chat 0.04 |
//! | fillers | `Basically, it` → `It` | corrections and answers (`Actually, no`) | under 0.05 |
//! | lead-emphasis | `- **Name**: x` → `- Name: x` | stressed words, code, lists that show an answer's form, texts about bold type | – |
//! | **aggressive** | | | **4.74 of all** |
//! | json-rows | `[{"a":1},{"a":2},…]` → `{"cols":["a"],"rows":[[1],[2],…]}` | tool output alone; literals, order; expands to the same | 32 of a flat compact array |
//! | log-templates | six or more lines that differ in figures → a template and the figures | tool output alone; expands to the same bytes | 72 of a service log |
//! | boilerplate | repeats from 80 bytes on, a person's words and their code without a fence from 160 on, in conversations from 160 on | as repeated-blocks, but for code | templates 4.0, transcripts 0.35; transcripts, turn by turn, 0.5 |
//! | contractions | `it is` → `it's` | emphasis, ends of clauses; not of `not` | 0.05 of all; personas 0.91, system prompts 0.22 |
//! | intensifiers | `very good` → `good` | negations, scales | under 0.05 |
//! | optional-that | `ensure that the` → `ensure the`, `I think that you` → `I think you` | nouns, other verbs, a second `that` | under 0.05 |
//! | emphasis | `**bold**` → `bold` | as lead-emphasis, operators, globs | under 0.05 |
//!
//! Tried and left out, because it did not pay or could not be kept harmless: dropping articles and other small
//! words (1.8 of all, but answers grow), abbreviations (`e.g.` is more tokens than `for example`), fenced JSON,
//! references to lines that differ in their line numbers only, to repeats shorter than a line, rows of nested objects,
//! bars that stand beside their figures (0.01 of all, and the bars may be the data).

use std::{fmt, str::FromStr};

use super::{Level, Role};

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal @ $level:ident;)+) => {
        /// One named transformation. The names stand in `compression.rules.deny`, in the statistics and in
        /// what `pegasus-nest explain` prints.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Rule {
            /// All of them, the lowest level first; what is learned comes last.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that users know it by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The lowest level at which it applies.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)+ }
            }
        }
    };
}

rules! {
    /// Blanks at the ends of lines.
    TrailingBlanks = "trailing-blanks" @ Safe;
    /// Runs of blank lines become one; blank lines around the text go.
    BlankLines = "blank-lines" @ Safe;
    /// Runs of spaces between words become one.
    InnerBlanks = "inner-blanks" @ Safe;
    /// Zero-width spaces, byte order marks and soft hyphens.
    Invisible = "invisible-characters" @ Safe;
    /// Long lines of dashes, equals signs and the like become short ones.
    Decoration = "decoration" @ Safe;
    /// Wordy phrases become plain ones: `in order to` becomes `to`.
    Phrases = "phrases" @ Balanced;
    /// Frames around a request: `I would like you to write` becomes `Write`.
    Frames = "request-frames" @ Balanced;
    /// Announcements of what follows: `It is important to note that`.
    Announcements = "announcements" @ Balanced;
    /// Greetings, thanks and `please`.
    Courtesy = "courtesy" @ Balanced;
    /// Words that say nothing: `Basically,`.
    Fillers = "fillers" @ Balanced;
    /// White space between the tokens of a JSON value.
    JsonSpace = "json-space" @ Balanced;
    /// A line repeated at once, several times, becomes the line and a count.
    RepeatedLines = "repeated-lines" @ Balanced;
    /// Lines that stand above in the same message become a reference.
    RepeatedBlocks = "repeated-blocks" @ Balanced;
    /// Lines that stand in an earlier message become a reference.
    RepeatedContent = "repeated-content" @ Balanced;
    /// Terminal control sequences.
    AnsiCodes = "ansi-codes" @ Balanced;
    /// Frames of a progress display that the terminal overwrote.
    ProgressBars = "progress-bars" @ Balanced;
    /// Padding in the cells of Markdown tables and of those that clients of databases draw.
    TablePadding = "table-padding" @ Balanced;
    /// Padding in the columns that commands print.
    ColumnPadding = "column-padding" @ Balanced;
    /// Indentation that all lines share.
    CommonIndent = "common-indent" @ Balanced;
    /// Bold type around the lead-in of a list item.
    LeadEmphasis = "lead-emphasis" @ Balanced;
    /// A uniform array of JSON objects becomes a header and rows.
    JsonRows = "json-rows" @ Aggressive;
    /// Lines of a log that differ in few places become a template and what differs.
    LogTemplates = "log-templates" @ Aggressive;
    /// Smaller repeats than at `balanced`.
    Boilerplate = "boilerplate" @ Aggressive;
    /// `it is` becomes `it's`.
    Contractions = "contractions" @ Aggressive;
    /// `very`, `really` and the like.
    Intensifiers = "intensifiers" @ Aggressive;
    /// `that` after a verb that can do without.
    OptionalThat = "optional-that" @ Aggressive;
    /// Bold type anywhere in prose.
    Emphasis = "emphasis" @ Aggressive;
    /// Texts for which an operator approved a shorter one. The last one, whatever its level: the numbers of the others
    /// are in the names of answers that are kept.
    Learned = "learned-texts" @ Safe;
}

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleSet(u32);

/// The word given is no rule; the message lists those that are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression rule: the rules are {list}", list = names())]
pub struct UnknownRule(String);

// === impl Rule ===

impl Rule {
    /// Whether it is ever tried in a text of this role.
    pub const fn admits(self, role: Role) -> bool {
        match self {
            _ if self.rewords() => matches!(role, Role::System | Role::User),
            Self::AnsiCodes | Self::ProgressBars | Self::ColumnPadding => {
                matches!(role, Role::User | Role::Tool)
            }
            Self::JsonRows | Self::LogTemplates => matches!(role, Role::Tool),
            Self::CommonIndent => !matches!(role, Role::System),
            Self::JsonSpace
            | Self::RepeatedLines
            | Self::RepeatedBlocks
            | Self::RepeatedContent
            | Self::Boilerplate => !matches!(role, Role::Assistant),
            _ => true,
        }
    }
}

// === impl RuleSet ===

impl RuleSet {
    /// What a level does.
    pub fn of(level: Level) -> Self {
        Rule::ALL
            .iter()
            .filter(|rule| rule.level() <= level)
            .copied()
            .collect()
    }

    /// One rule alone.
    pub const fn one(rule: Rule) -> Self {
        Self(1 << rule as u32)
    }

    /// These, less others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// These and others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Whether the rule is one of them.
    pub const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }

    /// A number that says which are in it.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Rule> for RuleSet {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self(
            rules
                .into_iter()
                .fold(0, |set, rule| set | 1 << rule as u32),
        )
    }
}

// === impl Rule ===

impl Rule {
    /// Whether it changes the words of sentences, and not only their white space or whole lines.
    pub(super) const fn rewords(self) -> bool {
        matches!(
            self,
            Self::Phrases
                | Self::Frames
                | Self::Announcements
                | Self::Courtesy
                | Self::Fillers
                | Self::Contractions
                | Self::Intensifiers
                | Self::OptionalThat
                | Self::LeadEmphasis
                | Self::Emphasis
        )
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|rule| rule.as_str() == name)
            .copied()
            .ok_or_else(|| UnknownRule(name.to_owned()))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn names() -> String {
    let names: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_contain_each_other() {
        assert!(RuleSet::of(Level::Off).is_empty());
        for (low, high) in [
            (Level::Safe, Level::Balanced),
            (Level::Balanced, Level::Aggressive),
        ] {
            assert!(RuleSet::of(low).without(RuleSet::of(high)).is_empty());
        }
        assert!(RuleSet::of(Level::Aggressive).has(Rule::Emphasis));
    }

    #[test]
    fn names_are_read_back() {
        for rule in Rule::ALL {
            assert_eq!(rule.as_str().parse(), Ok(*rule));
        }
        let error = "phrase".parse::<Rule>().unwrap_err().to_string();
        assert!(
            error.contains("phrases") && error.contains("\"phrase\""),
            "{error}"
        );
    }
}
