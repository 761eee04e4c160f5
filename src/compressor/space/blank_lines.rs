//! Folds runs of blank lines, and takes away those around a text.

use std::ops::Range;

use super::{end_of, push};
use crate::compressor::{Role, document::Document, edit::Edit, kind::Kind, rule::Rule};

/// Blank lines between two paragraphs become one, those at an edge of the text go.
pub(super) fn fold(
    document: &Document<'_>,
    blank: Range<usize>,
    role: Role,
    edits: &mut Vec<Edit>,
) {
    let lines = &document.lines;
    let kind = |near: Option<usize>| near.and_then(|near| document.kinds.get(near)).copied();
    let (above, below) = (kind(blank.start.checked_sub(1)), kind(Some(blank.end)));
    let counts = |kind: Option<Kind>| kind.is_some_and(|kind| counts_blank_lines(kind, role));
    let (first, last) = (&lines[blank.start], &lines[blank.end - 1]);
    let is_inside = document.kinds[blank.start] != Kind::Blank;
    match (above, below) {
        // In front of a whole text nobody counts them; what a tool shows may be lines of a file.
        (None, _) if role != Role::Tool && below != Some(Kind::Diff) => {
            push(edits, first.start..last.next, Rule::BlankLines);
        }
        _ if is_inside => {}
        (_, None) if ends_whole(document, role) => {
            let above = &lines[blank.start - 1];
            push(edits, above.stop..last.next, Rule::BlankLines);
        }
        _ if counts(above) || counts(below) => {}
        // An open fence may end as what is to be continued.
        (Some(Kind::Fence), None) => {}
        (Some(_), Some(_)) => {
            push(
                edits,
                first.start..end_of(document, first),
                Rule::BlankLines,
            );
            push(edits, first.next..last.next, Rule::BlankLines);
        }
        (None, _) => push(edits, first.start..last.next, Rule::BlankLines),
        // The line end of the last written line goes, too.
        (_, None) => push(
            edits,
            lines[blank.start - 1].stop..last.next,
            Rule::BlankLines,
        ),
    }
}

/// Whether the text ends with something that is complete, so that blank lines behind it say nothing.
fn ends_whole(document: &Document<'_>, role: Role) -> bool {
    let mut written = document.lines.iter().enumerate().rev();
    let Some((last, _)) = written.find(|(_, line)| !line.is_blank()) else {
        return false;
    };
    match document.kinds[last] {
        // Within an open fence the end may be what is to be continued.
        Kind::Fence => {
            let body = document.body(last).as_bytes();
            body.starts_with(b"```") && body.iter().all(|byte| *byte == b'`')
        }
        Kind::Json | Kind::Markup | Kind::Formula | Kind::Table => role != Role::Tool,
        _ => false,
    }
}

/// The line end of the last line goes.
pub(super) fn cut_end(document: &Document<'_>, role: Role, edits: &mut Vec<Edit>) {
    let (Some(last), Some(kind)) = (document.lines.last(), document.kinds.last()) else {
        return;
    };
    let is_idle = !counts_blank_lines(*kind, role) && *kind != Kind::Fence;
    if !last.is_blank() && (is_idle || ends_whole(document, role)) {
        push(edits, last.stop..last.next, Rule::BlankLines);
    }
}

/// Whether blank lines beside a line of this kind may be part of what it is.
fn counts_blank_lines(kind: Kind, role: Role) -> bool {
    match kind {
        Kind::Verse => true,
        Kind::Trace | Kind::Reference => false,
        // The blank lines of a fence are inside of it and have its kind. A tool may show a file, of which an
        // edit must find every line.
        Kind::Table | Kind::Fence => role == Role::Tool,
        _ => !kind.is_text(),
    }
}
