//! Whole conversations, sent turn by turn as an agent or a chat window sends them: what goes upstream costs
//! less, and what went up before is never sent in other bytes.
//!
//! `PEGASUS_CORPUS=FILE cargo test --release --test integration turns -- --nocapture` measures another corpus:
//! a JSON object a line, `{"category","text"}` or `{"category","messages":[{"role","content"}]}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use pegasus_nest::tokens::Vocabulary;
use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};

/// Tokens of the messages of all requests.
#[derive(Default, Clone, Copy)]
struct Tokens {
    requests: usize,
    before: usize,
    after: usize,
}

// === impl Tokens ===

impl Tokens {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.before += other.before;
        self.after += other.after;
    }

    fn saved_percent(self) -> f64 {
        100.0
            - 100.0 * f64::from(u32::try_from(self.after).unwrap())
                / f64::from(u32::try_from(self.before).unwrap().max(1))
    }
}

fn corpus() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = match std::env::var_os("PEGASUS_CORPUS") {
        Some(file) => vec![file.into()],
        None => std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>(),
    };
    let mut rows = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        rows.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
    }
    assert!(!rows.is_empty());
    rows
}

/// The messages of a row; a lone text is said by whom its category is usually said.
fn messages(row: &Value) -> Vec<Value> {
    let Some(messages) = row["messages"].as_array() else {
        let role = match row["category"].as_str().unwrap() {
            "system_prompt" | "template" | "persona" => "system",
            "tool_output" => "tool",
            _ => "user",
        };
        return vec![message(role, row["text"].as_str().unwrap())];
    };
    let said = |of: &Value| {
        message(
            of["role"].as_str().unwrap(),
            of["content"].as_str().unwrap(),
        )
    };
    messages.iter().map(said).collect()
}

fn message(role: &str, content: &str) -> Value {
    match role {
        "tool" => json!({"role": role, "tool_call_id": "call_1", "content": content}),
        role => json!({"role": role, "content": content}),
    }
}

fn count(messages: &[Value]) -> usize {
    let texts = messages
        .iter()
        .map(|message| message["content"].as_str().unwrap());
    texts.map(|text| Vocabulary::O200k.count(text)).sum()
}

/// Sends the conversation as often as its author had the model speak.
async fn send(proxy: &Proxy, upstream: &Upstream, messages: &[Value]) -> Tokens {
    let mut tokens = Tokens::default();
    let mut sent: Vec<Value> = Vec::new();
    for turn in 1..=messages.len() {
        if messages
            .get(turn)
            .is_some_and(|next| next["role"] != "assistant")
        {
            continue;
        }
        let request = json!({"model": "m", "messages": messages[..turn]});
        let answer = proxy
            .chat_with(&request, &[("cache-control", "no-store")])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let went = upstream.last().json()["messages"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(went.len(), turn);
        assert_eq!(
            went[..sent.len()],
            sent,
            "a message of an earlier turn changed"
        );
        for (before, after) in messages.iter().zip(&went) {
            if before["role"] == "assistant" {
                assert_eq!(before, after);
            }
        }
        assert_references(&went);
        let (before, after) = (count(&messages[..turn]), count(&went));
        assert!(after <= before);
        tokens.add(Tokens {
            requests: 1,
            before,
            after,
        });
        sent = went;
    }
    tokens
}

/// Whatever a reference names stands in an earlier message of the same request.
fn assert_references(messages: &[Value]) {
    for (at, message) in messages.iter().enumerate() {
        for line in message["content"].as_str().unwrap().lines() {
            let Some((_, words)) = line
                .split_once("identical to earlier, from: ")
                .or_else(|| line.split_once("identical to earlier, from the fence before: "))
                .or_else(|| line.split_once("[repeats the earlier line: "))
            else {
                continue;
            };
            let words = words.strip_suffix(']').unwrap_or(words);
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let words = squeezed(words);
            let stands =
                |earlier: &Value| squeezed(earlier["content"].as_str().unwrap()).contains(&words);
            assert!(messages[..at].iter().any(stands), "{line}");
        }
    }
}

#[tokio::test]
async fn conversations_cost_less_and_their_past_stays() {
    let upstream = Upstream::start().await;
    let rows = corpus();
    for level in ["safe", "balanced", "aggressive"] {
        let settings = format!("[compression]\nlevel = \"{level}\"\n[dedup]\nenabled = false");
        let proxy = Proxy::start(&settings, &upstream).await;
        let mut categories: BTreeMap<String, Tokens> = BTreeMap::new();
        for row in &rows {
            let tokens = send(&proxy, &upstream, &messages(row)).await;
            let category = row["category"].as_str().unwrap();
            categories
                .entry(category.to_owned())
                .or_default()
                .add(tokens);
        }
        let mut all = Tokens::default();
        let mut table = String::new();
        for (category, tokens) in &categories {
            let Tokens {
                requests, before, ..
            } = tokens;
            let saved = tokens.saved_percent();
            let _ = writeln!(table, "{category:18}{requests:6}{before:9}{saved:8.2} %");
            all.add(*tokens);
        }
        let saved = all.saved_percent();
        #[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
        {
            println!(
                "turn by turn at {level}: {saved:.2} % of {} tokens\n{table}",
                all.before
            );
        }
        if level != "safe" && std::env::var_os("PEGASUS_CORPUS").is_none() {
            assert!(saved >= 6.0, "{saved:.2} % at {level}");
        }
        proxy.stop().await;
    }
}
