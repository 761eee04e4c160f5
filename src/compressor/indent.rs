//! Takes away the indentation that all lines of written text share.
//!
//! Only of sentences: in a language of fixed form, or in a list whose indentation names the column, the place
//! where a line begins is part of what it says.

#[cfg(test)]
mod tests;

use super::{
    Role,
    document::Document,
    edit::Edit,
    kind::Kind,
    lines::Line,
    look::{self, Look},
    rule::Rule,
    space,
};

/// Fewer words may be a name, or a word of a command.
const WORDS: usize = 4;

/// The edit that takes away the indentation which all lines share: two spaces or more.
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
    let is_enough = shared.len() >= 2 && shared.bytes().all(|byte| byte == b' ');
    // A fence, a diff or a quotation may count its blanks from the edge.
    let is_free = !document
        .kinds
        .iter()
        .any(|kind| matches!(kind, Kind::Fence | Kind::Diff | Kind::Quote | Kind::Formula));
    if role == Role::Tool
        || !is_enough
        || !is_free
        || !is_written(document, shared.len())
        || space::is_about_space(text, role)
    {
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

/// Whether the lines are sentences once the first `indent` bytes of each are gone: none is code or data, and most
/// have the words and the small letters of one.
fn is_written(document: &Document<'_>, indent: usize) -> bool {
    let (mut lines, mut sentences) = (0, 0);
    for line in document.lines.iter().filter(|line| !line.is_blank()) {
        let moved = Line {
            start: line.start + indent,
            ..*line
        };
        let look = look::of(document.text, &moved);
        if look == Look::Raw {
            return false;
        }
        let body = line.body(document.text);
        let capitals = body.chars().filter(|c| c.is_uppercase()).count();
        let small = body.chars().filter(|c| c.is_lowercase()).count();
        let words = body.split_ascii_whitespace().count();
        lines += 1;
        sentences += usize::from(look == Look::Prose && small > capitals && words >= WORDS);
    }
    sentences * 2 > lines
}
