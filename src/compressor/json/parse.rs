//! Reads one JSON value strictly, on an explicit stack, and notes the white space between its tokens.

use std::ops::Range;

use memchr::{memchr2, memchr3, memrchr};

use super::is_space;

/// Keys at the top of files that programs read and agents edit: an edit that names lines of such a
/// file must find them as they are.
const SETTINGS: &[&[u8]] = &[
    b"$schema",
    b"ConnectionStrings",
    b"compilerOptions",
    b"dependencies",
    b"devDependencies",
    b"eslintConfig",
    b"extends",
    b"lockfileVersion",
    b"autoload",
    b"background_color",
    b"configurations",
    b"manifest_version",
    b"mcpServers",
    b"nbformat",
    b"packageManager",
    b"parserOptions",
    b"require-dev",
    b"scripts",
    b"start_url",
];
/// Those of which one file has two.
const OFTEN_SETTINGS: &[&[u8]] = &[
    b"engines",
    b"env",
    b"exclude",
    b"files",
    b"globals",
    b"include",
    b"keywords",
    b"license",
    b"main",
    b"overrides",
    b"parser",
    b"plugins",
    b"presets",
    b"require",
    b"root",
    b"rules",
    b"settings",
    b"tasks",
    b"version",
];
/// What the keys of editors begin with.
const EDITOR: &[&[u8]] = &[
    b"editor.",
    b"files.",
    b"terminal.",
    b"window.",
    b"workbench.",
];
/// A value with as many strings and nothing else is a file of translations.
const TRANSLATIONS: usize = 4;

/// A reader of values that keeps its memory between them.
#[derive(Default)]
pub(super) struct Parser {
    /// What closes the containers that are open.
    open: Vec<u8>,
    /// White space between tokens, ascending.
    gaps: Vec<Range<usize>>,
    settings: bool,
    /// How many keys at the top are of those that settings often have.
    often: usize,
    /// How many values are strings, and whether others are there.
    strings: usize,
    others: bool,
}

// === impl Parser ===

impl Parser {
    /// The end of the value that begins with the bracket at `start`, or the place where it breaks.
    pub(super) fn read(&mut self, bytes: &[u8], start: usize) -> Result<usize, usize> {
        self.open.clear();
        self.gaps.clear();
        self.settings = false;
        (self.often, self.strings, self.others) = (0, 0, false);
        let mut at = start;
        loop {
            match peek(bytes, at)? {
                b'{' => {
                    self.open.push(b'}');
                    at = self.skip(bytes, at + 1);
                    if peek(bytes, at)? != b'}' {
                        at = self.key(bytes, at)?;
                        continue;
                    }
                }
                b'[' => {
                    self.others = true;
                    self.open.push(b']');
                    at = self.skip(bytes, at + 1);
                    if peek(bytes, at)? != b']' {
                        continue;
                    }
                }
                b'"' => {
                    self.strings += 1;
                    at = end_of_string(bytes, at)?;
                }
                other => {
                    self.others = true;
                    at = match other {
                        b't' => end_of_word(bytes, at, b"true")?,
                        b'f' => end_of_word(bytes, at, b"false")?,
                        b'n' => end_of_word(bytes, at, b"null")?,
                        _ => end_of_number(bytes, at)?,
                    };
                }
            }
            loop {
                let Some(closer) = self.open.last().copied() else {
                    return Ok(at);
                };
                at = self.skip(bytes, at);
                let byte = peek(bytes, at)?;
                if byte == closer {
                    self.open.pop();
                    at += 1;
                } else if byte == b',' {
                    at = self.skip(bytes, at + 1);
                    if closer == b'}' {
                        at = self.key(bytes, at)?;
                    }
                    break;
                } else {
                    return Err(at);
                }
            }
        }
    }

    /// How many containers were open where the last value broke.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The white space between the tokens of the last value.
    pub(super) fn gaps(&self) -> &[Range<usize>] {
        &self.gaps
    }

    /// Whether the last value looks like a settings file.
    pub(super) fn is_settings(&self) -> bool {
        self.settings || self.often > 1
    }

    /// Whether the last value has strings alone, as a file of translations has.
    pub(super) fn is_translations(&self) -> bool {
        !self.others && self.strings >= TRANSLATIONS
    }

    /// The last value without white space between its tokens.
    pub(super) fn minified(&self, text: &str, value: &Range<usize>) -> String {
        let mut out = String::with_capacity(value.len());
        let mut copied = value.start;
        for gap in &self.gaps {
            out.push_str(&text[copied..gap.start]);
            copied = gap.end;
        }
        out.push_str(&text[copied..value.end]);
        out
    }

    /// From a key to the value that it names.
    fn key(&mut self, bytes: &[u8], at: usize) -> Result<usize, usize> {
        if peek(bytes, at)? != b'"' {
            return Err(at);
        }
        let end = end_of_string(bytes, at)?;
        if self.open.len() == 1 {
            let key = &bytes[at + 1..end - 1];
            self.settings |=
                SETTINGS.contains(&key) || EDITOR.iter().any(|start| key.starts_with(start));
            self.often += usize::from(OFTEN_SETTINGS.contains(&key));
        }
        let colon = self.skip(bytes, end);
        if peek(bytes, colon)? != b':' {
            return Err(colon);
        }
        Ok(self.skip(bytes, colon + 1))
    }

    fn skip(&mut self, bytes: &[u8], at: usize) -> usize {
        let mut end = at;
        while bytes.get(end).is_some_and(|byte| is_space(*byte)) {
            end += 1;
        }
        if end > at {
            self.gaps.push(at..end);
        }
        end
    }
}

/// Where to read on after the value from `start` broke at `error` with `depth` containers open.
///
/// That is behind the bracket that closes it. One that nothing closes ends before the next line that
/// belongs to something else: not indented deeper, and begun afresh.
pub(super) fn behind_broken(bytes: &[u8], start: usize, error: usize, depth: usize) -> usize {
    let mut depth = depth.max(1);
    let indent = indent_of(bytes, start);
    // The line ends before the error count: what breaks a value is often the next one.
    let mut at = start + bytes[start..error].trim_ascii_end().len().max(1);
    let mut last = last_visible(&bytes[start..at]);
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match byte {
            b'"' => at = behind_loose_string(bytes, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            b'\n' => {
                let line = &bytes[at..];
                let blanks = line
                    .iter()
                    .take_while(|b| matches!(b, b' ' | b'\t'))
                    .count();
                let begins = line.get(blanks).is_some_and(|byte| {
                    byte.is_ascii_alphabetic() || *byte >= 0x80 || b"{[<#*-".contains(byte)
                });
                if begins && blanks <= indent && !b",[{(:".contains(&last) {
                    return at;
                }
                at += blanks;
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            last = byte;
        }
    }
    bytes.len()
}

/// Past a string in broken text, or at the end of its line, where it ends whatever it lacks.
fn behind_loose_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr3(b'"', b'\\', b'\n', &bytes[at..]) {
        at += found;
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => return at + 1,
            (b'\n', _) => return at,
            (_, None) => break,
            (_, Some(b'\n')) => return at + 1,
            (_, Some(_)) => at += 2,
        }
    }
    bytes.len()
}

fn last_visible(bytes: &[u8]) -> u8 {
    bytes.trim_ascii_end().last().copied().unwrap_or(b'[')
}

/// The indentation of the line on which `at` stands, in bytes; a long line counts as flush left.
fn indent_of(bytes: &[u8], at: usize) -> usize {
    const FAR: usize = 200;
    let from = at.saturating_sub(FAR);
    let line = match memrchr(b'\n', &bytes[from..at]) {
        Some(found) => &bytes[from + found + 1..at],
        None if from == 0 => &bytes[..at],
        None => return 0,
    };
    line.iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count()
}

fn peek(bytes: &[u8], at: usize) -> Result<u8, usize> {
    bytes.get(at).copied().ok_or(at)
}

/// Past the closing quote of the string whose opening quote is at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start + 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        if let Some(control) = rest[..found].iter().position(|byte| *byte < b' ') {
            return Err(at + control);
        }
        at += found;
        match peek(bytes, at)? {
            b'"' => return Ok(at + 1),
            _ => at = end_of_escape(bytes, at)?,
        }
    }
}

fn end_of_escape(bytes: &[u8], at: usize) -> Result<usize, usize> {
    match peek(bytes, at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' => {
            let digits = bytes.get(at + 2..at + 6).ok_or(at)?;
            let all = digits.iter().all(u8::is_ascii_hexdigit);
            if all { Ok(at + 6) } else { Err(at) }
        }
        _ => Err(at),
    }
}

fn end_of_word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, usize> {
    let is_it = bytes[at..].starts_with(word);
    if is_it { Ok(at + word.len()) } else { Err(at) }
}

fn end_of_number(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let digits = |from: usize| {
        let digits = bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        from + digits.count()
    };
    let whole = at + usize::from(bytes[at] == b'-');
    let mut end = if bytes.get(whole) == Some(&b'0') {
        whole + 1
    } else {
        digits(whole)
    };
    if end == whole {
        return Err(at);
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return Err(at);
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        if bytes
            .get(exponent)
            .is_none_or(|byte| !byte.is_ascii_digit())
        {
            return Err(at);
        }
        end = digits(exponent);
    }
    Ok(end)
}
