//! What the forms accept, as JSON Schema.

use serde_json::{Map, Value, json};

use super::super::batch::MOST;
use super::fields::Fields;
use super::{ATTRIBUTION, HISTORY_ROLES, OLDER};
use crate::chat::validate::MAX_MODEL_CHARS;
use crate::config::Config;

/// A text that says something.
const SPEAKS: &str = "\\S";
const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// All forms, with the names of their schemas.
pub(in crate::edge) fn describe(config: &Config) -> [(&'static str, Value); 3] {
    [
        ("CreateBatchRequest", batch()),
        ("CreateRequest", prompt(config.create.max_prompt_chars)),
        ("CreateChatRequest", turn(config.chat.max_prompt_chars)),
    ]
}

/// What is wrong with one of the requests is said in its place, so that here anything may stand there.
fn batch() -> Value {
    let request = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    json!({
        "type": "object",
        "description": "Requests that are answered together.",
        "required": ["requests"],
        "properties": {
            "requests": {
                "type": "array", "minItems": 1, "maxItems": MOST,
                "description": "What `/create` or `/create/chat` takes, but for `stream`; anything else fails alone.",
                "items": {"anyOf": [request("CreateRequest"), request("CreateChatRequest"), {}]},
            },
            "stream": {
                "type": ["boolean", "null"], "description": "Whether each answer comes when it is ready, as a stream.",
            },
        },
    })
}

fn prompt(most: usize) -> Value {
    let said = json!({"type": "string", "pattern": SPEAKS});
    let text = json!({"type": ["string", "null"]});
    let list = json!({"type": ["array", "null"], "items": {"type": "string"}});
    let mut properties = common();
    let prompt = json!({
        "type": ["string", "null"], "pattern": SPEAKS, "maxLength": most, "description": "What to answer.",
    });
    properties.insert("prompt".to_owned(), prompt);
    for name in OLDER {
        let about = json!({"description": "What older clients send instead of a prompt; ignored beside one."});
        properties.insert(name.to_owned(), about);
    }
    json!({
        "type": "object",
        "description": "A prompt, or what older clients send instead of one: a description and features.",
        "properties": properties,
        "anyOf": [
            {"required": ["prompt"], "properties": {"prompt": said}},
            {
                "required": ["description"],
                "properties": {"prompt": {"type": "null"}, "type": text, "description": said, "features": list},
            },
            {
                "required": ["features"],
                "properties": {
                    "prompt": {"type": "null"},
                    "type": text,
                    "description": text,
                    "features": {"type": "array", "items": {"type": "string"}, "contains": said},
                },
            },
        ],
    })
}

fn turn(most: usize) -> Value {
    let mut properties = common();
    let message = json!({"type": "string", "pattern": SPEAKS, "maxLength": most, "description": "What to answer."});
    let history = json!({
        "type": ["array", "null"],
        "description": "What was said before, oldest first.",
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": {"type": "string", "enum": HISTORY_ROLES},
                "content": {"type": "string"},
            },
        },
    });
    properties.insert("message".to_owned(), message);
    properties.insert("history".to_owned(), history);
    json!({
        "type": "object",
        "description": "One turn of a chat.",
        "required": ["message"],
        "properties": properties,
    })
}

/// What both take.
fn common() -> Map<String, Value> {
    let mut properties: Map<_, _> = Fields::describe().collect();
    let text = |description: &str| json!({"type": ["string", "null"], "description": description});
    for name in ATTRIBUTION {
        let about = "What the answer is about, or whom to attribute it to.";
        properties.insert(name.to_owned(), text(about));
    }
    let model = json!({
        "type": ["string", "null"], "maxLength": MAX_MODEL_CHARS, "pattern": NO_CONTROLS,
        "description": "The model; one from the settings where none is named.",
    });
    let stream = json!({
        "type": ["boolean", "null"], "description": "Whether the answer comes as a stream.",
    });
    properties.insert("model".to_owned(), model);
    properties.insert("stream".to_owned(), stream);
    properties.insert("system".to_owned(), text("What the model is told first."));
    properties
}
