//! Counts a request's tokens before anybody has reported them, and says how sure the count is.

use std::ops::ControlFlow;

use super::families::Family;
use crate::chat::Certainty;
use crate::json::Node;

/// The frame of a message, in tokens: `<|start|>`, role and separator, as `OpenAI`'s cookbook counts them.
const PER_MESSAGE: u64 = 3;
/// A message's `name`, beside the name itself.
const PER_NAME: u64 = 1;
/// The beginning of the answer, which is part of the prompt.
const ANSWER: u64 = 3;
/// An image at full detail: 1024 × 1024 pixels, as `OpenAI` counts them for GPT-4o. What it really is depends on
/// its size, which only decoding it would tell.
const IMAGE: u64 = 765;
/// An image at `"detail": "low"`, of any size.
const SMALL_IMAGE: u64 = 85;
/// Long texts are estimated in parts of so many bytes, so that the count can stop early.
const PART: usize = 32 * 1024;

/// So many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub tokens: u64,
    /// How sure that is.
    pub certainty: Certainty,
}

/// A prompt that its model cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The tokens of its texts, or as many of them as it took to be sure.
    pub at_least: u64,
    /// The model's context window.
    pub window: u64,
    /// Whether they were counted with the model's own vocabulary. An estimate is above the window by more than
    /// any was too high by when they were measured.
    pub certainty: Certainty,
}

/// The tokens of a text.
pub fn count_text(model: &str, text: &str) -> Counted {
    let family = Family::of(model);
    let certainty = match family {
        Family::Exact { .. } => Certainty::Exact,
        Family::Measured(_) | Family::Unmeasured => Certainty::Estimated,
    };
    Counted {
        tokens: family.count(text),
        certainty,
    }
}

/// The tokens of a chat request. It is exact where the model's vocabulary and the frames of its messages are
/// published, and the messages are plain texts; tools and whatever else is no text are counted as the JSON
/// that they are, images as one of 1024 × 1024 pixels.
pub fn count_prompt(model: &str, root: &Node) -> Counted {
    let mut count = Count {
        family: Family::of(model),
        tokens: ANSWER,
        exact: true,
    };
    count.exact &= matches!(count.family, Family::Exact { framing: true, .. });
    for message in messages(root) {
        count.message(message);
    }
    for key in ["tools", "functions", "response_format"] {
        if let Some(value) = root.get(key).filter(|value| **value != Node::Null) {
            count.json(value);
        }
    }
    Counted {
        tokens: count.tokens,
        certainty: if count.exact {
            Certainty::Exact
        } else {
            Certainty::Estimated
        },
    }
}

/// Whether the texts of a chat request alone are surely more than the model's context window. It costs next to
/// nothing where they have fewer bytes than the window has tokens (a token is a byte at least), and stops as
/// soon as there are too many. In between it counts, which for a long prompt is not for a thread that others
/// wait for. A model whose family was not measured never overflows here.
pub fn overflows(model: &str, root: &Node, window: u64) -> Option<Overflow> {
    let mut bytes = 0_u64;
    let _ = each_text(root, &mut |text| {
        bytes += text.len() as u64;
        ControlFlow::Continue(())
    });
    if bytes <= window {
        return None;
    }
    let (family, limit) = match Family::of(model) {
        exact @ Family::Exact { .. } => (exact, window),
        Family::Measured(correction) => {
            let margin = window.saturating_mul(correction.too_high).div_ceil(100);
            (Family::Measured(correction), window.saturating_add(margin))
        }
        Family::Unmeasured => return None,
    };
    let mut tokens = 0;
    let certainty = match family {
        Family::Exact { .. } => Certainty::Exact,
        _ => Certainty::Estimated,
    };
    each_text(root, &mut |text| {
        tokens += match certainty {
            Certainty::Exact => count_up_to(family, text, limit - tokens),
            Certainty::Estimated | Certainty::Reported => {
                estimate_up_to(family, text, limit - tokens)
            }
        };
        if tokens > limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
    .then_some(Overflow {
        at_least: tokens,
        window,
        certainty,
    })
}

/// The tokens of a text, or one more than `most` where there are more.
fn count_up_to(family: Family, text: &str, most: u64) -> u64 {
    let enough = most.saturating_add(1);
    let many = text.len() as u64 > most
        && usize::try_from(enough).is_ok_and(|n| family.vocabulary().has_at_least(text, n));
    if many { enough } else { family.count(text) }
}

/// The estimated tokens of a text, or of as much of it as has more than `most`. Between its parts it is cut
/// where it may be inside of a word: that is a token or two too many for tens of thousands.
fn estimate_up_to(family: Family, mut text: &str, most: u64) -> u64 {
    let mut tokens = 0;
    while !text.is_empty() && tokens <= most {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART));
        tokens += family.count(part);
        text = rest;
    }
    tokens
}

fn messages(root: &Node) -> &[Node] {
    let messages = root.get("messages").and_then(Node::as_array);
    messages.unwrap_or_default()
}

/// Calls `look` with each text of the messages.
fn each_text<'n>(
    root: &'n Node,
    look: &mut impl FnMut(&'n str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for message in messages(root) {
        match message.get("content") {
            Some(Node::String(text)) => look(&text.value)?,
            Some(Node::Array(parts)) => {
                for part in parts {
                    part.get("text")
                        .and_then(Node::as_str)
                        .map_or(ControlFlow::Continue(()), &mut *look)?;
                }
            }
            _ => {}
        }
    }
    ControlFlow::Continue(())
}

/// A count under way.
struct Count {
    family: Family,
    tokens: u64,
    exact: bool,
}

impl Count {
    fn message(&mut self, message: &Node) {
        self.tokens += PER_MESSAGE;
        let Node::Object(members) = message else {
            self.exact = false;
            return;
        };
        for member in members {
            match (&*member.key, &member.value) {
                (_, Node::Null) => {}
                ("role", Node::String(role)) => self.text(&role.value),
                ("content", Node::String(text)) => self.text(&text.value),
                ("content", Node::Array(parts)) => {
                    self.exact = false;
                    for part in parts {
                        self.part(part);
                    }
                }
                ("name", Node::String(name)) => {
                    self.tokens += PER_NAME;
                    self.text(&name.value);
                }
                (_, value) => self.json(value),
            }
        }
    }

    fn part(&mut self, part: &Node) {
        if let Some(text) = part.get("text").and_then(Node::as_str) {
            self.text(text);
        } else if let Some(image) = part.get("image_url") {
            let small = image.get("detail").and_then(Node::as_str) == Some("low");
            self.tokens += if small { SMALL_IMAGE } else { IMAGE };
        }
        // How many tokens audio and files are, only their model knows.
    }

    fn text(&mut self, text: &str) {
        self.tokens += self.family.count(text);
    }

    fn json(&mut self, value: &Node) {
        self.exact = false;
        let mut text = String::new();
        write_json(value, &mut text);
        self.text(&text);
    }
}

/// Writes a value without blanks. Strings are not escaped: that would be no token a model is sent.
fn write_json(value: &Node, out: &mut String) {
    match value {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(digits) => out.push_str(digits),
        Node::String(text) => {
            out.push('"');
            out.push_str(&text.value);
            out.push('"');
        }
        Node::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (at, member) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push('"');
                out.push_str(&member.key);
                out.push_str("\":");
                write_json(&member.value, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests;
