//! Names the optional fields that are known of a request, and what the value of each has to be.

use serde_json::{Value, json};

use crate::json::Node;

/// What the value of a known optional field has to be.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Number,
    Integer,
    /// An integer of at least 1.
    Count,
    Bool,
    String,
    Object,
    Array,
    /// An array of objects.
    Objects,
    StringOrObject,
    StringOrStrings,
}

/// Null is accepted for each, fields that are not listed pass: upstreams know more than we do.
pub(super) const OPTIONAL: [(&str, Rule); 40] = [
    ("temperature", Rule::Number),
    ("top_p", Rule::Number),
    ("top_k", Rule::Number),
    ("presence_penalty", Rule::Number),
    ("frequency_penalty", Rule::Number),
    ("repetition_penalty", Rule::Number),
    ("n", Rule::Count),
    ("max_tokens", Rule::Count),
    ("max_completion_tokens", Rule::Count),
    ("top_logprobs", Rule::Integer),
    ("seed", Rule::Integer),
    ("stream", Rule::Bool),
    ("logprobs", Rule::Bool),
    ("parallel_tool_calls", Rule::Bool),
    ("store", Rule::Bool),
    ("stop", Rule::StringOrStrings),
    ("logit_bias", Rule::Object),
    ("stream_options", Rule::Object),
    ("response_format", Rule::Object),
    ("metadata", Rule::Object),
    ("audio", Rule::Object),
    ("prediction", Rule::Object),
    ("web_search_options", Rule::Object),
    ("provider", Rule::Object),
    ("reasoning", Rule::Object),
    ("tools", Rule::Objects),
    ("functions", Rule::Array),
    ("modalities", Rule::Array),
    ("models", Rule::Array),
    ("transforms", Rule::Array),
    ("plugins", Rule::Array),
    ("tool_choice", Rule::StringOrObject),
    ("function_call", Rule::StringOrObject),
    ("user", Rule::String),
    ("service_tier", Rule::String),
    ("reasoning_effort", Rule::String),
    ("verbosity", Rule::String),
    ("safety_identifier", Rule::String),
    ("prompt_cache_key", Rule::String),
    ("prompt_cache_retention", Rule::String),
];

impl Rule {
    /// Whether the value, which is not null, obeys.
    pub(super) fn admits(self, value: &Node) -> bool {
        match self {
            Self::Number => value.as_f64().is_some_and(f64::is_finite),
            Self::Integer => value.is_integer(),
            Self::Count => value.is_integer() && value.as_u64().is_some_and(|count| count > 0),
            Self::Bool => value.as_bool().is_some(),
            Self::String => value.as_str().is_some(),
            Self::Object => value.is_object(),
            Self::Array => value.as_array().is_some(),
            Self::Objects => all(value, Node::is_object),
            Self::StringOrObject => value.as_str().is_some() || value.is_object(),
            Self::StringOrStrings => {
                value.as_str().is_some() || all(value, |item| item.as_str().is_some())
            }
        }
    }

    /// What would be right, as JSON Schema.
    pub(super) fn describe(self) -> Value {
        match self {
            Self::Number => json!({"type": ["number", "null"]}),
            Self::Integer => json!({"type": ["integer", "null"]}),
            Self::Count => json!({"type": ["integer", "null"], "minimum": 1}),
            Self::Bool => json!({"type": ["boolean", "null"]}),
            Self::String => json!({"type": ["string", "null"]}),
            Self::Object => json!({"type": ["object", "null"]}),
            Self::Array => json!({"type": ["array", "null"], "items": {}}),
            Self::Objects => json!({"type": ["array", "null"], "items": {"type": "object"}}),
            Self::StringOrObject => json!({"type": ["string", "object", "null"]}),
            Self::StringOrStrings => {
                json!({"type": ["string", "array", "null"], "items": {"type": "string"}})
            }
        }
    }

    /// What would be right, for the fault's message.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Number => "a finite number",
            Self::Integer => "an integer, written without fraction and exponent",
            Self::Count => "an integer of at least 1, written without fraction and exponent",
            Self::Bool => "true or false",
            Self::String => "a string",
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Objects => "an array of objects",
            Self::StringOrObject => "a string or an object",
            Self::StringOrStrings => "a string or an array of strings",
        }
    }
}

/// Whether this is an array whose items are all admitted.
pub(super) fn all(value: &Node, admits: impl Fn(&Node) -> bool) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(admits))
}
