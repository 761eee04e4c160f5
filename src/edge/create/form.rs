//! What `/create` and `/create/chat` accept, and the chat completion that they make of it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::chat::validate::MAX_MODEL_CHARS;
use crate::config::Config;
use crate::error::ProxyError;
use crate::json::{Json, Node, ParseError};
use crate::metering::account::clip;
use crate::request::Chat;
use crate::tuning::limits::{Given, Limits, Size};

use fields::Fields;

pub(in crate::edge) use describe::describe;

mod describe;
mod fields;

/// Which of the two endpoints a form was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/create`
    Prompt,
    /// `/create/chat`
    Turn,
}

/// A checked form.
pub(super) struct Form {
    pub(super) completion: Completion,
    /// Its sampling temperature, the client's or ours.
    pub(super) temperature: f64,
    /// Whom it is for.
    pub(super) user: Option<Arc<str>>,
    /// Fields that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// The chat completion that a form becomes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Completion {
    /// The body: of equal questions in equal words the same.
    body: Bytes,
    /// The `max_tokens` in it, where that is ours.
    limit: Option<Given>,
}

/// What the proxy puts in where the client gave none, by the length of the prompt.
const INJECTED: &[&str] = &["max_tokens"];

/// Fields that say whom or what the answer is for; they do not change it.
const ATTRIBUTION: [&str; 3] = ["name", "pluginName", "userId"];
/// The fields that older clients send in place of `prompt`.
const OLDER: [&str; 3] = ["type", "description", "features"];
const HISTORY_ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

impl Form {
    /// Checks a body and makes a chat completion of it; its limit of tokens, where it has none, is one of these, or as
    /// it is set.
    pub(super) fn read(
        body: &Bytes,
        endpoint: Endpoint,
        config: &Config,
        limits: Option<&Limits>,
    ) -> Result<Self, ProxyError> {
        let json = parse(body.clone())?;
        let root = json.root();
        let Node::Object(members) = root else {
            let kind = root.kind();
            return Err(malformed(
                "",
                format!("the body must be a JSON object, not {kind}"),
            ));
        };
        let defaults = match endpoint {
            Endpoint::Prompt => &config.create,
            Endpoint::Turn => &config.chat,
        };
        let (text, history, used) = match endpoint {
            Endpoint::Prompt => read_prompt(root)?,
            Endpoint::Turn => read_turn(root)?,
        };
        let history_chars: usize = history
            .iter()
            .map(|(_, content)| content.chars().count())
            .sum();
        let chars = text.chars().count();
        if chars + history_chars > defaults.max_prompt_chars {
            let limit = defaults.max_prompt_chars;
            let message = format!(
                "{} characters are too many; send at most {limit}",
                chars + history_chars
            );
            return Err(ProxyError::reject_field(
                StatusCode::UNPROCESSABLE_ENTITY,
                used[0],
                message,
            ));
        }

        let system = optional_text(root, "system")?;
        let model = optional_text(root, "model")?.filter(|model| !model.trim().is_empty());
        if model.is_some_and(|model| {
            model.chars().count() > MAX_MODEL_CHARS || model.chars().any(char::is_control)
        }) {
            return Err(semantic(
                "model",
                "model must be a name of at most 256 characters, none of them a control character",
            ));
        }
        for field in ATTRIBUTION {
            optional_text(root, field)?;
        }
        let attributed = optional_text(root, "userId")?.filter(|user| !user.is_empty());
        let stream = optional(root, "stream").map(|node| {
            node.as_bool().ok_or_else(|| {
                malformed(
                    "stream",
                    format!("stream must be a boolean, not {}", node.kind()),
                )
            })
        });
        let stream = stream.transpose()?.unwrap_or(false);

        let mut fields = Fields::read(root, body)?;
        let model = model.unwrap_or(&defaults.model);
        let ours = limit(Size::of(chars), model, stream, config, limits);
        let is_ours = fields.put_default("max_tokens", &json!(ours.tokens));
        for (name, value) in [
            ("temperature", defaults.temperature),
            ("presence_penalty", defaults.presence_penalty),
            ("frequency_penalty", defaults.frequency_penalty),
        ] {
            fields.put_default(name, &json!(value));
        }
        fields.put("model", &json!(model));
        let system = system.unwrap_or(&defaults.system_prompt);
        fields.put("messages", &messages(system, &history, &text));
        if stream {
            fields.put("stream", &json!(true));
            fields.put("stream_options", &json!({"include_usage": true}));
        }
        let completion = serde_json::to_vec(&fields)
            .map_err(|_| ProxyError::Internal("JSON cannot be written"))?;
        let completion = Completion {
            body: completion.into(),
            limit: is_ours.then_some(ours),
        };

        let known = |key: &str| {
            used.contains(&key)
                || ATTRIBUTION.contains(&key)
                || ["model", "system", "stream"].contains(&key)
                || Fields::knows(key)
        };
        let ignored = members
            .iter()
            .filter(|m| !known(&m.key))
            .map(|m| m.key.to_string())
            .collect();
        let temperature = optional(root, "temperature").and_then(Node::as_f64);
        Ok(Self {
            completion,
            temperature: temperature.unwrap_or(defaults.temperature),
            user: attributed.map(|user| clip(user).into()),
            ignored,
        })
    }
}

impl Completion {
    /// The same for the stack.
    pub(super) fn into_chat(self) -> Result<Chat, ProxyError> {
        let injected = if self.limit.is_some() { INJECTED } else { &[] };
        Ok(Chat::new(parse(self.body)?, injected).with_limit(self.limit))
    }
}

fn parse(body: Bytes) -> Result<Json, ProxyError> {
    Json::parse(body).map_err(|error| parse_error(&error))
}

pub(super) fn parse_error(error: &ParseError) -> ProxyError {
    ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
}

type Turns = Vec<(String, String)>;

fn read_prompt(root: &Node) -> Result<(String, Turns, &'static [&'static str]), ProxyError> {
    if let Some(prompt) = optional_text(root, "prompt")? {
        return Ok((required("prompt", prompt)?, Turns::new(), &["prompt"]));
    }
    let mut lines = Vec::new();
    lines.extend(optional_text(root, "description")?.map(ToOwned::to_owned));
    optional_text(root, "type")?;
    if let Some(features) = optional(root, "features") {
        let wrong = || {
            malformed(
                "features",
                "features must be an array of strings".to_owned(),
            )
        };
        for feature in features.as_array().ok_or_else(wrong)? {
            lines.push(feature.as_str().ok_or_else(wrong)?.to_owned());
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    if lines.is_empty() {
        let message = "prompt is missing: send {\"prompt\": \"what to answer\"}";
        return Err(malformed("prompt", message.to_owned()));
    }
    Ok((lines.join("\n"), Turns::new(), &OLDER))
}

fn read_turn(root: &Node) -> Result<(String, Turns, &'static [&'static str]), ProxyError> {
    let Some(message) = optional_text(root, "message")? else {
        return Err(malformed(
            "message",
            "message is missing: send {\"message\": \"what to answer\"}".to_owned(),
        ));
    };
    let message = required("message", message)?;
    let mut history = Turns::new();
    if let Some(turns) = optional(root, "history") {
        let Some(turns) = turns.as_array() else {
            return Err(malformed(
                "history",
                format!("history must be an array of turns, not {}", turns.kind()),
            ));
        };
        for (index, turn) in turns.iter().enumerate() {
            let at = |field: &str| format!("history[{index}].{field}");
            let text = |field: &str| {
                turn.get(field)
                    .and_then(Node::as_str)
                    .ok_or_else(|| malformed(&at(field), format!("{} must be a string", at(field))))
            };
            let (role, content) = (text("role")?, text("content")?);
            if !HISTORY_ROLES.contains(&role) {
                let message = format!("{} must be one of {}", at("role"), HISTORY_ROLES.join(", "));
                return Err(semantic(&at("role"), &message));
            }
            history.push((role.to_owned(), content.to_owned()));
        }
    }
    Ok((message, history, &["message", "history"]))
}

fn required(field: &str, text: &str) -> Result<String, ProxyError> {
    if text.trim().is_empty() {
        return Err(malformed(
            field,
            format!("{field} is empty; say what to answer"),
        ));
    }
    Ok(text.to_owned())
}

fn messages(system: &str, history: &Turns, text: &str) -> Value {
    let mut messages = Vec::new();
    if !system.trim().is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.extend(
        history
            .iter()
            .map(|(role, content)| json!({"role": role, "content": content})),
    );
    messages.push(json!({"role": "user", "content": text}));
    messages.into()
}

/// The limit of an answer where its client sets none: the more is asked, the more may be answered.
fn limit(
    size: Size,
    model: &str,
    is_stream: bool,
    config: &Config,
    limits: Option<&Limits>,
) -> Given {
    let tuned = limits.map(|limits| limits.of(model, size, is_stream));
    let tokens = tuned.unwrap_or_else(|| config.max_tokens.of(size));
    Given { size, tokens }
}

/// A field that is there and not null.
fn optional<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    root.get(name).filter(|node| !node.is_null())
}

fn optional_text<'a>(root: &'a Node, name: &str) -> Result<Option<&'a str>, ProxyError> {
    let Some(node) = optional(root, name) else {
        return Ok(None);
    };
    let wrong = || {
        malformed(
            name,
            format!("{name} must be a string, not {}", node.kind()),
        )
    };
    node.as_str().map(Some).ok_or_else(wrong)
}

pub(super) fn malformed(param: &str, message: String) -> ProxyError {
    ProxyError::reject_field(StatusCode::BAD_REQUEST, param, message)
}

fn semantic(param: &str, message: &str) -> ProxyError {
    ProxyError::reject_field(StatusCode::UNPROCESSABLE_ENTITY, param, message)
}

#[cfg(test)]
mod tests;
