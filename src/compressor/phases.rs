//! The order in which the rules have their say.

use std::ops::Range;

use super::{
    Role, columns,
    document::Document,
    edit::Edit,
    indent, json,
    kind::Kind,
    logs, repeats,
    rule::{Rule, RuleSet},
    space, tables, terminal, wording,
};

/// Rules that work together, in one go over a text.
pub(super) struct Phase {
    /// Whether the text could have anything for it: a scan at most.
    pub(super) is_worth: fn(&str, RuleSet, Role) -> bool,
    pub(super) propose: fn(&Document<'_>, RuleSet, Role) -> Vec<Edit>,
    /// Whose edits these are.
    pub(super) rules: &'static [Rule],
}

/// In this order: what hides structure first, what needs it last.
pub(super) const PHASES: &[Phase] = &[
    Phase {
        is_worth: |text, rules, _| {
            (rules.has(Rule::AnsiCodes) || rules.has(Rule::ProgressBars))
                && memchr::memchr2(0x1B, b'\r', text.as_bytes()).is_some()
        },
        propose: |document, rules, role| {
            let mut edits = terminal::propose(document.text, rules, role);
            edits.retain(|edit| is_output(document, edit, role));
            edits
        },
        rules: &[Rule::AnsiCodes, Rule::ProgressBars],
    },
    Phase {
        is_worth: |text, rules, _| {
            (rules.has(Rule::JsonSpace) || rules.has(Rule::JsonRows))
                && memchr::memchr2(b'{', b'[', text.as_bytes()).is_some()
        },
        propose: |document, rules, role| {
            let fences: Vec<_> = document
                .runs(Kind::Fence)
                .map(|run| document.lines[run.start].start..document.lines[run.end - 1].next)
                .collect();
            json::propose(document.text, &fences, rules, role)
        },
        rules: &[Rule::JsonSpace, Rule::JsonRows],
    },
    Phase {
        is_worth: |text, _, _| space::is_worth_a_look(text),
        propose: space::propose,
        rules: &[
            Rule::TrailingBlanks,
            Rule::BlankLines,
            Rule::InnerBlanks,
            Rule::Invisible,
            Rule::Decoration,
        ],
    },
    Phase {
        is_worth: |text, rules, role| {
            rules.has(Rule::CommonIndent)
                && role != Role::System
                && text.starts_with([' ', '\t', '\n', '\r'])
        },
        propose: |document, _, role| indent::propose(document, role),
        rules: &[Rule::CommonIndent],
    },
    Phase {
        is_worth: |text, rules, role| {
            rules.has(Rule::TablePadding)
                && matches!(role, Role::Tool | Role::User)
                && memchr::memmem::find(text.as_bytes(), b"-+").is_some()
        },
        propose: tables::propose_boxed,
        rules: &[Rule::TablePadding],
    },
    Phase {
        // A tool shows such a table from a file, which whoever edits it names byte for byte.
        is_worth: |text, rules, role| {
            rules.has(Rule::TablePadding)
                && role != Role::Tool
                && memchr::memchr(b'|', text.as_bytes()).is_some()
        },
        propose: tables::propose_all,
        rules: &[Rule::TablePadding],
    },
    Phase {
        is_worth: |text, rules, role| {
            rules.has(Rule::ColumnPadding) && columns::is_worth_a_look(text, role)
        },
        propose: columns::propose,
        rules: &[Rule::ColumnPadding],
    },
    Phase {
        is_worth: |_, rules, role| {
            Rule::ALL
                .iter()
                .any(|rule| rule.rewords() && rules.has(*rule))
                && matches!(role, Role::System | Role::User)
        },
        propose: |document, rules, role| {
            wording::propose(document.text, &sentences(document), rules, role)
        },
        rules: &[
            Rule::Phrases,
            Rule::Frames,
            Rule::Announcements,
            Rule::Courtesy,
            Rule::Fillers,
            Rule::Contractions,
            Rule::Intensifiers,
            Rule::OptionalThat,
        ],
    },
    Phase {
        is_worth: |text, rules, role| {
            (rules.has(Rule::LeadEmphasis) || rules.has(Rule::Emphasis))
                && matches!(role, Role::System | Role::User)
                && memchr::memmem::find(text.as_bytes(), b"**").is_some()
        },
        propose: |document, rules, _| wording::emphasis(document.text, &sentences(document), rules),
        rules: &[Rule::LeadEmphasis, Rule::Emphasis],
    },
    Phase {
        is_worth: |_, rules, role| {
            role != Role::Assistant
                && [Rule::RepeatedLines, Rule::RepeatedBlocks, Rule::Boilerplate]
                    .iter()
                    .any(|rule| rules.has(*rule))
        },
        propose: repeats::propose,
        rules: &[Rule::RepeatedLines, Rule::RepeatedBlocks, Rule::Boilerplate],
    },
    Phase {
        is_worth: |_, rules, role| rules.has(Rule::LogTemplates) && role == Role::Tool,
        propose: |document, rules, _| {
            let open = document.kinds.iter().enumerate();
            let open = open.filter(|(_, kind)| !matches!(kind, Kind::Fence | Kind::Reference));
            let lines: Vec<_> = open.map(|(line, _)| document.body_range(line)).collect();
            logs::propose(document.text, &lines, rules)
        },
        rules: &[Rule::LogTemplates],
    },
];

/// Whether what a terminal would not show stands in its output: not in fenced code, and in a person's own words not in
/// what they quote, which may be what they ask about.
fn is_output(document: &Document<'_>, edit: &Edit, role: Role) -> bool {
    let lines = document.line_at(edit.at.start)..=document.line_at(edit.at.end.max(1) - 1);
    lines.into_iter().all(|line| match document.kinds[line] {
        Kind::Fence => false,
        Kind::Quote | Kind::Json if role == Role::User => false,
        _ => role != Role::User || !document.body(line).contains(['`', '"']),
    })
}

/// The bodies of the lines that may be reworded.
pub(super) fn sentences(document: &Document<'_>) -> Vec<Range<usize>> {
    if document.is_mostly_raw {
        return Vec::new();
    }
    let lines = document.kinds.iter().enumerate();
    lines
        .filter(|(_, kind)| kind.is_wordable())
        .map(|(line, _)| document.body_range(line))
        .collect()
}
