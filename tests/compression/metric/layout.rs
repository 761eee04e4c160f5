//! Lines that look like code outside of fences: their text and their indentation.

use super::{
    Bag, Kind, Report,
    json::Blob,
    patterns::{CODE, LIST_ITEM},
};

/// JSON shorter than this is read as part of the code around it.
const BLOB_CHARS: usize = 40;

/// Reports code lines that went or changed, and those that moved against their neighbours.
pub(super) fn compare(
    original: &str,
    prose: &str,
    blobs: &[Blob<'_>],
    compressed: &str,
    report: &mut Report,
) {
    let mut hidden = prose.to_owned();
    for blob in blobs
        .iter()
        .filter(|blob| blob.text.chars().count() >= BLOB_CHARS)
    {
        hidden = hidden.replace(blob.text, "\0\0\0");
    }
    let trimmed: Bag = compressed.split('\n').map(str::trim).collect();
    let raw: Bag = compressed.split('\n').map(str::trim_end).collect();
    let mut moved = Vec::new();
    for (line, copies) in code_lines(&hidden)
        .filter(|line| !line.contains('\0'))
        .collect::<Bag>()
        .iter()
    {
        // A line may have been joined to others and still be there.
        let stays = |bag: &Bag, line: &str| {
            bag.count(line) >= copies || compressed.matches(line).count() >= copies
        };
        if !stays(&trimmed, line.trim()) {
            report.add(Kind::CodeLine, 1, line);
        } else if line.starts_with([' ', '\t']) && !stays(&raw, line) {
            moved.push(line.to_owned());
        }
    }
    // One shift of all lines keeps what each is to the others.
    let shift = indentation(original)
        .checked_sub(indentation(compressed))
        .filter(|&by| by > 0);
    let is_shifted = |line: &str| {
        let shifted = shift.and_then(|by| line.char_indices().nth(by));
        shifted.is_some_and(|(start, _)| raw.has(&line[start..]))
    };
    let moved: Bag = moved
        .iter()
        .map(String::as_str)
        .filter(|line| !is_shifted(line))
        .collect();
    report.add_bag(Kind::Indent, &moved);
}

/// The lines of `text` that look like code, without the blanks at their ends.
pub(crate) fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let is_code = |line: &&str| {
        let trimmed = line.trim();
        trimmed.chars().count() > 3
            && CODE.is_match(line)
            && !["#", ">", "* "]
                .iter()
                .any(|mark| line.trim_start().starts_with(mark))
            && trimmed.contains(|letter: char| letter.is_ascii_alphanumeric())
            && !(LIST_ITEM.is_match(line) && line.split_whitespace().count() >= 7)
    };
    text.split('\n').filter(is_code).map(str::trim_end)
}

/// The blanks, in characters, that every line of `text` with anything in it starts with.
fn indentation(text: &str) -> usize {
    let lines = text.split('\n').filter(|line| !line.trim().is_empty());
    let blanks = |line: &str| {
        line.chars()
            .take_while(|letter| letter.is_whitespace())
            .count()
    };
    lines.map(blanks).min().unwrap_or_default()
}
