//! What `/create` and `/create/chat` accept, and the chat completion that they make of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::config::{Config, Dialect, MaxTokens};
use crate::error::ProxyError;
use crate::json::{Json, Node};

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
    /// The body of the chat completion.
    pub(super) completion: Vec<u8>,
    /// Whether `max_tokens` in it is ours.
    pub(super) injects_max_tokens: bool,
    /// Fields that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// Fields that are passed on as they were written, each with what it must be.
const PASSED_ON: [(&str, Kind); 8] = [
    ("temperature", Kind::Number(0.0, 2.0)),
    ("top_p", Kind::Number(0.0, 1.0)),
    ("presence_penalty", Kind::Number(-2.0, 2.0)),
    ("frequency_penalty", Kind::Number(-2.0, 2.0)),
    ("max_tokens", Kind::Positive),
    ("seed", Kind::Integer),
    ("stop", Kind::Stop),
    ("response_format", Kind::Object),
];
/// Fields that say whom or what the answer is for; they do not change it.
const ATTRIBUTION: [&str; 3] = ["name", "pluginName", "userId"];
/// The fields that older clients send in place of `prompt`.
const OLDER: [&str; 3] = ["type", "description", "features"];
const HISTORY_ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Number(f64, f64),
    Positive,
    Integer,
    Stop,
    Object,
}

impl Form {
    /// Checks a body and makes a chat completion of it.
    pub(super) fn read(
        body: &Bytes,
        endpoint: Endpoint,
        config: &Config,
    ) -> Result<Self, ProxyError> {
        let json = Json::parse(body.clone()).map_err(|error| {
            ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
        })?;
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
        if model.is_some_and(|model| model.len() > 256 || model.chars().any(char::is_control)) {
            return Err(semantic(
                "model",
                "model must be a name of at most 256 characters",
            ));
        }
        for field in ATTRIBUTION {
            optional_text(root, field)?;
        }
        let stream = optional(root, "stream").map(|node| {
            node.as_bool().ok_or_else(|| {
                malformed(
                    "stream",
                    format!("stream must be a boolean, not {}", node.kind()),
                )
            })
        });
        let stream = stream.transpose()?.unwrap_or(false);

        let mut fields = passed_on(root, body)?;
        let injects_max_tokens = !fields.contains_key("max_tokens");
        put_defaults(&mut fields, defaults, max_tokens(&config.max_tokens, chars));
        put(
            &mut fields,
            "model",
            &json!(model.unwrap_or(&defaults.model)),
        );
        put(
            &mut fields,
            "messages",
            &messages(system.unwrap_or(&defaults.system_prompt), &history, &text),
        );
        if stream {
            put(&mut fields, "stream", &json!(true));
            put(
                &mut fields,
                "stream_options",
                &json!({"include_usage": true}),
            );
        }
        let completion = serde_json::to_vec(&fields)
            .map_err(|_| ProxyError::Internal("JSON cannot be written"))?;

        let known = |key: &str| {
            used.contains(&key)
                || ATTRIBUTION.contains(&key)
                || ["model", "system", "stream"].contains(&key)
                || PASSED_ON.iter().any(|(name, _)| *name == key)
        };
        let ignored = members
            .iter()
            .filter(|m| !known(&m.key))
            .map(|m| m.key.to_string())
            .collect();
        Ok(Self {
            completion,
            injects_max_tokens,
            ignored,
        })
    }
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

/// The fields that are passed on, each as the client spelled it.
fn passed_on<'a>(
    root: &Node,
    body: &'a [u8],
) -> Result<BTreeMap<&'static str, Spelled<'a>>, ProxyError> {
    // Keys of the first level with their values as written.
    let raw: BTreeMap<String, &'a RawValue> = serde_json::from_slice(body).map_err(|error| {
        ProxyError::reject(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
    })?;
    let mut fields = BTreeMap::new();
    for (name, kind) in PASSED_ON {
        let Some(node) = optional(root, name) else {
            continue;
        };
        kind.check(name, node)?;
        if let Some(raw) = raw.get(name) {
            fields.insert(name, Spelled::Client(raw));
        }
    }
    Ok(fields)
}

/// A value of the chat completion: the client's spelling, or ours.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Spelled<'a> {
    Client(&'a RawValue),
    Proxy(Box<RawValue>),
}

impl Kind {
    fn check(self, name: &str, node: &Node) -> Result<(), ProxyError> {
        let wrong =
            |what: &str| malformed(name, format!("{name} must be {what}, not {}", node.kind()));
        match self {
            Self::Number(least, most) => {
                let number = node.as_f64().ok_or_else(|| wrong("a number"))?;
                if !(least..=most).contains(&number) {
                    return Err(semantic(
                        name,
                        &format!("{name} must lie between {least} and {most}"),
                    ));
                }
            }
            Self::Positive => {
                if !node.is_integer() {
                    return Err(wrong("an integer"));
                }
                if node
                    .as_u64()
                    .is_none_or(|n| n == 0 || n > u64::from(u32::MAX))
                {
                    return Err(semantic(
                        name,
                        &format!("{name} must be an integer from 1 on"),
                    ));
                }
            }
            Self::Integer if !node.is_integer() => return Err(wrong("an integer")),
            Self::Object if !node.is_object() => return Err(wrong("an object")),
            Self::Stop => {
                let strings = node
                    .as_array()
                    .is_some_and(|items| items.iter().all(|item| item.as_str().is_some()));
                if !strings && node.as_str().is_none() {
                    return Err(wrong("a string or an array of strings"));
                }
            }
            Self::Integer | Self::Object => {}
        }
        Ok(())
    }
}

fn put(fields: &mut BTreeMap<&'static str, Spelled<'_>>, name: &'static str, value: &Value) {
    if let Ok(raw) = to_raw_value(value) {
        fields.insert(name, Spelled::Proxy(raw));
    }
}

fn put_defaults(
    fields: &mut BTreeMap<&'static str, Spelled<'_>>,
    defaults: &Dialect,
    max_tokens: u32,
) {
    let values = [
        ("temperature", json!(defaults.temperature)),
        ("presence_penalty", json!(defaults.presence_penalty)),
        ("frequency_penalty", json!(defaults.frequency_penalty)),
        ("max_tokens", json!(max_tokens)),
    ];
    for (name, value) in values {
        if !fields.contains_key(name) {
            put(fields, name, &value);
        }
    }
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

/// The more is asked, the more may be answered.
fn max_tokens(limits: &MaxTokens, prompt_chars: usize) -> u32 {
    match prompt_chars {
        0..500 => limits.simple,
        500..1500 => limits.medium,
        _ => limits.complex,
    }
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

fn malformed(param: &str, message: String) -> ProxyError {
    ProxyError::reject_field(StatusCode::BAD_REQUEST, param, message)
}

fn semantic(param: &str, message: &str) -> ProxyError {
    ProxyError::reject_field(StatusCode::UNPROCESSABLE_ENTITY, param, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: Endpoint, body: &Value) -> Result<(Value, Form), ProxyError> {
        let bytes = Bytes::from(body.to_string());
        let form = Form::read(&bytes, endpoint, &Config::default())?;
        Ok((serde_json::from_slice(&form.completion).unwrap(), form))
    }

    #[test]
    fn a_prompt_becomes_a_completion_with_the_defaults() {
        let (body, form) = read(
            Endpoint::Prompt,
            &json!({"prompt": "hi", "name": "x", "odd": 1}),
        )
        .unwrap();
        assert_eq!(
            body,
            json!({
                "model": "anthropic/claude-sonnet-4", "messages": [{"role": "user", "content": "hi"}],
                "temperature": 0.7, "presence_penalty": 0.1, "frequency_penalty": 0.1, "max_tokens": 2000,
            })
        );
        assert!(form.injects_max_tokens);
        assert_eq!(form.ignored, ["odd"]);
    }

    #[test]
    fn max_tokens_follow_the_length_of_the_prompt() {
        let tokens = |chars: usize| {
            read(Endpoint::Prompt, &json!({"prompt": "é".repeat(chars)}))
                .unwrap()
                .0["max_tokens"]
                .clone()
        };
        assert_eq!([499, 500, 1499, 1500].map(tokens), [2000, 3000, 3000, 4000]);
        let (body, form) =
            read(Endpoint::Prompt, &json!({"prompt": "hi", "max_tokens": 7})).unwrap();
        assert_eq!(
            (body["max_tokens"].clone(), form.injects_max_tokens),
            (json!(7), false)
        );
    }

    #[test]
    fn older_clients_are_understood() {
        let old = json!({"type": "page", "name": "n", "description": "A page", "features": ["one", "two"]});
        let (body, form) = read(Endpoint::Prompt, &old).unwrap();
        assert_eq!(body["messages"][0]["content"], "A page\none\ntwo");
        assert!(form.ignored.is_empty());
    }

    #[test]
    fn a_turn_has_its_history_and_its_system() {
        let turn = json!({"message": "and?", "system": "be kind", "stream": true,
            "history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
        let (body, _) = read(Endpoint::Turn, &turn).unwrap();
        let roles: Vec<_> = body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["role"].clone())
            .collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"]);
        assert_eq!(body["model"], "google/gemini-flash-1.5");
        assert_eq!(body["stream_options"]["include_usage"], true);
    }

    #[test]
    fn a_schema_keeps_the_order_of_its_keys_and_numbers_their_spelling() {
        let body = Bytes::from_static(
            br#"{"prompt":"x","response_format":{"z":1.50,"a":{"y":1,"b":2}},"temperature":1.0}"#,
        );
        let form = Form::read(&body, Endpoint::Prompt, &Config::default()).unwrap();
        let text = String::from_utf8(form.completion).unwrap();
        assert!(
            text.contains(r#""response_format":{"z":1.50,"a":{"y":1,"b":2}}"#),
            "{text}"
        );
        assert!(text.contains(r#""temperature":1.0"#), "{text}");
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        let status = |endpoint, body: Value| {
            read(endpoint, &body)
                .err()
                .map(|error| error.status().as_u16())
        };
        for (expected, body) in [
            (400, json!([])),
            (400, json!({})),
            (400, json!({"prompt": 5})),
            (400, json!({"prompt": "  "})),
            (400, json!({"prompt": "x", "stream": "yes"})),
            (400, json!({"prompt": "x", "temperature": "hot"})),
            (422, json!({"prompt": "x", "temperature": 3})),
            (422, json!({"prompt": "x", "max_tokens": 0})),
            (400, json!({"prompt": "x", "max_tokens": 1.5})),
            (400, json!({"prompt": "x", "stop": [1]})),
            (422, json!({"prompt": "x".repeat(100_001)})),
            (400, json!({"description": "x", "features": "y"})),
        ] {
            assert_eq!(
                status(Endpoint::Prompt, body.clone()),
                Some(expected),
                "{body:.80}"
            );
        }
        for (expected, body) in [
            (400, json!({"prompt": "x"})),
            (400, json!({"message": "x", "history": "y"})),
            (400, json!({"message": "x", "history": [1]})),
            (
                422,
                json!({"message": "x", "history": [{"role": "king", "content": "y"}]}),
            ),
        ] {
            assert_eq!(
                status(Endpoint::Turn, body.clone()),
                Some(expected),
                "{body}"
            );
        }
    }
}
