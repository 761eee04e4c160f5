//! Writes strings as JSON, byte for byte as `serde_json` does.

use memchr::memchr3;

/// Writes a string with its quotes. What needs no escape is copied in runs.
pub(super) fn write(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + rest.len() / 16 + 2);
    out.push(b'"');
    // Of control characters most texts have line ends alone, and those are found many bytes at once.
    let is_odd = |byte: &u8| *byte < b' ' && *byte != b'\n';
    let has_odd = rest.iter().fold(false, |found, byte| found | is_odd(byte));
    let next = |rest: &[u8]| {
        if has_odd {
            let is_escaped = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
            rest.iter().position(is_escaped)
        } else {
            memchr3(b'\n', b'"', b'\\', rest)
        }
    };
    while let Some(at) = next(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\t' => b't',
        b'\r' => b'r',
        0x8 => b'b',
        0xC => b'f',
        _ => {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xF));
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]]);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = b"before".to_vec();
        write(text, &mut out);
        String::from_utf8(out).unwrap()["before".len()..].to_owned()
    }

    /// Texts with many of the characters that are written in other ways.
    fn text() -> impl Strategy<Value = String> {
        let characters = prop_oneof![
            4 => proptest::char::range('a', 'c'),
            2 => proptest::sample::select(vec!['\n', '"', '\\', '/', '\u{7f}', 'é', '\u{2028}', '😀']),
            1 => proptest::char::range('\0', '\u{1f}'),
        ];
        let with_all = proptest::collection::vec(characters, 0..80);
        prop_oneof![
            with_all.prop_map(String::from_iter),
            "[a-z \n\"\\\\]{0,80}",
            any::<String>()
        ]
    }

    #[test]
    fn each_character_is_written_as_serde_json_writes_it() {
        for character in '\0'..'\u{180}' {
            for text in [
                format!("{character}"),
                format!("ab{character}\n{character}c"),
            ] {
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in text()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
