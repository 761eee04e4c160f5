//! Watches the chunks of a stream as they pass: whether it ends well, and what it used.

use std::cell::OnceCell;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::answer::clip;
use super::ending;
use super::invalid::{Invalid, kind, parse_object, refuse_error};
use super::object::Object;
use super::size::Size;
use super::usage::Usage;

/// More choices than any API offers (`OpenAI`: 128); without a limit a hostile upstream could
/// make us remember one for every chunk.
pub(super) const MAX_CHOICES: usize = 1024;

/// What is known of a stream so far; keeps no text.
#[derive(Debug, Default)]
pub struct Watch {
    usage: Option<Usage>,
    /// What the first chunk says; all others say it again.
    model: OnceCell<Option<Arc<str>>>,
    choices: Vec<Seen>,
    text: usize,
}

#[derive(Debug)]
struct Seen {
    index: u64,
    /// Why it ended, once it has.
    ending: Option<&'static str>,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the data of one event, not `[DONE]`; fails if it reports an error or is no chunk.
    pub fn chunk(&mut self, data: &[u8]) -> Result<(), Invalid> {
        // All of it, for what is passed over here is passed on: clients refuse to decode what is no UTF-8.
        let text = std::str::from_utf8(data).ok();
        let chunk = match text.map(serde_json::from_str::<Object<Chunk>>) {
            Some(Ok(Object(chunk))) if chunk.is_plain() => chunk,
            _ => examine(data)?,
        };
        if let Some(usage) = chunk.usage.as_ref().and_then(Usage::read) {
            self.usage = Some(usage);
        }
        self.model.get_or_init(|| model_of(data));
        for Object(choice) in chunk.choices.into_iter().flatten() {
            self.choice(choice)?;
        }
        Ok(())
    }

    /// The last usage that the provider sent.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The model that answers, if it says so.
    pub fn model(&self) -> Option<&Arc<str>> {
        self.model.get()?.as_ref()
    }

    /// Whether there was a choice, and all that there were have a finish reason.
    pub fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|seen| seen.ending.is_some())
    }

    /// The reasons with which the choices ended, as far as they have.
    pub fn endings(&self) -> impl Iterator<Item = &'static str> {
        self.choices.iter().filter_map(|seen| seen.ending)
    }

    /// Bytes of generated text: content, reasoning, refusals and tool-call arguments.
    pub fn text(&self) -> usize {
        self.text
    }

    fn choice(&mut self, choice: Choice) -> Result<(), Invalid> {
        self.text += choice
            .delta
            .or(choice.message)
            .map_or(0, |Object(delta)| delta.text());
        let index = choice.index.unwrap_or(0);
        let at = if let Some(at) = self.choices.iter().position(|seen| seen.index == index) {
            at
        } else if self.choices.len() < MAX_CHOICES {
            self.choices.push(Seen {
                index,
                ending: None,
            });
            self.choices.len() - 1
        } else {
            return Err(Invalid::new(format!(
                "the stream has more than {MAX_CHOICES} choices"
            )));
        };
        // Some servers send "" with every chunk before the last.
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            if reason == "error" {
                return Err(ended_with_error());
            }
            self.choices[at].ending = Some(ending::known(&reason));
        }
        Ok(())
    }
}

/// The model that a chunk names. Where it is no name, nothing depends on it.
fn model_of(data: &[u8]) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Named {
        model: Option<Value>,
    }
    let Named { model } = serde_json::from_slice(data).ok()?;
    model?.as_str().map(clip)
}

/// The few fields that matter, so that most chunks cost no allocation.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Object<Choice>>>,
    usage: Option<Value>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Object<Delta>>,
    /// Sent in place of a delta by servers that stream a whole answer as one event.
    message: Option<Object<Delta>>,
    finish_reason: Option<String>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Size>,
    reasoning: Option<Size>,
    reasoning_content: Option<Size>,
    refusal: Option<Size>,
    tool_calls: Option<Size>,
    function_call: Option<Size>,
}

impl Chunk {
    /// Whether nothing asks for the second, careful look.
    fn is_plain(&self) -> bool {
        self.error.is_none()
            && self.choices.as_ref().is_some_and(|choices| {
                choices.iter().all(|Object(choice)| {
                    let delta = choice.delta.as_ref().or(choice.message.as_ref());
                    choice.error.is_none()
                        && delta.is_none_or(|Object(delta)| delta.has_content_or_none())
                })
            })
    }
}

impl Delta {
    fn has_content_or_none(&self) -> bool {
        self.content.is_none_or(|content| content.is_content)
    }

    fn text(&self) -> usize {
        let texts = [
            self.content,
            self.reasoning,
            self.reasoning_content,
            self.refusal,
            self.tool_calls,
            self.function_call,
        ];
        texts.iter().flatten().map(|size| size.bytes).sum()
    }
}

/// Reads what the quick look refused: finds the reason, or the oddity that can be borne.
fn examine(data: &[u8]) -> Result<Chunk, Invalid> {
    check(&parse_object(data)?.object)
}

/// Fails if a parsed chunk reports an error or has the wrong shape.
fn check(object: &Map<String, Value>) -> Result<Chunk, Invalid> {
    refuse_error(object)?;
    for choice in choices_of(object)? {
        check_choice(choice)?;
    }
    Chunk::deserialize(object).map_err(|_| Invalid::new("the chunk has a field of the wrong type"))
}

/// The choices of a chunk; none where there are none.
fn choices_of(object: &Map<String, Value>) -> Result<&[Value], Invalid> {
    match object.get("choices") {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(choices)) if choices.len() <= MAX_CHOICES => Ok(choices),
        Some(Value::Array(_)) => Err(too_many_choices()),
        Some(other) => {
            let kind = kind(other);
            Err(Invalid::new(format!(
                "the chunk's choices are {kind}, not an array"
            )))
        }
    }
}

/// A choice's fields and its delta, if it has one.
pub(super) type ChoiceDelta<'a> = (&'a Map<String, Value>, Option<&'a Map<String, Value>>);

/// The choices of a chunk with their deltas; fails wherever [`Watch::chunk`] does.
pub(super) fn deltas_of(
    object: &Map<String, Value>,
) -> Result<impl Iterator<Item = ChoiceDelta<'_>>, Invalid> {
    check(object)?;
    Ok(choices_of(object)?
        .iter()
        .filter_map(Value::as_object)
        .map(|choice| {
            let delta = delta_of(choice).and_then(Value::as_object);
            (choice, delta)
        }))
}

fn delta_of(choice: &Map<String, Value>) -> Option<&Value> {
    ["delta", "message"]
        .iter()
        .find_map(|key| choice.get(*key).filter(|value| !value.is_null()))
}

fn check_choice(choice: &Value) -> Result<(), Invalid> {
    let Value::Object(choice) = choice else {
        let kind = kind(choice);
        return Err(Invalid::new(format!(
            "a choice of the chunk is {kind}, not an object"
        )));
    };
    refuse_error(choice)?;
    if choice.get("finish_reason").and_then(Value::as_str) == Some("error") {
        return Err(ended_with_error());
    }
    match delta_of(choice) {
        None => Ok(()),
        Some(Value::Object(delta)) => match delta.get("content") {
            None | Some(Value::Null | Value::String(_) | Value::Array(_)) => Ok(()),
            Some(other) => {
                let kind = kind(other);
                Err(Invalid::new(format!(
                    "a delta's content is {kind}, not text"
                )))
            }
        },
        Some(other) => {
            let kind = kind(other);
            Err(Invalid::new(format!(
                "a choice's delta is {kind}, not an object"
            )))
        }
    }
}

pub(super) fn too_many_choices() -> Invalid {
    Invalid::new(format!("the stream has more than {MAX_CHOICES} choices"))
}

fn ended_with_error() -> Invalid {
    Invalid::new("the provider ended a choice with an error")
}

#[cfg(test)]
mod tests;
