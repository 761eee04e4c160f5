//! The simulated model's chat completions, whole and streaming, in the shape of `OpenAI`'s API.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{
    DEFAULT_MODEL,
    answer::{Finish, Question, count_tokens, cut},
    refusal::Refusal,
};
use crate::sse;

/// What a whole answer takes: long enough for a cache hit to be felt.
const WHOLE_DELAY: Duration = Duration::from_millis(150);
/// The pause before each word of a stream, about the pace of a fast model.
const WORD_DELAY: Duration = Duration::from_millis(15);
const MAX_CHOICES: u64 = 4;

/// What the simulation understands of a request; anything else in it is ignored.
#[derive(Debug)]
struct Chat {
    question: Question,
    prompt_tokens: usize,
    choices: usize,
    max_tokens: Option<usize>,
    stops: Vec<String>,
    json: bool,
    stream: bool,
    include_usage: bool,
}

/// One finished choice of an answer.
struct Choice {
    text: String,
    finish: Finish,
}

/// `POST /v1/chat/completions`.
pub(super) async fn complete(body: Bytes) -> Result<Response, Refusal> {
    let chat = Chat::parse(&body)?;
    let choices = chat.choices();
    let usage = chat.usage(&choices);
    if chat.stream {
        return Ok(streamed(&chat, &choices, &usage));
    }
    sleep(WHOLE_DELAY).await;
    let choices: Vec<Value> = (0..)
        .zip(&choices)
        .map(|(index, choice)| choice.whole(index))
        .collect();
    let mut answer = chat.envelope("chat.completion");
    answer["choices"] = Value::from(choices);
    answer["usage"] = usage;
    Ok(Json(answer).into_response())
}

impl Chat {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let body: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| Refusal::not_json(&error.to_string()))?;
        // OpenAI takes null for "not given".
        let field = |name: &str| body.get(name).filter(|value| !value.is_null());
        let positive = |name: &'static str| match field(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|&number| number > 0) {
                Some(number) => Ok(Some(number)),
                None => Err(Refusal::invalid(
                    name,
                    format!("'{name}' is a positive whole number."),
                )),
            },
        };
        let model = match field("model") {
            None => DEFAULT_MODEL.to_owned(),
            Some(Value::String(model)) => model.clone(),
            Some(_) => return Err(Refusal::invalid("model", "'model' is a string.")),
        };
        let (question, prompt_tokens) = read_messages(model, field("messages"))?;
        let choices = positive("n")?.unwrap_or(1);
        if choices > MAX_CHOICES {
            let message = format!("'n' is {MAX_CHOICES} at most in this simulation.");
            return Err(Refusal::invalid("n", message));
        }
        let max_tokens = match positive("max_completion_tokens")? {
            Some(max) => Some(max),
            None => positive("max_tokens")?,
        };
        let format = field("response_format").and_then(|format| format["type"].as_str());
        Ok(Self {
            question,
            prompt_tokens,
            choices: usize::try_from(choices).unwrap_or(1),
            max_tokens: max_tokens.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
            stops: read_stops(field("stop"))?,
            json: matches!(format, Some("json_object" | "json_schema")),
            stream: match field("stream") {
                None => false,
                Some(Value::Bool(stream)) => *stream,
                Some(_) => return Err(Refusal::invalid("stream", "'stream' is true or false.")),
            },
            include_usage: field("stream_options")
                .is_some_and(|options| options["include_usage"] == true),
        })
    }

    fn choices(&self) -> Vec<Choice> {
        let choice = |index| {
            let mut text = if self.json {
                self.question.json_answer(index)
            } else {
                self.question.answer(index)
            };
            let finish = cut(&mut text, &self.stops, self.max_tokens);
            Choice { text, finish }
        };
        (0..self.choices).map(choice).collect()
    }

    fn usage(&self, choices: &[Choice]) -> Value {
        let completion: usize = choices
            .iter()
            .map(|choice| count_tokens(&choice.text))
            .sum();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        })
    }

    /// The fields that a whole answer and every chunk of a stream begin with.
    fn envelope(&self, object: &str) -> Value {
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        json!({
            "id": format!("chatcmpl-demo-{:016x}", self.question.seed(0)),
            "object": object,
            "created": created,
            "model": self.question.model,
            "system_fingerprint": "fp_simulated",
        })
    }
}

impl Choice {
    fn whole(&self, index: usize) -> Value {
        json!({
            "index": index,
            "message": {"role": "assistant", "content": self.text, "refusal": null},
            "logprobs": null,
            "finish_reason": self.finish.as_str(),
        })
    }
}

/// The question in a list of messages, and the tokens of all of them.
fn read_messages(model: String, messages: Option<&Value>) -> Result<(Question, usize), Refusal> {
    let refusal = |message: &str| Refusal::invalid("messages", message);
    let messages = messages
        .and_then(Value::as_array)
        .filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| refusal("'messages' is a list of at least one message."))?;
    let mut question = Question {
        model,
        ..Question::default()
    };
    let (mut turns, mut tokens) = (0, 0);
    for message in messages {
        let role = message["role"].as_str();
        let role = role.ok_or_else(|| refusal("Each message is an object with a 'role'."))?;
        let text = text_of(&message["content"]);
        tokens += count_tokens(&text);
        if role == "user" {
            question.text = text;
            question.earlier_turns = turns;
        }
        turns += usize::from(matches!(role, "user" | "assistant"));
    }
    Ok((question, tokens))
}

/// A message's text: a string, or the text parts of a list, one a line.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn read_stops(stop: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let stops = match stop {
        None => Some(Vec::new()),
        Some(Value::String(stop)) => Some(vec![stop.clone()]),
        Some(Value::Array(stops)) => stops
            .iter()
            .map(|stop| stop.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    };
    stops.ok_or_else(|| Refusal::invalid("stop", "'stop' is a string or a list of strings."))
}

/// The answer as server-sent events. Nothing runs on its own: a client that leaves ends it.
fn streamed(chat: &Chat, choices: &[Choice], usage: &Value) -> Response {
    let envelope = chat.envelope("chat.completion.chunk");
    let chunk = |choices: Value, usage: &Value| {
        let mut chunk = envelope.clone();
        chunk["choices"] = choices;
        if chat.include_usage {
            chunk["usage"] = usage.clone();
        }
        event(chunk.to_string().as_bytes())
    };
    let delta = |index: usize, delta: Value, finish: Option<Finish>| {
        let finish = finish.map(Finish::as_str);
        let choice =
            json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
        chunk(json!([choice]), &Value::Null)
    };

    let immediately = |bytes| (Duration::ZERO, bytes);
    let mut frames = Vec::new();
    for index in 0..choices.len() {
        let role = json!({"role": "assistant", "content": "", "refusal": null});
        frames.push(immediately(delta(index, role, None)));
    }
    let mut words: Vec<_> = choices
        .iter()
        .map(|choice| choice.text.split_inclusive(char::is_whitespace))
        .collect();
    loop {
        // All choices grow at the same pace, as if they were generated side by side.
        let mut delay = WORD_DELAY;
        for (index, words) in words.iter_mut().enumerate() {
            if let Some(word) = words.next() {
                frames.push((
                    std::mem::take(&mut delay),
                    delta(index, json!({"content": word}), None),
                ));
            }
        }
        if delay == WORD_DELAY {
            break;
        }
    }
    for (index, choice) in choices.iter().enumerate() {
        frames.push(immediately(delta(index, json!({}), Some(choice.finish))));
    }
    if chat.include_usage {
        frames.push(immediately(chunk(json!([]), usage)));
    }
    frames.push(immediately(event(b"[DONE]")));

    let body = stream::iter(frames).then(async |(delay, bytes): (Duration, Bytes)| {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        Ok::<_, Infallible>(bytes)
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(body)).into_response()
}

fn event(data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    sse::encode(data, &mut out);
    out.freeze()
}
