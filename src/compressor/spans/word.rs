//! Judges one word by its letters.

use super::SpanKind;

/// How far `call(x, y)` may reach.
const LONGEST_CALL: usize = 60;

/// Where the word that starts at `at` ends: at white space, at a delimiter that opens a span, or before
/// the punctuation that closes it. `at` itself when no word starts there.
pub(super) fn end(line: &str, at: usize) -> usize {
    let rest = &line[at..];
    let starts = |c: char| c.is_alphanumeric() || "_@#%&~/.$-".contains(c);
    if !rest.chars().next().is_some_and(starts) {
        return at;
    }
    let stops = |c: char| c.is_whitespace() || "`\"{}<>[](|“”„«»‹›—–…•→".contains(c);
    let length = rest.find(stops).unwrap_or(rest.len());
    // `call(x, y)` is one word up to the bracket that closes it; a remark in brackets is not.
    if rest.as_bytes().get(length) == Some(&b'(') {
        let window = &rest.as_bytes()[length..rest.len().min(length + LONGEST_CALL)];
        if let Some(close) = window.iter().position(|byte| *byte == b')') {
            return at + length + close + 1;
        }
    }
    let word = &rest[..length];
    let last = |c: char| ".,;:!?)*'’-_".contains(c);
    match word.trim_end_matches(last).len() {
        0 => at + length,
        trimmed => at + trimmed,
    }
}

/// The kind of a protected word, `None` for a plain one.
pub(super) fn kind(word: &str) -> Option<SpanKind> {
    let bytes = word.as_bytes();
    let has = |byte: u8| bytes.contains(&byte);
    if !word.chars().any(char::is_alphanumeric) {
        return None;
    }
    if word.contains("://") || word.starts_with("www.") {
        return Some(SpanKind::Url);
    }
    if has(b'@') && !word.starts_with('@') {
        return Some(SpanKind::Email);
    }
    if has(b'/') || has(b'\\') || word.starts_with('~') {
        return Some(SpanKind::Path);
    }
    if bytes.iter().any(u8::is_ascii_digit) {
        return Some(SpanKind::Number);
    }
    if word.chars().any(|c| c > '\x7f' && c.is_alphanumeric()) {
        return Some(SpanKind::Foreign);
    }
    if bytes.iter().any(|byte| b"_@#%&~$=+^*()".contains(byte))
        || matches!(bytes[0], b'-' | b'.')
        || inner(bytes, |byte| matches!(byte, b'.' | b':' | b';' | b','))
        || camel(bytes)
    {
        return Some(SpanKind::Identifier);
    }
    let caps = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_uppercase());
    word.split(['-', '\'', '’'])
        .any(caps)
        .then_some(SpanKind::Caps)
}

/// Whether such a byte stands between two others.
fn inner(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.len() > 2 && bytes[1..bytes.len() - 1].iter().any(|byte| is(*byte))
}

/// Whether a capital follows a small letter, or a small letter two capitals: `camelCase`, `HTTPServer`.
fn camel(bytes: &[u8]) -> bool {
    let lower_upper = |w: &[u8]| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase();
    let upper_lower =
        |w: &[u8]| w[..2].iter().all(u8::is_ascii_uppercase) && w[2].is_ascii_lowercase();
    bytes.windows(2).any(lower_upper) || bytes.windows(3).any(upper_lower)
}
