//! Judges one line by itself: prose, or something whose bytes must stay.

use super::{code, lines::Line};

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Sentences, list items, headings.
    Prose,
    /// Prose whose line breaks are a form of their own: spaces between its words stay.
    Verse,
    /// A sentence with something in it that must stay.
    Marked,
    /// A line that stays, though it is likely part of the prose around it.
    Kept,
    /// Code, data, markup, tables, drawings: stays, and so do the blank lines around it.
    Raw,
}

/// How `line` looks without its neighbours.
pub(super) fn of(text: &str, line: &Line) -> Look {
    let indent = line.indent(text).as_bytes();
    if indent.len() >= 4 || indent.contains(&b'\t') {
        return Look::Raw;
    }
    let body = line.body(text);
    by_ends(body).max(by_marks(body.as_bytes()))
}

fn by_ends(body: &str) -> Look {
    let bytes = body.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return Look::Prose;
    };
    if matches!(last, b';' | b'{' | b'}' | b'\\' | b'(' | b'[' | b'=') {
        return Look::Raw;
    }
    if bytes.len() > 3 && b"=*_-#".contains(&first) && bytes.iter().all(|byte| *byte == first) {
        return Look::Kept;
    }
    let second = bytes.get(1).copied().unwrap_or(b' ');
    match first {
        b'{' | b'}' | b'[' | b']' | b'<' | b'>' | b'|' | b'$' | b'%' | b'@' | b'\\' | b';'
        | b'=' | b'~' | b'&' | b'^' | b')' | b':' | b'!' | b'/' | b'.' | b',' => Look::Raw,
        b'#' if !matches!(bytes.iter().find(|byte| **byte != b'#'), None | Some(b' ')) => Look::Raw,
        b'#' => Look::Prose,
        b'+' => {
            if second == b' ' {
                Look::Kept
            } else {
                Look::Raw
            }
        }
        b'-' if bytes.iter().all(|byte| *byte == b'-') => Look::Kept,
        b'-' => {
            if second == b' ' {
                Look::Prose
            } else {
                Look::Raw
            }
        }
        b'*' if matches!(second, b'/') => Look::Raw,
        b'"' | b'\'' if bytes.windows(2).any(|pair| matches!(pair, b"\":" | b"':")) => Look::Raw,
        b'0'..=b'9' if code::begins_with_figures(body) => Look::Raw,
        _ if code::is_likely(body) => Look::Raw,
        _ => Look::Prose,
    }
}

/// What the marks within the line tell.
fn by_marks(bytes: &[u8]) -> Look {
    let mut look = Look::Prose;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b' ' {
            continue;
        }
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        let found = match byte {
            b'\t' | b'|' => Look::Raw,
            b':' | b'&' if next == byte => Look::Raw,
            b'=' if b"=!<>+-*/:|&".contains(&next) || is_assignment(&bytes[..at]) => Look::Raw,
            // Box drawing and blocks are E2 94 80 to E2 96 9F, Braille E2 A0 80 to E2 A3 BF.
            0xE2 if matches!(next, 0x94..=0x96 | 0xA0..=0xA3) => Look::Raw,
            b'{' | b'}' | b'\\' | b'$' | b'=' => Look::Marked,
            b'<' if next.is_ascii_alphabetic() || b"/!?".contains(&next) => Look::Marked,
            b'%' if next.is_ascii_alphabetic() || next == b'(' => Look::Marked,
            b'(' if next == b')' => Look::Marked,
            b'-' if next == b'>' => Look::Marked,
            _ => Look::Prose,
        };
        look = look.max(found);
        if look == Look::Raw {
            break;
        }
    }
    look
}

/// Whether what stands before a `=` is one name, or ends in an operator.
fn is_assignment(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    before
        .last()
        .is_none_or(|byte| b"=!<>+-*/:|&".contains(byte))
        || !before.contains(&b' ')
}
