//! Goes over a JSON text once and checks what stands there, for the readers that keep something of it.

use memchr::memchr2;

/// Keys and most other strings are shorter: they are read byte by byte sooner than a search begins.
const SHORT: usize = 24;
/// Room for most of those that are written with escapes.
const ROOM: usize = 64 * 1024;

/// A place in a text.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Why a text cannot be gone over further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What stands there is not what JSON's grammar wants.
    Grammar,
    /// Half of a character, which the grammar allows and no text can hold.
    Half,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is not white space, which it moves to; NUL at the end of the text.
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or_default()
    }

    /// Takes this byte if it is the next one.
    pub(crate) fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes this byte, which must be the next one.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        self.takes(byte).then_some(()).ok_or(Fault::Grammar)
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        let is_end = self.at == self.text.len();
        is_end.then_some(()).ok_or(Fault::Grammar)
    }

    /// Goes on to the next member or item, if there is one before `close`, which ends them. `is_first` is kept for it.
    pub(crate) fn next(&mut self, close: u8, is_first: &mut bool) -> Result<bool, Fault> {
        let was_first = std::mem::replace(is_first, false);
        if self.takes(close) {
            return Ok(false);
        }
        if !was_first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Takes a word such as `null`.
    pub(crate) fn word(&mut self, word: &str) -> Result<(), Fault> {
        self.peek();
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::Grammar);
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number, as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        // The place after the digits that must begin here.
        let digits = |from: usize| {
            let digits = bytes[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit());
            let to = from + digits.count();
            if to == from {
                Err(Fault::Grammar)
            } else {
                Ok(to)
            }
        };
        let mut at = start + usize::from(is(start, b"-"));
        at = if is(at, b"0") { at + 1 } else { digits(at)? };
        if is(at, b".") {
            at = digits(at + 1)?;
        }
        if is(at, b"eE") {
            at += 1;
            at = digits(at + usize::from(is(at, b"+-")))?;
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Takes a string and says what it stands for; `scratch` is for those that are written with escapes.
    pub(crate) fn string<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, Fault>
    where
        'a: 's,
    {
        self.expect(b'"')?;
        scratch.clear();
        let text = self.text;
        let start = self.at;
        let first = text.as_bytes()[start..].iter().take(SHORT);
        let stop = first
            .copied()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '));
        if let Some(length) = stop.filter(|length| text.as_bytes()[start + length] == b'"') {
            self.at = start + length + 1;
            return Ok(&text[start..start + length]);
        }
        loop {
            let from = self.at;
            let found = memchr2(b'"', b'\\', &text.as_bytes()[from..]);
            let stop = from + found.ok_or(Fault::Grammar)?;
            self.at = stop + 1;
            if text.as_bytes()[stop] == b'"' {
                if has_control(&text.as_bytes()[start..stop]) {
                    return Err(Fault::Grammar);
                }
                if from == start {
                    return Ok(&text[start..stop]);
                }
                scratch.push_str(&text[from..stop]);
                return Ok(scratch);
            }
            if from == start {
                // The string is no longer than what is left of the text, and need not grow again and again.
                scratch.reserve(ROOM.min(text.len() - start));
            }
            scratch.push_str(&text[from..stop]);
            scratch.push(self.escape()?);
        }
    }

    /// The character that the rest of an escape sequence stands for, behind its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.text.as_bytes().get(self.at).ok_or(Fault::Grammar)?;
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.unit()?;
                if !(0xD800..0xE000).contains(&first) {
                    return char::from_u32(u32::from(first)).ok_or(Fault::Half);
                }
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(Fault::Half);
                }
                self.at += 2;
                let pair = [first, self.unit()?];
                let character = char::decode_utf16(pair).next();
                character.and_then(Result::ok).ok_or(Fault::Half)?
            }
            _ => return Err(Fault::Grammar),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.ok_or(Fault::Grammar)?;
        let mut unit = 0;
        for digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return Err(Fault::Grammar),
            };
            unit = (unit << 4) | u16::from(value);
        }
        self.at += 4;
        Ok(unit)
    }
}

/// Whether one of these is a control character. Without a way out in its middle, so that many bytes are compared at once.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' '
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// What stands between quotes, with sequences of every kind among it, good and bad.
    fn written() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            any::<String>(),
            "[a-z\\\\\"\0-\u{1f}]{0,4}",
            any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
            (0xD7F0_u16..0xE010).prop_map(|unit| format!("\\u{unit:04X}")),
            proptest::sample::select(vec![
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\t",
                "\\b",
                "\\f",
                "\\r",
                "\\ud83d\\ude00",
                "\\ud83d",
                "\\u+123",
                "\\u12",
                "\\x",
                "\\",
            ])
            .prop_map(ToOwned::to_owned),
        ];
        proptest::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn string(text: &str) -> Result<String, Fault> {
        let (mut cursor, mut scratch) = (Cursor::new(text), "left over".to_owned());
        let string = cursor.string(&mut scratch)?.to_owned();
        cursor.end().map(|()| string)
    }

    fn number(text: &str) -> Result<&str, Fault> {
        let mut cursor = Cursor::new(text);
        let number = cursor.number()?;
        cursor.end().map(|()| number)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

        #[test]
        fn a_string_is_what_serde_json_makes_of_it(written in written()) {
            let quoted = format!("\"{written}\"");
            let expected = serde_json::from_str::<String>(&quoted).map_err(|_| {
                // The first fault counts, so that of a text with several either may be told.
                let breaks_grammar = serde_json::from_str::<IgnoredAny>(&quoted).is_err();
                if breaks_grammar { Fault::Grammar } else { Fault::Half }
            });
            let read = string(&quoted);
            if expected == Err(Fault::Grammar) {
                prop_assert!(read.is_err());
            } else {
                prop_assert_eq!(read, expected);
            }
        }

        #[test]
        fn a_number_is_what_serde_json_takes_for_one(text in "[0-2.eE+-]{0,7}") {
            let is_number = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(number(&text), if is_number { Ok(&*text) } else { Err(Fault::Grammar) });
        }
    }

    #[test]
    fn control_characters_are_found_wherever_they_stand() {
        for length in 0..100 {
            let text = "é".repeat(length);
            assert_eq!(string(&format!("\"{text}\"")), Ok(text.clone()));
            for at in 0..=length {
                for control in ['\0', '\n', '\u{1f}'] {
                    let mut text = text.clone();
                    text.insert(2 * at, control);
                    assert_eq!(string(&format!("\"{text}\"")), Err(Fault::Grammar));
                }
            }
        }
    }
}
