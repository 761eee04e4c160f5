//! What the requests of a batch ask: each question once, whoever asks it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::form::{Completion, Endpoint, Form, malformed};
use crate::config::Config;
use crate::error::ProxyError;
use crate::json::raw::{Members, kind};
use crate::tuning::limits::Limits;

/// A question, and the requests that ask it.
pub(super) struct Question {
    /// At least one, in the order of the batch.
    pub(super) askers: Vec<Asker>,
    /// The chat completion, or why there is none.
    pub(super) asked: Result<Completion, ProxyError>,
}

/// A request of a batch, less what it asks.
pub(super) struct Asker {
    /// Its place in the batch, from zero.
    pub(super) index: usize,
    /// Whom it is for.
    pub(super) user: Option<Arc<str>>,
    /// Its fields that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// The questions of these requests, in the order in which they are asked first, with these answer limits or those that
/// are set.
///
/// Requests with equal completions ask the same, whatever the cache and dedup are set to. They do not where the operator
/// wants several answers to one question (`cache.variants`), or answers of their own above some temperature
/// (`cache.max_temperature`).
pub(super) fn questions(
    requests: &[Bytes],
    config: &Config,
    limits: Option<&Limits>,
) -> VecDeque<Question> {
    let mut questions: VecDeque<Question> = VecDeque::new();
    let mut known = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        let form = match read(request, config, limits) {
            Ok(form) => form,
            Err(error) => {
                let asker = Asker {
                    index,
                    user: None,
                    ignored: Vec::new(),
                };
                questions.push_back(Question {
                    askers: vec![asker],
                    asked: Err(error),
                });
                continue;
            }
        };
        let asker = Asker {
            index,
            user: form.user,
            ignored: form.ignored,
        };
        let is_too_hot = |most: f64| form.temperature > most;
        let is_shared =
            config.cache.variants == 1 && !config.cache.max_temperature.is_some_and(is_too_hot);
        if is_shared {
            match known.entry(form.completion.clone()) {
                Entry::Occupied(at) => {
                    let at: &usize = at.get();
                    questions[*at].askers.push(asker);
                    continue;
                }
                Entry::Vacant(place) => _ = place.insert(questions.len()),
            }
        }
        questions.push_back(Question {
            askers: vec![asker],
            asked: Ok(form.completion),
        });
    }
    questions
}

/// A request as the endpoint would read it that it is meant for: a message without a prompt is a turn of a chat.
fn read(request: &Bytes, config: &Config, limits: Option<&Limits>) -> Result<Form, ProxyError> {
    let Some(members) = Members::of(request) else {
        let text = std::str::from_utf8(request).unwrap_or_default();
        return Err(malformed(
            "",
            format!(
                "a request must be an object such as {{\"prompt\": \"what to answer\"}}, not {}",
                kind(text)
            ),
        ));
    };
    if members.given("stream") == Some("true") {
        let message = "a request in a batch has no stream of its own; set \"stream\": true beside \"requests\", and each \
                       answer comes when it is ready";
        return Err(malformed("stream", message.to_owned()));
    }
    let is_turn = members.given("message").is_some() && members.given("prompt").is_none();
    let endpoint = if is_turn {
        Endpoint::Turn
    } else {
        Endpoint::Prompt
    };
    Form::read(request, endpoint, config, limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(requests: &[&str], settings: &str) -> Vec<(Vec<usize>, Option<String>)> {
        let requests: Vec<_> = requests
            .iter()
            .map(|text| Bytes::copy_from_slice(text.as_bytes()))
            .collect();
        let config = Config::from_toml(settings).unwrap();
        let all = questions(&requests, &config, None)
            .into_iter()
            .map(|question| {
                let askers = question.askers.iter().map(|asker| asker.index);
                (
                    askers.collect(),
                    question.asked.err().map(|error| error.to_string()),
                )
            });
        all.collect()
    }

    #[test]
    fn what_asks_the_same_is_asked_once() {
        let requests = [
            r#"{"prompt":"a"}"#,
            r#"{"prompt":"b"}"#,
            r#"{ "userId":"u", "prompt":"\u0061", "stream": false }"#,
            r#"{"prompt":"a","temperature":1}"#,
            r#"{"message":"a"}"#,
            r#"{"prompt":"a","message":"b"}"#,
        ];
        let all = asked(&requests, "");
        let groups: Vec<_> = all.iter().map(|(askers, _)| askers.clone()).collect();
        assert_eq!(groups, [vec![0, 2, 5], vec![1], vec![3], vec![4]]);
        assert!(all.iter().all(|(_, error)| error.is_none()));
    }

    #[test]
    fn who_wants_answers_of_their_own_gets_them() {
        let warm = r#"{"prompt":"a","temperature":1}"#;
        let cool = r#"{"prompt":"a","temperature":0}"#;
        let requests = [warm, cool, warm, cool];
        assert_eq!(asked(&requests, "").len(), 2);
        assert_eq!(asked(&requests, "cache.max_temperature = 0.5").len(), 3);
        assert_eq!(asked(&requests, "cache.variants = 2").len(), 4);
    }

    #[test]
    fn a_request_fails_alone() {
        let requests = [
            "7",
            r#"{"prompt":"a"}"#,
            r#"{"prompt":"\ud83d"}"#,
            r#"{"prompt":"a","prompt":"b"}"#,
            r#"{"prompt":"a","stream":true}"#,
            "{}",
        ];
        let all = asked(&requests, "");
        let said: Vec<_> = all.iter().map(|(_, error)| error.as_deref()).collect();
        assert!(said[0].is_some_and(|said| said.contains("not a number")));
        assert_eq!(said[1], None);
        assert!(
            said[2].is_some_and(|said| said.contains("hex escape")),
            "{said:?}"
        );
        assert!(said[3].is_some_and(|said| said.contains("twice")));
        assert!(said[4].is_some_and(|said| said.contains("beside \"requests\"")));
        assert!(said[5].is_some_and(|said| said.contains("prompt is missing")));
    }
}
