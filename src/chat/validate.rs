//! Checks a client's request, so that what no upstream accepts costs no call and is named exactly.

mod describe;
mod rule;

pub use self::describe::describe;
use self::rule::{OPTIONAL, Rule, all};
use crate::json::Node;

/// More characters than any model's name has.
pub(crate) const MAX_MODEL_CHARS: usize = 256;

const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// The one thing that is wrong with a request; quotes none of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param} {message}")]
pub struct Fault {
    /// Where, as `OpenAI` writes it: `messages[2].content`; empty for the body itself.
    pub param: String,
    /// What is wrong and what would be right, to be read after `param`.
    pub message: String,
}

impl Fault {
    fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: param.into(),
            message: message.into(),
        }
    }

    fn expected(param: impl Into<String>, expected: &str, found: Option<&Node>) -> Self {
        let found = found.map_or("missing", Node::kind);
        Self::new(param, format!("is {found}; it must be {expected}"))
    }
}

/// Checks a chat-completions request; fails with the first fault.
pub fn validate(root: &Node) -> Result<(), Fault> {
    if !root.is_object() {
        return Err(Fault::new(
            "",
            format!("the body is {}; it must be an object", root.kind()),
        ));
    }
    check_model(root.get("model"))?;
    match root
        .get("messages")
        .map(|messages| (messages, messages.as_array()))
    {
        Some((_, Some([]))) => {
            return Err(Fault::new(
                "messages",
                "is empty; it must hold at least one message",
            ));
        }
        Some((_, Some(messages))) => {
            messages
                .iter()
                .enumerate()
                .try_for_each(|(at, message)| check_message(at, message))?;
        }
        other => {
            let found = other.map(|(messages, _)| messages);
            return Err(Fault::expected("messages", "an array of messages", found));
        }
    }
    for (key, rule) in OPTIONAL {
        let value = root.get(key).filter(|value| !value.is_null());
        if let Some(value) = value.filter(|value| !rule.admits(value)) {
            return Err(wrong_value(key, rule, value));
        }
    }
    if root
        .get("temperature")
        .and_then(Node::as_f64)
        .is_some_and(|degree| degree < 0.0)
    {
        return Err(Fault::new(
            "temperature",
            "is negative; it must be 0 or more",
        ));
    }
    let tools = root
        .get("tools")
        .and_then(Node::as_array)
        .unwrap_or_default();
    for (at, tool) in tools.iter().enumerate() {
        require_string(tool, "type", || format!("tools[{at}].type"))?;
    }
    Ok(())
}

fn wrong_value(key: &str, rule: Rule, value: &Node) -> Fault {
    // The kind alone would say "is a number; it must be an integer", or hide which item is wrong.
    match value {
        Node::Number(_) if matches!(rule, Rule::Number | Rule::Integer | Rule::Count) => {
            Fault::new(
                key,
                format!("is out of range; it must be {}", rule.expected()),
            )
        }
        Node::Array(_) if matches!(rule, Rule::Objects | Rule::StringOrStrings) => Fault::new(
            key,
            format!(
                "has an item of the wrong type; it must be {}",
                rule.expected()
            ),
        ),
        _ => Fault::expected(key, rule.expected(), Some(value)),
    }
}

fn check_model(model: Option<&Node>) -> Result<(), Fault> {
    let Some(name) = model.and_then(Node::as_str) else {
        return Err(Fault::expected("model", "a string", model));
    };
    if name.trim().is_empty() {
        return Err(Fault::new("model", "is empty; it must name a model"));
    }
    if name.chars().nth(MAX_MODEL_CHARS).is_some() {
        let message = format!("is too long; it must have at most {MAX_MODEL_CHARS} characters");
        return Err(Fault::new("model", message));
    }
    if name.chars().any(char::is_control) {
        return Err(Fault::new(
            "model",
            "holds control characters; it must hold none",
        ));
    }
    Ok(())
}

fn check_message(at: usize, message: &Node) -> Result<(), Fault> {
    let param = |key: &str| format!("messages[{at}].{key}");
    if !message.is_object() {
        return Err(Fault::expected(
            format!("messages[{at}]"),
            "an object",
            Some(message),
        ));
    }
    let role = require_string(message, "role", || param("role"))?;
    if !ROLES.contains(&role) {
        let message = format!("is no known role; it must be one of {}", ROLES.join(", "));
        return Err(Fault::new(param("role"), message));
    }
    if role == "tool" {
        require_string(message, "tool_call_id", || param("tool_call_id"))?;
    }
    let given = |key: &str| message.get(key).filter(|value| !value.is_null());
    if let Some(name) = given("name").filter(|name| name.as_str().is_none()) {
        return Err(Fault::expected(param("name"), "a string", Some(name)));
    }
    if let Some(calls) = given("tool_calls").filter(|calls| !all(calls, Node::is_object)) {
        return Err(wrong_value(&param("tool_calls"), Rule::Objects, calls));
    }
    match given("content") {
        Some(Node::String(_)) => Ok(()),
        Some(Node::Array(parts)) => parts
            .iter()
            .enumerate()
            .try_for_each(|(part, node)| check_part(at, part, node)),
        Some(other) => Err(Fault::expected(
            param("content"),
            "a string or an array of parts",
            Some(other),
        )),
        None if role == "assistant" => {
            let called = given("tool_calls")
                .and_then(Node::as_array)
                .is_some_and(|calls| !calls.is_empty());
            if called
                || ["function_call", "refusal", "audio"]
                    .into_iter()
                    .any(|key| given(key).is_some())
            {
                return Ok(());
            }
            let expected = "a string or an array of parts, \
                where there are no tool_calls, function_call, refusal or audio";
            Err(Fault::expected(
                param("content"),
                expected,
                message.get("content"),
            ))
        }
        None => {
            let expected = "a string or an array of parts";
            Err(Fault::expected(
                param("content"),
                expected,
                message.get("content"),
            ))
        }
    }
}

fn check_part(at: usize, part: usize, node: &Node) -> Result<(), Fault> {
    let param = |key: &str| format!("messages[{at}].content[{part}]{key}");
    if !node.is_object() {
        return Err(Fault::expected(param(""), "an object", Some(node)));
    }
    match require_string(node, "type", || param(".type"))? {
        "text" => match node.get("text") {
            Some(Node::String(_)) => Ok(()),
            other => Err(Fault::expected(param(".text"), "a string", other)),
        },
        "image_url" => match node.get("image_url") {
            Some(Node::Object(_) | Node::String(_)) => Ok(()),
            other => Err(Fault::expected(
                param(".image_url"),
                "an object with a url",
                other,
            )),
        },
        _ => Ok(()),
    }
}

/// The string under a key, which must be there and not empty.
fn require_string<'a>(
    node: &'a Node,
    key: &str,
    param: impl Fn() -> String,
) -> Result<&'a str, Fault> {
    match node.get(key).map(|value| (value, value.as_str())) {
        Some((_, Some(""))) => Err(Fault::new(
            param(),
            "is empty; it must be a string with text",
        )),
        Some((_, Some(text))) => Ok(text),
        other => Err(Fault::expected(
            param(),
            "a string",
            other.map(|(value, _)| value),
        )),
    }
}

#[cfg(test)]
mod tests;
