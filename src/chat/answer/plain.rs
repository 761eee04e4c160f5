//! The answer that most are: some text, finished, and what it used. It is judged in one reading, of which nothing is kept;
//! whatever else there is in it is left to the thorough reading.

use std::sync::Arc;

use super::{Answer, GOOD_ENDINGS, PROMISES, Quality, Usage, clip};
use crate::chat::Certainty;
use crate::chat::usage::{HIGHEST_COST, MOST_TOKENS};
use crate::json::{Cursor, Fault};
use crate::metering::nano_usd;

/// More arrays and objects inside each other are for the thorough reading, which takes 127.
const DEEPEST: usize = 100;
/// Digits of a number that every float holds, and those of its exponent.
const LONGEST: (usize, usize) = (200, 2);

/// There is something in the answer that no plain one has.
struct Odd;

type Read<T> = Result<T, Odd>;

/// What there is to know of a plain answer; `None` of any other, be it good or bad.
pub(super) fn read(body: &[u8]) -> Option<Answer> {
    let mut reader = Reader {
        cursor: Cursor::new(std::str::from_utf8(body).ok()?),
        scratch: String::new(),
    };
    let answer = reader.answer().ok()?;
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
    fn answer(&mut self) -> Read<Answer> {
        let (mut text, mut usage, mut object, mut model) = (None, None, None, None);
        self.members(|reader, key| match key {
            "choices" => once(&mut text, reader.choices()?),
            "usage" => once(&mut usage, reader.usage()?),
            "object" => once(&mut object, reader.kind()?),
            "model" => once(&mut model, reader.model()?),
            "error" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        Ok(Answer {
            usage: usage.flatten(),
            model: model.flatten(),
            quality: Quality::Stop,
            text: text.ok_or(Odd)?,
        })
    }

    /// The name of what this is, as long as it is no error.
    fn kind(&mut self) -> Read<()> {
        if self.cursor.peek() == b'n' {
            return self.null();
        }
        (self.string()? != "error").then_some(()).ok_or(Odd)
    }

    fn model(&mut self) -> Read<Option<Arc<str>>> {
        if self.cursor.peek() == b'"' {
            return Ok(Some(clip(self.string()?)));
        }
        self.skip(DEEPEST)?;
        Ok(None)
    }

    /// The bytes of text in all choices, one at least.
    fn choices(&mut self) -> Read<usize> {
        let (mut text, mut is_first) = (0, true);
        self.cursor.expect(b'[')?;
        while self.cursor.next(b']', &mut is_first)? {
            text += self.choice()?;
        }
        // Each of them has some.
        (text > 0).then_some(text).ok_or(Odd)
    }

    fn choice(&mut self) -> Read<usize> {
        let (mut text, mut ending) = (None, None);
        self.members(|reader, key| match key {
            "message" => once(&mut text, reader.message()?),
            "finish_reason" => once(&mut ending, reader.ending()?),
            "error" | "object" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        ending.and(text).ok_or(Odd)
    }

    /// A reason with which finished answers end.
    fn ending(&mut self) -> Read<()> {
        let reason = self.string()?;
        // A call that was promised and is not there makes a bad answer.
        let is_good = GOOD_ENDINGS
            .iter()
            .any(|ending| !PROMISES.contains(ending) && reason.eq_ignore_ascii_case(ending));
        is_good.then_some(()).ok_or(Odd)
    }

    fn message(&mut self) -> Read<usize> {
        let mut text = None;
        self.members(|reader, key| match key {
            "content" => once(&mut text, reader.content()?),
            "tool_calls" | "function_call" | "refusal" | "audio" | "images" | "reasoning"
            | "reasoning_content" | "reasoning_details" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        text.ok_or(Odd)
    }

    /// The bytes of a text that is not blank.
    fn content(&mut self) -> Read<usize> {
        let content = self.string()?;
        if content.trim_ascii().is_empty() {
            return Err(Odd);
        }
        Ok(content.len())
    }

    fn usage(&mut self) -> Read<Option<Usage>> {
        if self.cursor.peek() == b'n' {
            return self.null().map(|()| None);
        }
        let (mut prompt, mut completion, mut total) = (None, None, None);
        let (mut of_prompt, mut of_completion, mut cost) = (None, None, None);
        self.members(|reader, key| match key {
            "prompt_tokens" => once(&mut prompt, reader.count()?),
            "completion_tokens" => once(&mut completion, reader.count()?),
            "total_tokens" => once(&mut total, reader.count()?),
            "prompt_tokens_details" => {
                let parts = reader.parts(["cached_tokens", "cache_write_tokens"])?;
                once(&mut of_prompt, parts)
            }
            "completion_tokens_details" => {
                once(&mut of_completion, reader.parts(["reasoning_tokens"])?)
            }
            "cost" => once(&mut cost, reader.cost()?),
            // What else providers call these.
            "prompt_cache_hit_tokens"
            | "cached_tokens"
            | "input_tokens"
            | "output_tokens"
            | "cache_creation_input_tokens"
            | "cache_read_input_tokens"
            | "input_tokens_details"
            | "output_tokens_details" => reader.null(),
            _ => reader.skip(DEEPEST),
        })?;
        let prompt_tokens = prompt.ok_or(Odd)?;
        let completion_tokens = completion.ok_or(Odd)?;
        let [cached, written] = of_prompt.unwrap_or_default();
        let [reasoning] = of_completion.unwrap_or_default();
        Ok(Some(Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: total.filter(|total| *total > 0).ok_or(Odd)?,
            cached_tokens: cached.min(prompt_tokens),
            cache_write_tokens: written.min(prompt_tokens),
            reasoning_tokens: reasoning.min(completion_tokens),
            cost_nano_usd: cost.flatten(),
            certainty: Certainty::Reported,
        }))
    }

    /// These counts out of an object, zero where they are not there.
    fn parts<const N: usize>(&mut self, names: [&str; N]) -> Read<[u64; N]> {
        let mut counts = [None; N];
        if self.cursor.peek() == b'n' {
            self.null()?;
            return Ok([0; N]);
        }
        self.members(|reader, key| {
            let Some(at) = names.iter().position(|name| *name == key) else {
                return reader.skip(DEEPEST);
            };
            let is_null = reader.cursor.peek() == b'n';
            let count = if is_null {
                reader.null().map(|()| 0)?
            } else {
                reader.count()?
            };
            once(&mut counts[at], count)
        })?;
        Ok(counts.map(Option::unwrap_or_default))
    }

    /// An amount of dollars; one with more digits than a float holds is for the thorough reading, which rounds it.
    fn cost(&mut self) -> Read<Option<u64>> {
        if self.cursor.peek() == b'n' {
            return self.null().map(|()| None);
        }
        let text = self.cursor.number()?;
        if text.len() > 15 {
            return Err(Odd);
        }
        Ok(nano_usd(text).filter(|cost| *cost <= HIGHEST_COST))
    }

    fn count(&mut self) -> Read<u64> {
        let count = self.cursor.number()?.parse().map_err(|_| Odd)?;
        (count <= MOST_TOKENS).then_some(count).ok_or(Odd)
    }

    fn null(&mut self) -> Read<()> {
        Ok(self.cursor.word("null")?)
    }

    fn string(&mut self) -> Read<&str> {
        Ok(self.cursor.string(&mut self.scratch)?)
    }

    /// The members of an object, each with its key, behind which `each` takes the value.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        // Takes no memory unless a key is written with escapes.
        let (mut scratch, mut is_first) = (String::new(), true);
        self.cursor.expect(b'{')?;
        while self.cursor.next(b'}', &mut is_first)? {
            let key = self.cursor.string(&mut scratch)?;
            self.cursor.expect(b':')?;
            each(self, key)?;
        }
        Ok(())
    }

    /// Goes over what need not be known. Nothing may hide in it that the thorough reading would not take.
    fn skip(&mut self, deepest: usize) -> Read<()> {
        match self.cursor.peek() {
            b'{' => {
                let deepest = deepest.checked_sub(1).ok_or(Odd)?;
                self.members(|reader, _| reader.skip(deepest))
            }
            b'[' => {
                let (deepest, mut is_first) = (deepest.checked_sub(1).ok_or(Odd)?, true);
                self.cursor.expect(b'[')?;
                while self.cursor.next(b']', &mut is_first)? {
                    self.skip(deepest)?;
                }
                Ok(())
            }
            b'"' => self.string().map(|_| ()),
            b't' => Ok(self.cursor.word("true")?),
            b'f' => Ok(self.cursor.word("false")?),
            b'n' => self.null(),
            _ => is_float(self.cursor.number()?).then_some(()).ok_or(Odd),
        }
    }
}

impl From<Fault> for Odd {
    fn from(_: Fault) -> Self {
        Self
    }
}

/// Notes what a field says, which must not have been said.
fn once<T>(place: &mut Option<T>, value: T) -> Read<()> {
    place.replace(value).is_none().then_some(()).ok_or(Odd)
}

/// Whether a float is sure to hold this number.
fn is_float(number: &str) -> bool {
    let exponent = number.split(['e', 'E']).nth(1).unwrap_or_default();
    number.len() <= LONGEST.0 && exponent.trim_start_matches(['+', '-']).len() <= LONGEST.1
}

#[cfg(test)]
mod tests;
