//! Takes away the indentation that all lines of a text share.

use super::{Role, document::Document, edit::Edit, kind::Kind, rule::Rule, space};

/// The edit that takes away the indentation which all lines share: two spaces or more, or tabs.
pub(super) fn propose(document: &Document<'_>, role: Role) -> Vec<Edit> {
    let text = document.text;
    let written = || document.lines.iter().filter(|line| !line.is_blank());
    let Some(first) = written().next().filter(|_| written().count() >= 3) else {
        return Vec::new();
    };
    let shared = written().fold(first.indent(text), |shared, line| {
        let same = shared.bytes().zip(line.indent(text).bytes());
        &shared[..same.take_while(|(a, b)| a == b).count()]
    });
    let is_enough = shared.len() >= 2 || shared == "\t";
    // A fence, a diff or a quotation may count its blanks from the edge.
    let is_free = !document
        .kinds
        .iter()
        .any(|kind| matches!(kind, Kind::Fence | Kind::Diff | Kind::Quote | Kind::Formula));
    if !is_enough || !is_free || space::is_about_space(text, role) {
        return Vec::new();
    }
    // All lines move or none does, so this is one edit.
    let mut moved = String::with_capacity(text.len());
    for line in &document.lines {
        let indent = if line.is_blank() { 0 } else { shared.len() };
        moved.push_str(&text[line.start + indent..line.next]);
    }
    vec![Edit {
        at: 0..text.len(),
        with: moved.into(),
        rule: Rule::CommonIndent,
    }]
}
