//! The answer that most are: some text, finished, and what it used. It is judged in one reading, of which nothing is kept;
//! whatever else there is in it is left to the thorough reading.

use super::{Answer, GOOD_ENDINGS, PROMISES, Quality, Usage};
use crate::json::Cursor;

/// More arrays and objects inside each other are for the thorough reading, which takes 127.
const DEEPEST: usize = 100;
/// Digits of a number that every float holds, and those of its exponent.
const LONGEST: (usize, usize) = (200, 2);

/// What there is to know of a plain answer; `None` of any other, be it good or bad.
pub(super) fn read(body: &[u8]) -> Option<Answer> {
    let mut reader = Reader {
        cursor: Cursor::new(std::str::from_utf8(body).ok()?),
        scratch: String::new(),
    };
    let answer = reader.answer()?;
    reader.cursor.end().ok()?;
    Some(answer)
}

/// Reads what must be there, and checks the rest; whatever it does not expect ends it. A field that stands twice is not
/// expected, nor is one that is another than null where it would make the answer another.
struct Reader<'a> {
    cursor: Cursor<'a>,
    scratch: String,
}

impl Reader<'_> {
    fn answer(&mut self) -> Option<Answer> {
        let (mut text, mut usage, mut object) = (None, None, None);
        self.members(|reader, key| match key {
            "choices" => once(&mut text, reader.choices()?),
            "usage" => once(&mut usage, reader.usage()?),
            "object" => once(&mut object, reader.kind()?),
            "error" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        Some(Answer {
            usage: usage.flatten(),
            quality: Quality::Stop,
            text: text?,
        })
    }

    /// The name of what this is, as long as it is no error.
    fn kind(&mut self) -> Option<()> {
        if self.cursor.peek() == b'n' {
            return self.null();
        }
        (self.string()? != "error").then_some(())
    }

    /// The bytes of text in all choices, one at least.
    fn choices(&mut self) -> Option<usize> {
        let (mut text, mut is_first) = (0, true);
        self.cursor.expect(b'[').ok()?;
        while self.cursor.next(b']', &mut is_first).ok()? {
            text += self.choice()?;
        }
        // Each of them has some.
        (text > 0).then_some(text)
    }

    fn choice(&mut self) -> Option<usize> {
        let (mut text, mut ending) = (None, None);
        self.members(|reader, key| match key {
            "message" => once(&mut text, reader.message()?),
            "finish_reason" => once(&mut ending, reader.ending()?),
            "error" | "object" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        ending.and(text)
    }

    /// A reason with which finished answers end.
    fn ending(&mut self) -> Option<()> {
        let reason = self.string()?;
        // A call that was promised and is not there makes a bad answer.
        let is_good = GOOD_ENDINGS
            .iter()
            .any(|ending| !PROMISES.contains(ending) && reason.eq_ignore_ascii_case(ending));
        is_good.then_some(())
    }

    fn message(&mut self) -> Option<usize> {
        let mut text = None;
        self.members(|reader, key| match key {
            "content" => once(&mut text, reader.content()?),
            "tool_calls" | "function_call" | "refusal" | "audio" | "images" | "reasoning"
            | "reasoning_content" | "reasoning_details" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        text
    }

    /// The bytes of a text that is not blank.
    fn content(&mut self) -> Option<usize> {
        let content = self.string()?;
        (!content.trim_ascii().is_empty()).then_some(content.len())
    }

    fn usage(&mut self) -> Option<Option<Usage>> {
        if self.cursor.peek() == b'n' {
            return self.null().map(|()| None);
        }
        let (mut prompt, mut completion, mut total, mut cached) = (None, None, None, None);
        self.members(|reader, key| match key {
            "prompt_tokens" => once(&mut prompt, reader.count()?),
            "completion_tokens" => once(&mut completion, reader.count()?),
            "total_tokens" => once(&mut total, reader.count()?),
            "prompt_tokens_details" => once(&mut cached, reader.cached()?),
            // What else providers call these.
            "prompt_cache_hit_tokens" | "cached_tokens" | "input_tokens" | "output_tokens" => {
                reader.null()
            }
            _ => reader.skip(DEEPEST),
        })?;
        let (prompt_tokens, completion_tokens) = (prompt?, completion?);
        Some(Some(Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: total.filter(|total| *total > 0)?,
            cached_tokens: cached.flatten().unwrap_or(0).min(prompt_tokens),
            estimated: false,
        }))
    }

    fn cached(&mut self) -> Option<Option<u64>> {
        if self.cursor.peek() == b'n' {
            return self.null().map(|()| None);
        }
        let mut cached = None;
        self.members(|reader, key| match key {
            "cached_tokens" if reader.cursor.peek() == b'n' => {
                reader.null()?;
                once(&mut cached, None)
            }
            "cached_tokens" => once(&mut cached, Some(reader.count()?)),
            _ => reader.skip(DEEPEST),
        })?;
        Some(cached.flatten())
    }

    fn count(&mut self) -> Option<u64> {
        self.cursor.number().ok()?.parse().ok()
    }

    fn null(&mut self) -> Option<()> {
        self.cursor.word("null").ok()
    }

    fn string(&mut self) -> Option<&str> {
        self.cursor.string(&mut self.scratch).ok()
    }

    /// The members of an object, each with its key, behind which `each` takes the value.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        // Takes no memory unless a key is written with escapes.
        let (mut scratch, mut is_first) = (String::new(), true);
        self.cursor.expect(b'{').ok()?;
        while self.cursor.next(b'}', &mut is_first).ok()? {
            let key = self.cursor.string(&mut scratch).ok()?;
            self.cursor.expect(b':').ok()?;
            each(self, key)?;
        }
        Some(())
    }

    /// Goes over what need not be known. Nothing may hide in it that the thorough reading would not take.
    fn skip(&mut self, deepest: usize) -> Option<()> {
        match self.cursor.peek() {
            b'{' => {
                let deepest = deepest.checked_sub(1)?;
                self.members(|reader, _| reader.skip(deepest))
            }
            b'[' => {
                let (deepest, mut is_first) = (deepest.checked_sub(1)?, true);
                self.cursor.expect(b'[').ok()?;
                while self.cursor.next(b']', &mut is_first).ok()? {
                    self.skip(deepest)?;
                }
                Some(())
            }
            b'"' => self.string().map(|_| ()),
            b't' => self.cursor.word("true").ok(),
            b'f' => self.cursor.word("false").ok(),
            b'n' => self.null(),
            _ => is_float(self.cursor.number().ok()?).then_some(()),
        }
    }
}

/// Notes what a field says, which must not have been said.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Whether a float is sure to hold this number.
fn is_float(number: &str) -> bool {
    let exponent = number.split(['e', 'E']).nth(1).unwrap_or_default();
    number.len() <= LONGEST.0 && exponent.trim_start_matches(['+', '-']).len() <= LONGEST.1
}

#[cfg(test)]
mod tests;
