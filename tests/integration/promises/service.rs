//! The service and its input (P01–P05).

use serde_json::{Value, json};

use crate::support::{Answer, ask};

mod mutations;
mod refusals;
mod routes;
mod shapes;
mod texts;

/// The three endpoints that answer a prompt, each with a body that asks them.
pub(super) fn asking(prompt: &str, streams: bool) -> [(&'static str, Value); 3] {
    let mut all = [
        ("/create", json!({"prompt": prompt})),
        ("/create/chat", json!({"message": prompt})),
        ("/v1/chat/completions", ask(prompt)),
    ];
    if streams {
        for (_, body) in &mut all {
            body["stream"] = true.into();
        }
    }
    all
}

/// The text of a complete answer, whole or streamed, in the dialect of its endpoint.
pub(super) fn said(path: &str, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let is_openai = path.starts_with("/v1");
    if !answer
        .header("content-type")
        .starts_with("text/event-stream")
    {
        let text = if is_openai {
            answer.text()
        } else {
            answer.json()["response"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        return text;
    }
    let events = events_of(answer);
    let (done, events) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]", "{path}: {answer:?}");
    let pointer = if is_openai {
        "/choices/0/delta/content"
    } else {
        "/delta"
    };
    let events: Vec<Value> = events
        .iter()
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let finish = if is_openai {
        "/choices/0/finish_reason"
    } else {
        "/finish_reason"
    };
    let ends = |event: &Value| event.pointer(finish).is_some_and(Value::is_string);
    assert!(events.iter().any(ends), "{path}: {answer:?}");
    events
        .iter()
        .filter_map(|event| event.pointer(pointer)?.as_str())
        .collect()
}

/// The data of all events of an answer; nothing but `data:` lines may be in it.
pub(super) fn events_of(answer: &Answer) -> Vec<String> {
    let body = std::str::from_utf8(&answer.body).unwrap();
    let body = body
        .strip_suffix("\n\n")
        .unwrap_or_else(|| panic!("no end: {body}"));
    body.split("\n\n")
        .map(|event| {
            event
                .strip_prefix("data: ")
                .unwrap_or_else(|| panic!("no event: {event}"))
        })
        .map(str::to_owned)
        .collect()
}

/// Whether an error has the shape that the clients of a path expect.
pub(super) fn is_described(path: &str, answer: &Answer) -> bool {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return false;
    };
    let error = &body["error"];
    answer
        .header("content-type")
        .starts_with("application/json")
        && if path.starts_with("/v1") {
            is_text(&error["message"]) && is_text(&error["type"]) && is_text(&error["code"])
        } else {
            body["success"] == false
                && is_text(error)
                && is_text(&body["code"])
                && is_text(&body["request_id"])
        }
}
