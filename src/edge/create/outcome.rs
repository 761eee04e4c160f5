//! What a chat completion says, less all that `/create`'s clients never asked for.

use serde::Deserialize;
use serde_json::Value;

use crate::chat;
use crate::error::ProxyError;
use crate::reply::Whole;

/// The first choice of an answer.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) model: Option<String>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    message: Option<Message>,
    delta: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
    refusal: Option<String>,
}

impl Outcome {
    /// Reads a whole answer and its text; one without a word in it is no answer.
    pub(super) fn of_whole(body: &[u8]) -> Result<(Self, String), ProxyError> {
        let mut outcome = Self::default();
        let text = outcome.chunk(body);
        if text.is_empty() {
            return Err(outcome.silence());
        }
        Ok((outcome, text))
    }

    /// Why an answer without a word is none.
    pub(super) fn silence(&self) -> ProxyError {
        let reason = if self.finish_reason.as_deref() == Some("length") {
            "it used all its tokens before it said anything; raise max_tokens"
        } else {
            "it is empty"
        };
        ProxyError::InvalidAnswer(reason.into())
    }

    /// Reads a chunk, or a whole answer, and gives the text that it adds.
    pub(super) fn chunk(&mut self, data: &[u8]) -> String {
        let answer = serde_json::from_slice::<Answer>(data)
            .or_else(|_| Answer::deserialize(chat::read_object(data).unwrap_or_default()));
        let Ok(answer) = answer else {
            return String::new();
        };
        self.model = answer.model.or(self.model.take());
        let Some(choice) = answer.choices.into_iter().find(|choice| choice.index == 0) else {
            return String::new();
        };
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        let message = choice.message.or(choice.delta);
        message.map(Message::into_text).unwrap_or_default()
    }
}

impl Message {
    fn into_text(self) -> String {
        let text = match self.content {
            Some(Value::String(text)) => text,
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text")?.as_str())
                .collect(),
            _ => String::new(),
        };
        if text.is_empty() {
            self.refusal.unwrap_or_default()
        } else {
            text
        }
    }
}

/// What an upstream's error status means here.
pub(super) fn refusal(whole: &Whole) -> ProxyError {
    let said = provider_message(&whole.body);
    ProxyError::upstream_status(whole.head.status, said.as_deref(), &whole.head.headers)
}

/// The provider's own words, if it wrote them where OpenAI does.
fn provider_message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    let message = error.get("message").unwrap_or(error).as_str()?;
    Some(message.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_text_in_all_its_forms() {
        let text = |body: &str| {
            Outcome::of_whole(body.as_bytes())
                .map(|(_, text)| text)
                .ok()
        };
        assert_eq!(
            text(r#"{"choices":[{"message":{"content":"a"}}]}"#).as_deref(),
            Some("a")
        );
        assert_eq!(
            text(r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#).as_deref(),
            Some("ab")
        );
        assert_eq!(
            text(r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#).as_deref(),
            Some("no")
        );
        assert_eq!(text(r#"{"choices":[{"message":{"content":""}}]}"#), None);
    }

    #[test]
    fn half_a_character_costs_no_other() {
        let half = br#"{"choices":[{"delta":{"content":"to \ud83d"}}]}"#;
        assert_eq!(Outcome::default().chunk(half), "to \u{fffd}");
    }

    #[test]
    fn an_answer_that_ran_out_of_tokens_says_what_to_do() {
        let error = Outcome::of_whole(
            br#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("max_tokens"));
    }
}
