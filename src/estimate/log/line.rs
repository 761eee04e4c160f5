//! What a line of a log says: which request, when, whose, and what was answered.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::members::{Kind, Members, kind, object_of};
use super::recorded::{self, RESPONSES, Recorded};
use super::time::{self, ENDS, MILLIS, SECONDS, TIMES};

/// One request as a log has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Logged {
    /// When it came, in milliseconds since 1970 (UTC), where that is told.
    pub time: Option<i64>,
    /// The path that it came to.
    pub path: Cow<'static, str>,
    /// Its body.
    pub body: Bytes,
    /// Who sent it, where that is told.
    pub caller: Option<Box<str>>,
    /// What it was answered.
    pub recorded: Recorded,
    /// How long that took, where it is told.
    pub latency: Option<Duration>,
}

/// Why a line holds no request, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const CREATE: &str = "/create";
pub(crate) const TURN: &str = "/create/chat";

/// The names that a request's own object goes by.
const REQUESTS: [&str; 6] = [
    "request",
    "body",
    "request_body",
    "requestBody",
    "raw_request",
    "payload",
];
const CALLERS: [&str; 6] = [
    "caller",
    "client",
    "api_key_hash",
    "user_api_key_hash",
    "user_api_key",
    "api_key",
];
const PATHS: [&str; 5] = ["endpoint", "url", "path", "request_path", "route"];

/// What else a log says beside a request's own fields.
const BESIDE: [&str; 10] = [
    "custom_id",
    "id",
    "request_id",
    "trace_id",
    "call_type",
    "cache_hit",
    "response_cost",
    "model_parameters",
    "prompt_tokens",
    "completion_tokens",
];

/// The fields of a chat completion, where a log's own stand beside them.
const FIELDS: [&str; 40] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "n",
    "stream",
    "stream_options",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "functions",
    "function_call",
    "reasoning",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "service_tier",
    "models",
    "provider",
    "transforms",
    "plugins",
    "web_search_options",
    "thinking",
];

impl Logged {
    /// Reads a line.
    pub fn read(line: &Bytes) -> Result<Self, Unreadable> {
        let members = members(line, "the line")?;
        let time = members.find(&TIMES).and_then(time::time);
        let mut path = path_of(&members);
        let body = match members.find(&REQUESTS) {
            Some(request) => {
                let request = object_of(request, line).ok_or_else(|| {
                    unreadable("its request is no JSON object; put the body there that was sent")
                })?;
                let inner = self::members(&request, "its request")?;
                // A whole HTTP request, with the body as one of its parts.
                let body = inner
                    .find(&["body"])
                    .filter(|_| inner.find(&["messages"]).is_none());
                path = path.or_else(|| path_of(&inner));
                match body {
                    Some(body) => object_of(body, &request)
                        .ok_or_else(|| unreadable("the body of its request is no JSON object"))?,
                    None => request,
                }
            }
            None => flat(&members, line, path.as_deref())?,
        };
        let path = match path {
            Some(path) => path,
            None => Cow::Borrowed(guess(&body)?),
        };
        Ok(Self {
            time,
            path,
            body,
            caller: members.text(&CALLERS).map(Into::into),
            recorded: recorded::read(&members, line),
            latency: time::latency(&members, time),
        })
    }
}

fn members<'t>(text: &'t Bytes, what: &str) -> Result<Members<'t>, Unreadable> {
    serde_json::from_slice(text).map_err(|error| {
        let why = if error.is_eof() {
            "it is cut off".to_owned()
        } else {
            error.to_string()
        };
        unreadable(&format!("{what} is no JSON object: {why}"))
    })
}

/// The body of a request whose fields stand beside those of the log.
fn flat(members: &Members<'_>, line: &Bytes, path: Option<&str>) -> Result<Bytes, Unreadable> {
    let is_beside = |name: &str| {
        [
            &TIMES[..],
            &RESPONSES,
            &CALLERS,
            &PATHS,
            &MILLIS,
            &SECONDS,
            &ENDS,
            &BESIDE,
        ]
        .iter()
        .any(|names| names.contains(&name))
    };
    let has = |name: &str| members.find(&[name]).is_some();
    if !has("messages") && !has("prompt") && !has("message") && path.is_none() {
        return Err(unreadable(
            "there is no request in it: expected an OpenAI body with messages, a /create body with prompt, or an \
             object with request",
        ));
    }
    if !members.0.iter().any(|(name, _)| is_beside(name)) {
        return Ok(line.clone());
    }
    let is_chat = has("messages");
    let mut body = String::with_capacity(line.len());
    let mut put = |name: &str, value: &RawValue| {
        body.push(if body.is_empty() { '{' } else { ',' });
        // A name that was read can be written.
        body.push_str(&serde_json::to_string(name).unwrap_or_default());
        body.push(':');
        body.push_str(value.get());
    };
    for (name, value) in &members.0 {
        // Of an id or the like each request has its own, and none would ever come again.
        if (is_chat && FIELDS.contains(&&**name)) || (!is_chat && !is_beside(name)) {
            put(name, value);
        }
    }
    let parameters = members.find_kind(&["model_parameters"], Kind::Object);
    if let Some(parameters) = parameters.filter(|_| is_chat)
        && let Ok(Members(parameters)) = serde_json::from_str(parameters.get())
    {
        for (name, value) in parameters {
            if FIELDS.contains(&&*name) && !has(&name) {
                put(&name, value);
            }
        }
    }
    body.push('}');
    Ok(body.into())
}

/// The endpoint that a line names, by its path or by a URL.
fn path_of(members: &Members<'_>) -> Option<Cow<'static, str>> {
    let named = members.text(&PATHS)?;
    let after_scheme = named.split_once("://").map_or(&*named, |(_, rest)| rest);
    let from = after_scheme.find('/')?;
    let path = after_scheme[from..].split(['?', '#']).next()?;
    let path = path.trim_end_matches('/');
    if path.ends_with("/chat/completions") {
        Some(CHAT.into())
    } else if path.ends_with(TURN) {
        Some(TURN.into())
    } else if path.ends_with(CREATE) {
        Some(CREATE.into())
    } else {
        let below = path.rfind("/v1/")?;
        Some(path[below..].to_owned().into())
    }
}

/// The endpoint that a body is for, by what stands in it.
fn guess(body: &Bytes) -> Result<&'static str, Unreadable> {
    let members = members(body, "its request")?;
    let has = |name, wanted| {
        members
            .find(&[name])
            .is_some_and(|value| kind(value) == wanted)
    };
    if has("messages", Kind::Array) {
        Ok(CHAT)
    } else if has("prompt", Kind::Text) {
        Ok(CREATE)
    } else if has("message", Kind::Text) {
        Ok(TURN)
    } else {
        Err(unreadable(
            "its request has neither messages nor prompt nor message, and the line names no endpoint",
        ))
    }
}

fn unreadable(why: &str) -> Unreadable {
    Unreadable(why.to_owned())
}

#[cfg(test)]
mod tests;
