//! Fenced code, which must stay byte for byte, and whole lines that repeat, which may be folded.

use std::ops::Range;

use super::{Bag, Kind, Report, found, json, patterns::MARKER};

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// From its opening line to the end of its closing line, or of the text.
    pub(crate) whole: Range<usize>,
    /// What stands between the two lines.
    pub(crate) body: Range<usize>,
}

/// The fenced blocks of `text`, in order.
pub(crate) fn fences(text: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |length| at + length);
        let body = end + 1;
        match opening(&text[at..end]) {
            Some(run) if end < text.len() => {
                let closing = closing(text, body, run);
                fences.push(Fence {
                    whole: at..closing.end,
                    body: body..closing.start,
                });
                at = closing.end + 1;
            }
            _ => at = body,
        }
    }
    fences
}

/// The three or more backticks or tildes that `line` opens a fence with.
fn opening(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '\t']);
    ['`', '~'].into_iter().find_map(|mark| {
        let length = line.len() - line.trim_start_matches(mark).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// The line from `at` on that closes a fence opened with `run`, or the empty end of the text.
fn closing(text: &str, mut at: usize, run: &str) -> Range<usize> {
    while at < text.len() {
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |length| at + length);
        let line = text[at..end].trim_start_matches([' ', '\t']);
        if let Some(rest) = line.strip_prefix(run) {
            let rest = rest.trim_start_matches(['`', '~']);
            if rest.trim_start_matches([' ', '\t', '\r']).is_empty() {
                return at..end;
            }
        }
        at = end + 1;
    }
    text.len()..text.len()
}

/// `text` with a line feed for every fenced block.
pub(super) fn blanked(text: &str) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut at = 0;
    for Fence { whole, .. } in fences(text) {
        rest.push_str(&text[at..whole.start]);
        rest.push('\n');
        at = whole.end;
    }
    rest.push_str(&text[at..]);
    rest
}

/// Reports the blocks of `original` that are neither in `compressed` nor there as equal JSON.
pub(super) fn compare(original: &str, compressed: &str, report: &mut Report) {
    let before = bodies(original);
    let after = bodies(compressed);
    let mut rewritten = Bag::default();
    for (body, times) in after.minus(&before).iter() {
        rewritten.add(&json::document(body).unwrap_or_default(), times);
    }
    let lost = before.minus(&after).filter(|body| {
        let same_json = json::document(body).is_some_and(|document| rewritten.has(&document));
        !same_json && !compressed.contains(body)
    });
    report.add_bag(Kind::Fence, &lost);
}

fn bodies(text: &str) -> Bag {
    fences(text)
        .into_iter()
        .map(|fence| &text[fence.body])
        .collect()
}

/// The lines of `text`, each with whether it stands outside of fences.
fn lines(text: &str) -> Vec<(&str, bool)> {
    let fences = fences(text);
    let mut at = 0;
    let line = |line| {
        let start = at;
        at += str::len(line) + 1;
        let inside = fences.iter().any(|Fence { whole, .. }| {
            whole.contains(&start) || whole.start <= start && start == whole.end && line.is_empty()
        });
        (line, !inside)
    };
    text.split('\n').map(line).collect()
}

/// `original` without those repeats of whole lines that `compressed` folded under a marker. One copy
/// stays, so that losing that too is still noticed.
pub(super) fn without_folded_repeats(original: &str, compressed: &str) -> String {
    let count = |text| -> Bag {
        let outside = lines(text).into_iter().filter(|&(_, outside)| outside);
        outside.map(|(line, _)| line.trim()).collect()
    };
    if found(&MARKER, compressed)
        .minus(&found(&MARKER, original))
        .total()
        == 0
    {
        return original.to_owned();
    }
    let lines = lines(original);
    let after = count(compressed);
    let mut folded = Bag::default();
    for (line, times) in count(original).iter() {
        let left = after.count(line);
        if left > 0 && !line.is_empty() || line.chars().count() >= 12 {
            folded.add(line, times.saturating_sub(left.max(1)));
        }
    }
    let mut kept = Vec::with_capacity(lines.len());
    for (line, is_outside) in lines.into_iter().rev() {
        if is_outside && folded.take(line.trim()) {
            continue;
        }
        kept.push(line);
    }
    kept.reverse();
    kept.join("\n")
}
