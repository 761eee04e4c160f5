//! What is tested, behind one door: the compressor, the token counts, and the form of a reference.

use pegasus_nest::{
    compressor::{Compressor, Conversation, Level, Role},
    tokens::Vocabulary,
};

/// The levels that may change a message, mildest first.
pub(crate) const LEVELS: [&str; 3] = ["safe", "balanced", "aggressive"];

/// A line that stands for others which are said earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference<'t> {
    /// How many lines it stands for, empty ones not counted.
    pub(crate) lines: usize,
    /// What the first of them starts with, blanks in front left out; behind a fence if `fenced`.
    pub(crate) words: &'t str,
    /// Whether the first of them is the mark of a fence, and the words follow it.
    pub(crate) fenced: bool,
    /// Whether they stand in the same message.
    pub(crate) above: bool,
}

/// One message's text at `level`.
pub(crate) fn compress(level: &str, role: &str, text: &str) -> String {
    let compressor = Compressor::new(level.parse::<Level>().unwrap());
    let compressed = compressor.compress(text, role.parse::<Role>().unwrap());
    compressed.map_or_else(|| text.to_owned(), |compressed| compressed.text)
}

/// The texts of a conversation as they go out at `level`, one for each message.
pub(crate) fn conversation(level: &str, messages: &[(String, String)]) -> Vec<String> {
    let compressor = Compressor::new(level.parse::<Level>().unwrap());
    let mut said = Conversation::new();
    let mut outgoing = Vec::new();
    for (role, text) in messages {
        let role = role.parse::<Role>().unwrap();
        // As the proxy does by default.
        if role == Role::Assistant {
            said.remember(text.clone());
            outgoing.push(text.clone());
            continue;
        }
        let compressed = said.compress(&compressor, text, role);
        let sent = compressed.map_or_else(|| text.clone(), |compressed| compressed.text);
        said.remember(sent.clone());
        outgoing.push(sent);
    }
    outgoing
}

/// The `o200k_base` tokens of `text`.
pub(crate) fn tokens(text: &str) -> usize {
    Vocabulary::O200k.count(text)
}

/// What `line` refers to, if it is a reference.
pub(crate) fn reference(line: &str) -> Option<Reference<'_>> {
    let inside = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    let made = |lines, words, fenced, above| Reference {
        lines,
        words,
        fenced,
        above,
    };
    if let Some(words) = inside.strip_prefix("repeats the block above, from: ") {
        return Some(made(1, words, false, true));
    }
    if let Some(words) = inside.strip_prefix("repeats the earlier line: ") {
        return Some(made(1, words, false, false));
    }
    let (lines, rest) = inside.split_once(" lines identical ")?;
    let lines = lines.parse().ok().filter(|&lines| lines > 0)?;
    for (form, fenced, above) in [
        ("above, from: ", false, true),
        ("to earlier, from: ", false, false),
        ("to earlier, from the fence before: ", true, false),
    ] {
        if let Some(words) = rest.strip_prefix(form) {
            return Some(made(lines, words, fenced, above));
        }
    }
    None
}
