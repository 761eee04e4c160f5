//! Finds fenced code, which keeps its bytes.

use memchr::memmem;

use super::{kind::Kind, lines::Line};

/// A fence that is open.
#[derive(Clone, Copy)]
struct Fence {
    mark: u8,
    length: usize,
    quoted: bool,
    depth: usize,
}

/// A fence inside a longer or equal fence is text to `CommonMark` and a nested block to many
/// authors: both count.
pub(super) fn mark(text: &str, lines: &[Line], inside: &mut [Option<Kind>]) {
    for nested in [false, true] {
        let mut open: Option<Fence> = None;
        for at in 0..lines.len() {
            let line = lines[at].body(text).as_bytes();
            let Some(fence) = open else {
                open = opening_fence(line);
                if open.is_some() {
                    inside[at] = Some(Kind::Fence);
                }
                continue;
            };
            inside[at] = Some(Kind::Fence);
            if fence.is_closed_by(line) {
                open = (fence.depth > 1).then_some(Fence {
                    depth: fence.depth - 1,
                    ..fence
                });
            } else if nested && opening_fence(line).is_some_and(|inner| inner.can_nest_in(fence)) {
                open = Some(Fence {
                    depth: fence.depth + 1,
                    ..fence
                });
            }
        }
    }
}

// === impl Fence ===

impl Fence {
    fn can_nest_in(self, outer: Self) -> bool {
        self.mark == outer.mark && self.length >= outer.length
    }

    fn is_closed_by(self, line: &[u8]) -> bool {
        let line = if self.quoted { unquoted(line) } else { line };
        line.len() >= self.length && line.iter().all(|byte| *byte == self.mark)
    }
}

/// The fence that `line` leaves open: at its start, after list and quote markers, or after words.
fn opening_fence(line: &[u8]) -> Option<Fence> {
    let at = [b"```", b"~~~"]
        .iter()
        .filter_map(|mark| memmem::find(line, *mark))
        .min()?;
    let mark = line[at];
    let length = line[at..].iter().take_while(|byte| **byte == mark).count();
    let rest = &line[at + length..];
    // Backticks that come again on the same line are inline code, as in ```code```.
    let open = if mark == b'`' {
        memchr::memchr(b'`', rest).is_none()
    } else {
        at == 0 || unquoted(line).starts_with(b"~")
    };
    open.then_some(Fence {
        mark,
        length,
        quoted: line[0] == b'>',
        depth: 1,
    })
}

/// The line without its list and quote markers.
fn unquoted(line: &[u8]) -> &[u8] {
    let start = line
        .iter()
        .position(|byte| !b"> \t-*+".contains(byte))
        .unwrap_or(line.len());
    &line[start..]
}
