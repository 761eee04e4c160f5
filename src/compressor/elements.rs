//! Finds elements, comments and typeset formulas that span lines: what stands within them keeps its
//! bytes.

use std::collections::HashMap;

use super::{kind::Kind, lines::Line};

/// Elements, comments and `LaTeX` environments. Each name has its own stack, so crossed or
/// forgotten ends of one name do not hide the ends of another; what stays open reaches to the last
/// end of its name.
pub(super) fn mark(text: &str, lines: &[Line], inside: &mut [Option<Kind>]) {
    let mut stacks: HashMap<&[u8], Vec<usize>> = HashMap::new();
    let mut ends: HashMap<&[u8], usize> = HashMap::new();
    let mut spans = Vec::new();
    for at in 0..lines.len() {
        if inside[at].is_some() {
            continue;
        }
        let line = lines[at].body(text).as_bytes();
        for mark in memchr::memchr3_iter(b'<', b'>', b'\\', line) {
            match element(line, mark) {
                Some((name, true)) => stacks.entry(name).or_default().push(at),
                Some((name, false)) => {
                    ends.insert(name, at);
                    if let Some(from) = stacks.get_mut(name).and_then(Vec::pop) {
                        spans.push((name, from, at));
                    }
                }
                None => {}
            }
        }
    }
    for (name, stack) in &stacks {
        if let (Some(first), Some(last)) = (stack.first(), ends.get(name)) {
            spans.push((*name, *first, *last));
        }
    }
    let is_formula = |name: &[u8]| matches!(name, b"[" | b"{");
    for kind in [Kind::Formula, Kind::Markup] {
        let of_kind = |(name, from, to): &&(&[u8], usize, usize)| {
            from < to && is_formula(name) == (kind == Kind::Formula)
        };
        let mut change = vec![0_i64; lines.len() + 1];
        for (_, from, to) in spans.iter().filter(of_kind) {
            change[*from] += 1;
            change[to + 1] -= 1;
        }
        let mut depth = 0;
        for (inside, step) in inside.iter_mut().zip(change) {
            depth += step;
            if depth > 0 {
                inside.get_or_insert(kind);
            }
        }
    }
}

/// The name of the element that is opened (`true`) or closed at `at`.
fn element(line: &[u8], at: usize) -> Option<(&[u8], bool)> {
    let rest = &line[at + 1..];
    if line[at] == b'>' {
        return line[..at].ends_with(b"--").then_some((b"!--", false));
    }
    match (line[at], rest.first()?) {
        (b'<', b'!') => rest.starts_with(b"!--").then_some((b"!--", true)),
        (b'<', b'/') => name(&rest[1..]).map(|name| (name, false)),
        (b'<', _) => name(rest).map(|name| (name, true)),
        (b'\\', b'[') => Some((b"[", true)),
        (b'\\', b']') => Some((b"[", false)),
        (b'\\', _) if rest.starts_with(b"begin{") => Some((b"{", true)),
        (b'\\', _) if rest.starts_with(b"end{") => Some((b"{", false)),
        _ => None,
    }
}

fn name(rest: &[u8]) -> Option<&[u8]> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:.-".contains(byte);
    let length = rest
        .iter()
        .take(64)
        .take_while(|byte| is_part(byte))
        .count();
    (length > 0 && rest[0].is_ascii_alphabetic()).then(|| &rest[..length])
}
