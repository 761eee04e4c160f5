//! Shortens the bars that a progress display draws beside its figures.
//!
//! `100%|██████████| 50/50 [00:01<00:00]` becomes `100%| 50/50 [00:01<00:00]`, and of the line that `pip`
//! draws in front of `1.2/1.2 MB` one sign stays: the figures say the same.

use std::ops::Range;

use memchr::memmem;

use crate::compressor::{Role, document::Document, edit::Edit, kind::Kind, rule::Rule};

/// A shorter run may be a sign of its own.
const LONG: usize = 5;
/// What a person sends with fewer bars may be about the bar.
const MANY: usize = 2;

/// Whether a drawn sign stands in the text.
pub(in crate::compressor) fn is_worth_a_look(text: &str, role: Role) -> bool {
    let has = |sign: &str| memmem::find(text.as_bytes(), sign.as_bytes()).is_some();
    match role {
        Role::Tool | Role::User => has("%|") || has("━━━━━") || has("█████"),
        Role::System | Role::Assistant => false,
    }
}

/// One deletion for each bar.
pub(in crate::compressor) fn propose(document: &Document<'_>, role: Role) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (number, kind) in document.kinds.iter().enumerate() {
        if matches!(kind, Kind::Fence | Kind::Diff | Kind::Quote | Kind::Markup) {
            continue;
        }
        let body = document.body(number);
        // Frames that a return parts are compared with each other, and mostly go.
        if body.contains('\r') {
            continue;
        }
        if let Some(bar) = cell(body).or_else(|| drawn(body)) {
            let from = document.lines[number].body;
            edits.push(Edit::deletion(
                from + bar.start..from + bar.end,
                Rule::ProgressBars,
            ));
        }
    }
    let is_output = match role {
        Role::Tool => true,
        Role::User => edits.len() >= MANY,
        Role::System | Role::Assistant => false,
    };
    if !is_output {
        edits.clear();
    }
    edits
}

/// A bar between two others, behind a percentage and in front of a count.
fn cell(line: &str) -> Option<Range<usize>> {
    let open = memmem::find(line.as_bytes(), b"%|")? + 1;
    let inner = &line[open + 1..];
    let length = inner.find('|')?;
    let is_bar = inner[..length]
        .chars()
        .all(|c| is_block(c) || c == ' ' || c == '#');
    let follows = inner[length + 1..].trim_start();
    let is_counted = line[..open - 1].ends_with(|c: char| c.is_ascii_digit())
        && follows.starts_with(|c: char| c.is_ascii_digit());
    // One bar stays between the figures.
    (is_bar && is_counted && length >= LONG).then_some(open + 1..open + length + 2)
}

/// A drawn run with figures of progress behind it: all but its first sign.
fn drawn(line: &str) -> Option<Range<usize>> {
    let start = line.find(is_drawn)?;
    let run = &line[start..];
    let end = start + run.find(|c: char| !is_drawn(c))?;
    let behind = &line[end..];
    let figures = behind.trim_start();
    let digits = figures
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let is_progress = digits > 0 && matches!(figures.as_bytes().get(digits), Some(b'%' | b'/'));
    let first = line[start..].chars().next()?.len_utf8();
    (is_progress && line[start..end].chars().count() >= LONG).then_some(start + first..end)
}

/// Full and part blocks.
fn is_block(c: char) -> bool {
    matches!(c, '\u{2588}'..='\u{258f}')
}

fn is_drawn(c: char) -> bool {
    is_block(c) || matches!(c, '━' | '╸' | '╺' | '░' | '▒' | '▓')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, role: Role) -> String {
        let document = Document::of(text, role);
        let mut out = String::new();
        let mut from = 0;
        for edit in propose(&document, role) {
            out.push_str(&text[from..edit.at.start]);
            from = edit.at.end;
        }
        out.push_str(&text[from..]);
        out
    }

    #[test]
    fn bars_beside_figures_go() {
        for (before, after) in [
            (
                "100%|██████████| 50/50 [00:01<00:00, 41.2it/s]",
                "100%| 50/50 [00:01<00:00, 41.2it/s]",
            ),
            (
                " 45%|████▌     | 45/100 [00:02<00:03]",
                " 45%| 45/100 [00:02<00:03]",
            ),
            (
                "Epoch 2:   0%|          | 0/50 [00:00<?]",
                "Epoch 2:   0%| 0/50 [00:00<?]",
            ),
            (
                "   ━━━━━━━━━━━━━━━━━━━━ 62.6/62.6 kB 3.4 MB/s",
                "   ━ 62.6/62.6 kB 3.4 MB/s",
            ),
            ("disk ██████░░░░ 60% used", "disk █ 60% used"),
        ] {
            assert_eq!(shown(before, Role::Tool), after);
            assert_eq!(shown(after, Role::Tool), after);
        }
    }

    #[test]
    fn what_is_no_bar_stays() {
        for text in [
            "━━━━━━━━━━━━━━━━━━━━",
            "━━━━━━━━ Results ━━━━━━━━",
            "apples ██████████ 12",
            "5%|a|b",
            "a 5%|     |",
            "if x %|     | 4:",
            "███ 60%",
            "45%|████▌     | 45/100\r50%|█████     | 50/100",
        ] {
            assert_eq!(shown(text, Role::Tool), text);
        }
    }

    #[test]
    fn a_single_bar_of_a_person_stays() {
        let bar = "45%|████▌     | 45/100";
        assert_eq!(shown(bar, Role::User), bar);
        assert_eq!(
            shown(&format!("{bar}\n{bar}"), Role::User),
            "45%| 45/100\n45%| 45/100"
        );
        assert_eq!(
            shown(&format!("{bar}\n{bar}"), Role::System),
            format!("{bar}\n{bar}")
        );
    }
}
