//! The ways in which a client asks a model, and what comes of it.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Answer, Client, text_of};

/// One way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promises) enum Door {
    Chat,
    ChatStream,
    Create,
    CreateStream,
    Turn,
    TurnStream,
}

/// What a client has in the end.
#[derive(Debug)]
pub(in crate::promises) struct Outcome {
    pub(in crate::promises) status: u16,
    pub(in crate::promises) headers: HeaderMap,
    /// The text of the answer, or of what came of it.
    pub(in crate::promises) text: String,
    /// Whether it claims to be all of the answer.
    pub(in crate::promises) is_finished: bool,
    /// The code of the error, of the head or in the stream.
    pub(in crate::promises) code: Option<String>,
    /// The body as it came.
    pub(in crate::promises) body: String,
}

impl Door {
    pub(in crate::promises) const ALL: [Self; 6] = [
        Self::Chat,
        Self::ChatStream,
        Self::Create,
        Self::CreateStream,
        Self::Turn,
        Self::TurnStream,
    ];

    pub(in crate::promises) fn path(self) -> &'static str {
        match self {
            Self::Chat | Self::ChatStream => "/v1/chat/completions",
            Self::Create | Self::CreateStream => "/create",
            Self::Turn | Self::TurnStream => "/create/chat",
        }
    }

    pub(in crate::promises) fn streams(self) -> bool {
        matches!(
            self,
            Self::ChatStream | Self::CreateStream | Self::TurnStream
        )
    }

    fn is_openai(self) -> bool {
        matches!(self, Self::Chat | Self::ChatStream)
    }

    /// The request's body.
    pub(in crate::promises) fn body(self, prompt: &str) -> Value {
        let mut body = match self {
            Self::Chat | Self::ChatStream => {
                json!({"messages": [{"role": "user", "content": prompt}]})
            }
            Self::Create | Self::CreateStream => json!({"prompt": prompt}),
            Self::Turn | Self::TurnStream => json!({"message": prompt}),
        };
        body["model"] = "m".into();
        if self.streams() {
            body["stream"] = true.into();
        }
        body
    }

    /// Asks, and waits for all that comes.
    pub(in crate::promises) async fn ask(self, client: &Client, prompt: &str) -> Outcome {
        self.ask_with(client, prompt, &[]).await
    }

    /// The same with further headers.
    pub(in crate::promises) async fn ask_with(
        self,
        client: &Client,
        prompt: &str,
        headers: &[(&str, &str)],
    ) -> Outcome {
        let answer = client.post(self.path(), &self.body(prompt), headers).await;
        self.read(&answer)
    }

    /// Reads an answer as this door's clients do.
    pub(in crate::promises) fn read(self, answer: &Answer) -> Outcome {
        let mut outcome = Outcome {
            status: answer.status,
            headers: answer.headers.clone(),
            text: String::new(),
            is_finished: false,
            code: None,
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        };
        if answer.header("content-type") == "text/event-stream" {
            self.read_events(&mut outcome);
        } else {
            self.read_whole(&mut outcome, &answer.json());
        }
        outcome
    }

    fn read_whole(self, outcome: &mut Outcome, body: &Value) {
        let text = if self.is_openai() {
            &body["choices"][0]["message"]["content"]
        } else {
            &body["response"]
        };
        text.as_str()
            .unwrap_or_default()
            .clone_into(&mut outcome.text);
        outcome.code = self.code(body);
        outcome.is_finished = outcome.status == 200 && outcome.code.is_none();
    }

    fn read_events(self, outcome: &mut Outcome) {
        let events: Vec<String> = outcome
            .body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(ToOwned::to_owned)
            .collect();
        let json = || {
            let events = events.iter().filter(|event| *event != "[DONE]");
            events.map(|event| serde_json::from_str::<Value>(event).unwrap())
        };
        outcome.text = if self.is_openai() {
            text_of(&events)
        } else {
            json()
                .filter_map(|event| Some(event["delta"].as_str()?.to_owned()))
                .collect()
        };
        outcome.code = json().find_map(|event| self.code(&event));
        let claims = |event: &Value| event["success"] == true;
        outcome.is_finished =
            events.iter().any(|event| event == "[DONE]") || json().any(|event| claims(&event));
    }

    /// The code of an error that has all that this door's dialect wants of one.
    fn code(self, body: &Value) -> Option<String> {
        let (code, rest) = if self.is_openai() {
            let error = body.get("error")?;
            (&error["code"], vec![&error["message"], &error["type"]])
        } else {
            let error = body.get("error")?;
            assert_eq!(body["success"], false, "{body}");
            (&body["code"], vec![error, &body["request_id"]])
        };
        for text in rest {
            assert!(
                text.as_str().is_some_and(|text| !text.is_empty()),
                "{body} lacks a part of an error"
            );
        }
        // An upstream's own error may have a code that is no text, or none.
        Some(code.as_str().unwrap_or_default().to_owned())
    }
}

impl Outcome {
    /// A header's value; empty where there is none.
    pub(in crate::promises) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// It is an answer, and all of it.
    pub(in crate::promises) fn assert_answer(&self, text: &str, what: &str) {
        assert!(
            self.status == 200 && self.is_finished && self.code.is_none() && self.text == text,
            "{what}: {self:?}"
        );
    }

    /// It is an error that nobody takes for an answer.
    pub(in crate::promises) fn assert_failure(&self, what: &str) {
        assert!(
            self.code.is_some() && !self.is_finished && matches!(self.status, 200 | 500..=599),
            "{what}: {self:?}"
        );
    }

    /// The same with nothing before it, so that the status itself tells.
    pub(in crate::promises) fn assert_refused(&self, what: &str) {
        self.assert_failure(what);
        assert_ne!(self.status, 200, "{what}: {self:?}");
    }
}
