//! What passes the checks, as JSON Schema.

use serde_json::{Map, Value, json};

use super::rule::OPTIONAL;
use super::{MAX_MODEL_CHARS, ROLES};

/// A chat-completions request.
pub fn describe() -> Value {
    let rules = OPTIONAL.iter();
    let rules = rules.map(|(name, rule)| ((*name).to_owned(), rule.describe()));
    let mut properties: Map<_, _> = rules.collect();
    properties["temperature"]["minimum"] = 0.into();
    properties["tools"]["items"] = json!({
        "type": "object", "additionalProperties": true, "required": ["type"],
        "properties": {"type": {"type": "string", "minLength": 1}},
    });
    properties["stream"]["description"] = "Whether the answer comes as a stream.".into();
    let model = json!({
        "type": "string", "maxLength": MAX_MODEL_CHARS,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u001f\\u007f-\\u009f\\s][^\\u0000-\\u001f\\u007f-\\u009f]*$",
    });
    properties.insert("model".to_owned(), model);
    properties.insert(
        "messages".to_owned(),
        json!({"type": "array", "minItems": 1, "items": message()}),
    );
    json!({
        "type": "object",
        "description": "OpenAI's request. Fields that are not listed go upstream untouched.",
        "required": ["model", "messages"],
        "properties": properties,
        "additionalProperties": true,
    })
}

fn message() -> Value {
    let said = content();
    let plain = ROLES.iter().filter(|role| **role != "tool");
    let plain: Vec<_> = plain.collect();
    // An assistant may have said nothing if it did something.
    let did = |key: &str, what: Value| {
        json!({
            "required": ["role", key],
            "properties": {
                "role": {"enum": ["assistant"]},
                "content": {"anyOf": [said.clone(), {"type": "null"}]},
                key: what,
            },
        })
    };
    json!({
        "type": "object",
        "additionalProperties": true,
        "required": ["role"],
        "properties": {
            "role": {"type": "string", "enum": ROLES},
            "name": {"type": ["string", "null"]},
            "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
        },
        "anyOf": [
            {
                "required": ["role", "content"],
                "properties": {"role": {"enum": plain}, "content": said.clone()},
            },
            {
                "required": ["role", "content", "tool_call_id"],
                "properties": {
                    "role": {"enum": ["tool"]},
                    "content": said.clone(),
                    "tool_call_id": {"type": "string", "minLength": 1},
                },
            },
            did("tool_calls", json!({"type": "array", "minItems": 1, "items": {"type": "object"}})),
            did("function_call", json!({"not": {"type": "null"}})),
            did("refusal", json!({"not": {"type": "null"}})),
            did("audio", json!({"not": {"type": "null"}})),
        ],
    })
}

/// A text, or parts.
fn content() -> Value {
    json!({"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {
            "type": "object",
            "additionalProperties": true,
            "required": ["type"],
            "properties": {"type": {"type": "string", "minLength": 1}},
            "anyOf": [
                {
                    "required": ["type", "text"],
                    "properties": {"type": {"enum": ["text"]}, "text": {"type": "string"}},
                },
                {
                    "required": ["type", "image_url"],
                    "properties": {"type": {"enum": ["image_url"]}, "image_url": {"type": ["object", "string"]}},
                },
                {"properties": {"type": {"not": {"enum": ["text", "image_url"]}}}},
            ],
        }},
    ]})
}
