//! Reads JSON for its values, keeping each number as it is spelled and every repeated key.

use super::{Bag, Kind, Report, patterns::JSON_START};

/// Deeper nesting counts as no JSON.
const MAX_DEPTH: usize = 400;

/// An object or array that stands in a text.
pub(crate) struct Blob<'t> {
    pub(crate) text: &'t str,
    /// The value, spelled one way: no blanks, keys sorted, strings escaped alike.
    pub(crate) value: String,
}

/// The objects and arrays in `text` that are worth a look, outermost ones only.
pub(crate) fn blobs(text: &str) -> Vec<Blob<'_>> {
    let mut blobs = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(['{', '[']) {
        at += start;
        match blob(&text[at..]) {
            Some(blob) => {
                at += blob.text.len();
                blobs.push(blob);
            }
            None => at += 1,
        }
    }
    blobs
}

fn blob(text: &str) -> Option<Blob<'_>> {
    let head = text
        .char_indices()
        .nth(40)
        .map_or(text, |(end, _)| &text[..end]);
    if !JSON_START.is_match(head) {
        return None;
    }
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    let text = &text[..reader.at];
    (text.chars().count() >= 12).then_some(Blob { text, value })
}

/// The value of a text which is one JSON document and nothing else.
pub(super) fn document(text: &str) -> Option<String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    let value = reader.value(0)?;
    reader.skip_blanks();
    (reader.at == text.len()).then_some(value)
}

/// Reports the `blobs` that are in `compressed` neither as they were nor with the same value.
pub(super) fn compare(blobs: &[Blob<'_>], compressed: &str, report: &mut Report) {
    let is_lost = |blob: &&Blob<'_>| !compressed.contains(blob.text);
    let mut lost = blobs.iter().filter(is_lost).peekable();
    if lost.peek().is_none() {
        return;
    }
    let after = self::blobs(compressed);
    let mut after: Bag = after.iter().map(|blob| blob.value.as_str()).collect();
    for blob in lost {
        if !after.take(&blob.value) {
            report.add(Kind::Json, 1, blob.text);
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

// === impl Reader ===

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn value(&mut self, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest().bytes().next()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<String> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_blanks();
        if !self.take("}") {
            loop {
                self.skip_blanks();
                let key = self.rest().starts_with('"').then(|| self.string())??;
                self.skip_blanks();
                self.take(":").then_some(())?;
                self.skip_blanks();
                members.push((key, self.value(depth + 1)?));
                self.skip_blanks();
                if self.take("}") {
                    break;
                }
                self.take(",").then_some(())?;
            }
        }
        // A stable sort: of a repeated key, the order of its values is part of the value.
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        Some(format!("{{{}}}", members.join(",")))
    }

    fn array(&mut self, depth: usize) -> Option<String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blanks();
        if !self.take("]") {
            loop {
                self.skip_blanks();
                items.push(self.value(depth + 1)?);
                self.skip_blanks();
                if self.take("]") {
                    break;
                }
                self.take(",").then_some(())?;
            }
        }
        Some(format!("[{}]", items.join(",")))
    }

    fn scalar(&mut self) -> Option<String> {
        let words = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
        if let Some(word) = words.into_iter().find(|word| self.take(word)) {
            return Some(word.to_owned());
        }
        let length = number(self.rest())?;
        let spelled = &self.rest()[..length];
        self.at += length;
        Some(spelled.to_owned())
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut read = String::from('"');
        loop {
            let next = self.rest().chars().next()?;
            self.at += next.len_utf8();
            match next {
                '"' => break,
                '\\' => read.push_str(&self.escaped()?),
                '\0'..='\x1f' => return None,
                _ => read.push(next),
            }
        }
        read.push('"');
        Some(read)
    }

    /// What a backslash stands for. A backslash or quotation mark keeps one in front, as does a
    /// surrogate without its partner, so that different strings never read the same.
    fn escaped(&mut self) -> Option<String> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        let plain = match next {
            '"' => return Some("\\\"".to_owned()),
            '\\' => return Some("\\\\".to_owned()),
            '/' => '/',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unit(),
            _ => return None,
        };
        Some(plain.to_string())
    }

    fn unit(&mut self) -> Option<String> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(joined).map(String::from);
            }
            self.at = before;
        }
        Some(match char::from_u32(first) {
            Some(mark @ ('"' | '\\')) => format!("\\{mark}"),
            Some(plain) => plain.to_string(),
            None => format!("\\u{first:04x}"),
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    }
}

/// The length of the JSON number that `text` starts with.
fn number(text: &str) -> Option<usize> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = usize::from(text.starts_with('-'));
    let mut end = whole
        + if text[whole..].starts_with('0') {
            1
        } else {
            digits(whole)
        };
    if end == whole {
        return None;
    }
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}
