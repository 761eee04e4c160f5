//! `pegasus-nest explain`: shows what the compressor sees in a text, and what it does to it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::compress::Options;
use crate::compressor::{Explanation, Kind, Saving, Step};
use crate::config::Compression;
use crate::tokens::Vocabulary;

/// The options of `explain`.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct ExplainArgs {
    /// The text; - is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub options: Options,
    /// When to colour.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Reads the file and writes the explanation to standard output.
pub fn run(args: &ExplainArgs, configured: &Compression) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let colored = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        }
    };
    let compressor = args.options.compressor(configured);
    let explanation = compressor.explain(&text, args.options.role);
    let head = format!("{} as {}", compressor.level(), args.options.role);
    let shown = show(&text, &explanation, &head, Paint { colored });
    let mut out = io::stdout().lock();
    super::unless_closed(out.write_all(shown.as_bytes()).and_then(|()| out.flush()))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("standard input is not UTF-8 text")?;
        return Ok(text);
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", name(file)))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", name(file)))
}

/// A file's name, with nothing in it that could drive the terminal.
fn name(file: &Path) -> String {
    visible(&file.display().to_string())
}

const RED: &str = "31";
const GREEN: &str = "32";
const BLUE: &str = "34";
const CYAN: &str = "36";
const DIM: &str = "2";
const BOLD: &str = "1";

#[derive(Clone, Copy)]
struct Paint {
    colored: bool,
}

// === impl Paint ===

impl Paint {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colored && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The colour of a kind: green may be reworded, blue stays, dim is nothing.
    fn kind(self, kind: Kind, text: &str) -> String {
        let code = match kind {
            Kind::Blank => DIM,
            Kind::Prose | Kind::Marked => GREEN,
            Kind::Verse | Kind::Doubtful | Kind::Payload | Kind::Example | Kind::Quote => CYAN,
            _ => BLUE,
        };
        self.paint(code, text)
    }
}

fn show(text: &str, explanation: &Explanation, head: &str, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}",
        paint.paint(BOLD, &format!("What it is ({head})"))
    );
    if !paint.colored {
        let _ = writeln!(out, "what stays within a sentence stands in ‹ ›");
    }
    let mut spans = explanation.spans.iter().peekable();
    for (number, (kind, line)) in explanation.lines.iter().enumerate() {
        let mut shown = String::new();
        let mut from = 0;
        let mut names: Vec<&str> = Vec::new();
        while let Some((_, span, name)) = spans.next_if(|(at, ..)| *at == number) {
            shown.push_str(&paint.kind(*kind, &visible(&line[from..span.start])));
            let inner = visible(&line[span.clone()]);
            let marked = if paint.colored {
                paint.paint(BLUE, &inner)
            } else {
                format!("‹{inner}›")
            };
            shown.push_str(&marked);
            from = span.end;
            if !names.contains(name) {
                names.push(name);
            }
        }
        shown.push_str(&paint.kind(*kind, &visible(line[from..].trim_end_matches(['\n', '\r']))));
        if !names.is_empty() {
            let why = format!("  ({} stays)", names.join(", "));
            shown.push_str(&paint.paint(DIM, &why));
        }
        let _ = writeln!(
            out,
            "{:>5} {} {shown}",
            number + 1,
            paint.paint(DIM, &format!("{:9}", kind.as_str()))
        );
    }
    show_kinds(explanation, paint, &mut out);
    let _ = writeln!(
        out,
        "\n{}",
        paint.paint(BOLD, "What is changed, step by step")
    );
    if explanation.steps.is_empty() {
        let _ = writeln!(out, "nothing");
    }
    for step in &explanation.steps {
        show_step(step, paint, &mut out);
    }
    let savings = explanation
        .compressed
        .as_ref()
        .map_or(&[][..], |compressed| &compressed.savings);
    let after = explanation
        .compressed
        .as_ref()
        .map_or(text, |compressed| &compressed.text);
    show_sums(text, after, savings, paint, &mut out);
    out
}

fn show_step(step: &Step, paint: Paint, out: &mut String) {
    let tokens = if step.tokens == 1 { "token" } else { "tokens" };
    let _ = writeln!(
        out,
        "line {}, {}: {} {tokens} fewer",
        step.line,
        paint.paint(BOLD, step.rule.as_str()),
        step.tokens
    );
    for (mark, code, text) in [('-', RED, &step.before), ('+', GREEN, &step.after)] {
        for line in text.split_inclusive('\n') {
            let _ = writeln!(
                out,
                "  {}",
                paint.paint(code, &format!("{mark} {}", spaced(line)))
            );
        }
    }
}

/// Why the lines of each kind stay, or do not.
fn show_kinds(explanation: &Explanation, paint: Paint, out: &mut String) {
    let _ = writeln!(out, "\n{}", paint.paint(BOLD, "Why"));
    let is_there = |kind: &&Kind| explanation.lines.iter().any(|(other, _)| other == *kind);
    for kind in Kind::ALL.iter().filter(is_there) {
        let name = paint.kind(*kind, &format!("{:9}", kind.as_str()));
        let _ = writeln!(out, "      {name} {}", kind.why());
    }
}

fn show_sums(text: &str, after: &str, savings: &[Saving], paint: Paint, out: &mut String) {
    let _ = writeln!(out, "\n{}", paint.paint(BOLD, "What it saves"));
    let mut savings = savings.to_vec();
    savings.sort_by_key(|saving| std::cmp::Reverse(saving.tokens));
    let mut row = |rule: &str, kind: &str, edits: &str, chars: &str, tokens: &str| {
        let _ = writeln!(out, "{rule:22} {kind:9} {edits:>6} {chars:>11} {tokens:>7}");
    };
    if !savings.is_empty() {
        row("rule", "in", "edits", "characters", "tokens");
    }
    for saving in &savings {
        row(
            saving.rule.as_str(),
            saving.kind.as_str(),
            &saving.edits.to_string(),
            &saving.chars.to_string(),
            &saving.tokens.to_string(),
        );
    }
    for (name, vocabulary) in [
        ("o200k_base", Vocabulary::O200k),
        ("cl100k_base", Vocabulary::Cl100k),
    ] {
        let (before, after) = (vocabulary.count(text), vocabulary.count(after));
        let _ = writeln!(
            out,
            "{name}: {before} tokens before, {after} after, {}",
            share(before, after)
        );
    }
}

fn share(before: usize, after: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let share = match before {
        0 => 0.0,
        before => (before.saturating_sub(after)) as f64 * 100.0 / before as f64,
    };
    format!("{share:.1}% saved")
}

/// Control characters as their escapes, so that a text cannot drive the terminal.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push(c),
            c if c.is_control() || is_format(c) => {
                shown.extend(c.escape_default());
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that show nothing or turn the direction of what follows.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The same with blanks that can be seen.
fn spaced(text: &str) -> String {
    let shown = visible(text.strip_suffix('\n').unwrap_or(text));
    let trimmed = shown.trim_end_matches(' ');
    let blanks = shown.len() - trimmed.len();
    let mut shown = trimmed.to_owned();
    shown.extend(std::iter::repeat_n('·', blanks));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compressor::{Compressor, Level, Role};

    #[test]
    fn shows_kinds_changes_and_sums() {
        let text = format!(
            "Please tell us  what it is.\nA {{name}} is what we use here.\n\n{}\n\n```\ncode  here\n```\n\x1b[31mred",
            "It was cold, and nobody was there to open the door for us.\n".repeat(8)
        );
        let explanation = Compressor::new(Level::Safe).explain(&text, Role::System);
        let shown = show(
            &text,
            &explanation,
            "safe as system",
            Paint { colored: false },
        );
        for part in [
            "prose     Please tell us  what it is.",
            "A ‹{name}› is what we use here.  (placeholder stays)",
            "fence     code  here",
            "fence     fenced code: stays byte for byte",
            "inner-blanks",
            "\\u{1b}[31mred",
            "o200k_base: ",
            "% saved",
        ] {
            assert!(shown.contains(part), "{part} is not in:\n{shown}");
        }
        assert!(!shown.contains('\x1b'));
        let colored = show(
            &text,
            &explanation,
            "safe as system",
            Paint { colored: true },
        );
        assert!(colored.contains("\x1b[32m"));
    }
}
