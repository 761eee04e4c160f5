//! Says which blanks at the ends of lines say nothing.
//!
//! In text they never do. In what may be code or data they may: within a string, on the empty context lines of
//! a diff, in the last cell of a row. Where nearly every line of a message ends with the very same blanks they
//! tell no line from another and come from whatever captured it, such as a chat saved with hard line breaks.

use super::tab_of_item;
use crate::compressor::{document::Document, kind::Kind, lines::Line, logs};

/// So few lines may end alike by chance unless all do.
const FEW: usize = 8;
/// Of fewer lines not even that says anything.
const FEWEST: usize = 5;
/// Of so many lines one may end otherwise: the first, which somebody typed.
const ODD: usize = 8;

/// The blanks that nearly every written line ends with; empty if there are none.
pub(super) fn common<'t>(document: &Document<'t>) -> &'t [u8] {
    let written = || document.lines.iter().filter(|line| !line.is_blank());
    let Some(ending) = majority(written().map(|line| blanks(document.text, line))) else {
        return b"";
    };
    // A tab may open one more cell, which is empty in all rows; a change to a file says for each line how it ends.
    if ending.contains(&b'\t') || document.kinds.contains(&Kind::Diff) {
        return b"";
    }
    let (mut alike, mut all) = (0, 0);
    for line in written() {
        all += 1;
        alike += usize::from(blanks(document.text, line) == ending);
    }
    let odd = all - alike;
    if all >= FEWEST && odd == 0 || all >= FEW && odd * ODD <= all {
        ending
    } else {
        b""
    }
}

/// What more than half of them are, if anything is.
fn majority<'t>(ends: impl Iterator<Item = &'t [u8]>) -> Option<&'t [u8]> {
    let (mut most, mut votes) = (&b""[..], 0_usize);
    for end in ends {
        if votes == 0 {
            most = end;
        }
        if end == most {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    (!most.is_empty()).then_some(most)
}

fn blanks<'t>(text: &'t str, line: &Line) -> &'t [u8] {
    &text.as_bytes()[line.end..line.stop]
}

/// Whether every written line ends with these blanks, and there are enough of them.
pub(super) fn all_end_with(document: &Document<'_>, ending: &[u8]) -> bool {
    let mut written = document.lines.iter().filter(|line| !line.is_blank());
    !ending.is_empty()
        && written.clone().nth(FEW - 1).is_some()
        && written.all(|line| blanks(document.text, line) == ending)
}

/// Whether an ending that all lines share goes from lines of this kind, too.
pub(super) fn is_shared_by(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Fence | Kind::Diff | Kind::Formula | Kind::Quote | Kind::Table
    )
}

/// Whether blanks at the end of this line say nothing, whatever other lines end with.
pub(super) fn are_idle(document: &Document<'_>, number: usize) -> bool {
    let kind = document.kinds[number];
    let body = document.body(number);
    if kind.is_text() || kind == Kind::Enclosed {
        return true;
    }
    let tabbed = blanks(document.text, &document.lines[number]).contains(&b'\t');
    !tabbed
        && match kind {
            // Lines of a file with their numbers look like a log.
            Kind::Log => logs::begins_log(body),
            Kind::Trace | Kind::Reference => true,
            // The tab behind a list's mark makes no cells.
            Kind::Columns => tab_of_item(body).is_some(),
            _ => false,
        }
}
