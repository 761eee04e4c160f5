//! A request of the log with all that its replay needs, and the answer that the upstream gives it there.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::log::Recorded;
use crate::chat::{self, Quality, Usage};
use crate::json::Node;
use crate::reply::Worth;

/// A request of the log.
pub(super) struct Asked {
    /// When it came, in milliseconds; see [`super::order::Placed::at`].
    pub(super) at: i64,
    /// The number of its line.
    pub(super) line: u64,
    /// The path that it came to.
    pub(super) path: Cow<'static, str>,
    /// Its body.
    pub(super) body: Bytes,
    /// Who sent it.
    pub(super) caller: Option<Box<str>>,
    /// What it was answered.
    pub(super) recorded: Recorded,
    /// How long that took, or takes here.
    pub(super) latency: Duration,
    /// How many tokens an answer has that is not recorded.
    pub(super) drawn: u64,
}

/// What the upstream answers.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// A completion, and what it would have cost with the prompt as its client wrote it.
    Answer(Bytes, Worth),
    /// An error, as it was recorded.
    Error(StatusCode, Bytes),
    /// What was recorded is no usable answer, and why.
    Unusable(String),
}

/// What stands for text that nobody knows.
const FILLER: &str = "simulated ";
/// Bytes of text to a token, as `OpenAI` counts English.
const TOKEN: usize = 4;
/// No answer is made longer (tokens).
const LONGEST: u64 = 1 << 20;

impl Asked {
    /// What the upstream answers to this request, whose JSON is `root`; `prompt` counts its tokens.
    pub(super) fn outcome(&self, root: &Node, prompt: impl FnOnce() -> u64) -> Outcome {
        let counted = |text: usize| Usage::estimated(prompt(), text);
        match &self.recorded {
            Recorded::Error(status, body) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                Outcome::Error(status, body.clone())
            }
            Recorded::Whole(body, usage) => match chat::read_answer(body) {
                Ok(answer) => {
                    let usage = answer.usage.or(*usage);
                    let worth = Worth {
                        usage: usage.unwrap_or_else(|| counted(answer.text)),
                        served: answer.model,
                        quality: answer.quality,
                    };
                    Outcome::Answer(body.clone(), worth)
                }
                Err(invalid) => Outcome::Unusable(invalid.reason().to_owned()),
            },
            Recorded::Text(text, usage) => {
                finished(text, usage.unwrap_or_else(|| counted(text.len())))
            }
            Recorded::Usage(usage) => finished(&filler(usage.completion_tokens), *usage),
            Recorded::Nothing => {
                let tokens = self.drawn.min(most(root));
                let text = filler(tokens);
                finished(&text, counted(text.len()))
            }
        }
    }

    /// Whether what it is answered is recorded, as far as it costs anything.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded != Recorded::Nothing
    }
}

/// The tokens of a call whose prompt compression has made shorter by so many of them.
pub(super) fn shortened(usage: Usage, by: u64) -> Usage {
    let gone = by.min(usage.prompt_tokens);
    let prompt_tokens = usage.prompt_tokens - gone;
    Usage {
        prompt_tokens,
        total_tokens: usage.total_tokens.saturating_sub(gone),
        cached_tokens: usage.cached_tokens.min(prompt_tokens),
        cache_write_tokens: usage.cache_write_tokens.min(prompt_tokens),
        ..usage
    }
}

/// A completion that says this and is finished.
fn finished(text: &str, usage: Usage) -> Outcome {
    let quality = if text.is_empty() {
        Quality::Empty
    } else {
        Quality::Stop
    };
    let body = json!({
        "id": "chatcmpl-replayed", "object": "chat.completion", "created": 0, "model": null,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
    });
    let worth = Worth {
        usage,
        served: None,
        quality,
    };
    Outcome::Answer(body.to_string().into(), worth)
}

fn filler(tokens: u64) -> String {
    let tokens = usize::try_from(tokens.clamp(1, LONGEST)).unwrap_or(1);
    let length = tokens * TOKEN;
    let mut text = FILLER.repeat(length / FILLER.len() + 1);
    text.truncate(length);
    text
}

/// The limit that a request sets to its answer.
fn most(root: &Node) -> u64 {
    let limits = ["max_completion_tokens", "max_tokens"].iter();
    let limits = limits.filter_map(|name| root.get(name).and_then(Node::as_u64));
    limits.min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Certainty;
    use crate::json::Json;
    use crate::metering::tokens::count::count_prompt;

    fn outcome(recorded: Recorded, more: &str) -> Outcome {
        let body = format!(
            r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"Hello!"}}]{more}}}"#
        );
        let asked = Asked {
            at: 0,
            line: 1,
            path: "/v1/chat/completions".into(),
            body: body.clone().into(),
            caller: None,
            recorded,
            latency: Duration::ZERO,
            drawn: 100,
        };
        let json = Json::parse(body.into()).unwrap();
        asked.outcome(json.root(), || count_prompt("gpt-4o", json.root()).tokens)
    }

    fn worth(outcome: &Outcome) -> (u64, u64, Certainty) {
        let Outcome::Answer(body, Worth { usage, quality, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        // What is made up is an answer like any other.
        assert_eq!(chat::read_answer(body).unwrap().quality, *quality);
        (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.certainty,
        )
    }

    #[test]
    fn what_is_recorded_is_given_and_what_is_not_is_made_up() {
        let usage = Usage::read(&json!({"prompt_tokens": 7, "completion_tokens": 5}));
        assert_eq!(
            worth(&outcome(Recorded::Nothing, "")),
            (9, 100, Certainty::Estimated)
        );
        assert_eq!(
            worth(&outcome(Recorded::Nothing, r#","max_tokens":30"#)).1,
            30
        );
        let usage_only = Recorded::Usage(usage.unwrap());
        assert_eq!(worth(&outcome(usage_only, "")), (7, 5, Certainty::Reported));
        let text = Recorded::Text("Good morning".to_owned(), None);
        assert_eq!(worth(&outcome(text, "")), (9, 3, Certainty::Estimated));
        let text = Recorded::Text("Good morning".to_owned(), usage);
        assert_eq!(worth(&outcome(text, "")), (7, 5, Certainty::Reported));
        let failed = outcome(Recorded::Error(429, Bytes::from_static(b"{}")), "");
        assert!(matches!(
            failed,
            Outcome::Error(StatusCode::TOO_MANY_REQUESTS, _)
        ));
        let empty = Recorded::Whole(Bytes::from_static(br#"{"choices":[]}"#), usage);
        assert!(matches!(outcome(empty, ""), Outcome::Unusable(_)));
    }

    #[test]
    fn compression_shortens_the_prompt_alone() {
        let usage = Usage::read(&json!({
            "prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 90},
        }));
        let after = shortened(usage.unwrap(), 30);
        assert_eq!((after.prompt_tokens, after.completion_tokens), (70, 5));
        assert_eq!((after.total_tokens, after.cached_tokens), (75, 70));
        assert_eq!(shortened(usage.unwrap(), 1_000).prompt_tokens, 0);
    }
}
