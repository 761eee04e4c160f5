//! Reads a log of requests line by line, however long it is: one line is in memory at a time.

use std::io::{self, BufRead, Read as _};

use bytes::Bytes;

pub(crate) use line::{CHAT, CREATE, TURN};
pub use line::{Logged, Unreadable};
pub use recorded::Recorded;

mod line;
mod members;
mod recorded;
mod time;

/// Longer lines (bytes) are skipped: no body that the service takes by default is near it.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The lines of a log.
pub struct Lines<R> {
    source: R,
    number: u64,
    bytes: u64,
}

/// A line with something on it.
pub struct Line {
    /// Its number, from 1 on.
    pub number: u64,
    /// What stands there, without the end of the line; `None` where that is too long to be held.
    pub text: Option<Bytes>,
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    /// Those of this source.
    pub fn new(source: R) -> Self {
        Self {
            source,
            number: 0,
            bytes: 0,
        }
    }

    /// How many bytes have been read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank; `None` at the end.
    pub fn read(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut text = Vec::new();
            let read = (&mut self.source)
                .take(LONGEST)
                .read_until(b'\n', &mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            let number = self.number;
            if read as u64 == LONGEST && !text.ends_with(b"\n") {
                self.skip_to_end()?;
                return Ok(Some(Line { number, text: None }));
            }
            let text = Bytes::from(text);
            let rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
            let rest = rest.trim_ascii();
            if !rest.is_empty() {
                let text = Some(text.slice_ref(rest));
                return Ok(Some(Line { number, text }));
            }
        }
    }

    /// Reads what is left of a line without holding it.
    fn skip_to_end(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = memchr::memchr(b'\n', buffer);
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.source.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: impl AsRef<[u8]>) -> Vec<(u64, String)> {
        let mut lines = Lines::new(text.as_ref());
        let mut all = Vec::new();
        while let Some(line) = lines.read().unwrap() {
            let text = line.text.map_or("too long".to_owned(), |text| {
                String::from_utf8(text.to_vec()).unwrap()
            });
            all.push((line.number, text));
        }
        all
    }

    #[test]
    fn lines_of_all_systems_are_read_and_blank_ones_are_not() {
        let text = "\u{feff}{\"a\":1}\r\n\r\n \t\n{\"b\":2}\n{\"cut";
        let expected = [(1, "{\"a\":1}"), (4, "{\"b\":2}"), (5, "{\"cut")];
        assert_eq!(
            lines(text),
            expected.map(|(number, text)| (number, text.to_owned()))
        );
        assert!(lines("").is_empty() && lines("\n\r\n").is_empty());
    }

    #[test]
    fn a_line_too_long_to_hold_is_skipped_and_the_next_one_read() {
        let mut text = vec![b'x'; usize::try_from(LONGEST).unwrap() + 10];
        text.extend_from_slice(b"\nnext\n");
        let expected = [(1, "too long".to_owned()), (2, "next".to_owned())];
        assert_eq!(lines(text), expected);
    }
}
