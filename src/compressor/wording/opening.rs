//! Finds the sentence that opens a message.

use std::ops::Range;

/// A greeting is this long at most, with a name, in bytes.
const GREETING: usize = 30;
const GREETINGS: [&str; 5] = ["hi", "hello", "hey", "greetings", "good"];

/// The first sentence of `text`, up to a colon or the line's end at most; a greeting belongs to it.
pub(in crate::compressor) fn opening(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    let line = text[start..].lines().next().unwrap_or_default();
    let greeted = greeting(line);
    let ends = |at: usize| !line[at + 1..].starts_with(|c: char| c != ' ');
    let length = line[greeted..]
        .match_indices(['.', '!', '?', ':'])
        .map(|(at, mark)| (greeted + at, mark))
        .find(|(at, mark)| *mark == ":" || ends(*at))
        .map_or(line.len(), |(at, mark)| at + usize::from(mark != ":"));
    start..start + length
}

/// How long the greeting is that the line begins with.
fn greeting(line: &str) -> usize {
    let word = line
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    let greets = GREETINGS
        .iter()
        .any(|greeting| greeting.eq_ignore_ascii_case(word));
    let near = &line[..line.floor_char_boundary(GREETING)];
    near.find(['.', '!', ','])
        .filter(|_| greets)
        .map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::opening;

    #[test]
    fn the_first_sentence_is_found() {
        for (text, sentence) in [
            ("Fix it. Now go.", "Fix it."),
            ("\n Hi! Fix it? Now go.", "Hi! Fix it?"),
            ("Hi Bob, use 1.5 of it. Now go.", "Hi Bob, use 1.5 of it."),
            ("Fix all of it\nNow go.", "Fix all of it"),
            ("Fix it: now go.", "Fix it"),
            ("Fix it", "Fix it"),
            ("", ""),
        ] {
            assert_eq!(text[opening(text)].trim(), sentence);
        }
    }
}
