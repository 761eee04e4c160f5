//! `rules propose`: asks a model for a shorter version of one text, because the operator said so.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::approve::Comparison;
use super::{Desk, say};
use crate::compressor::{Level, Unit};
use crate::config::Config;
use crate::demo;
use crate::fingerprint::Scope;
use crate::json::Json;
use crate::reply::Reply;
use crate::request::{CacheControl, Chat, Content, Parts, ProxyRequest, Route};
use crate::stack;
use crate::tokens::Vocabulary;
use crate::tuning::learn::{Book, Entry, Mode, Span, State};

/// Nobody waits longer for a proposal.
const PATIENCE: Duration = Duration::from_mins(3);

const TASK: &str = "\
You shorten texts that are sent to language models again and again. Write the text below in as few tokens as you can, so \
that a model which reads it behaves exactly as before. Keep every fact, number, name, condition, negation, limit, placeholder, \
quotation and example of a wanted form, word for word where words matter, and keep the language. Take out repetition, \
politeness, emphasis and explanations that change nothing. Answer with the shorter text alone: no introduction, no quotation \
marks, no fence around it.";

/// The options of `rules propose`.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct ProposeArgs {
    /// The name of a text, or its beginning.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Ask this model; that of `create.model` where none is given.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Show what would be sent and what it would cost, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What the model said.
struct Proposal {
    text: String,
    /// Tokens of the prompt and of the answer.
    tokens: (u64, u64),
    /// What it cost, in dollars; `None` where the model has no price.
    cost: Option<f64>,
}

pub(super) fn run(desk: &Desk<'_>, args: &ProposeArgs) -> anyhow::Result<()> {
    let mut entry = desk.text(&desk.shelf.read()?, &args.id)?;
    if entry.state == State::Approved {
        bail!(
            "{} is approved: deny it first to have another version proposed",
            entry.id()
        );
    }
    if entry.lesson.unit == Unit::Phrase {
        let id = entry.id();
        bail!(
            "{id} is a phrase that says little: `pegasus-nest rules approve {id}` takes it out, no model need be asked"
        );
    }
    let model = args.model.as_deref().unwrap_or(&desk.config.create.model);
    let tokens = Vocabulary::O200k.count(TASK) + Vocabulary::O200k.count(&entry.lesson.text);
    let upstream = if desk.config.is_demo {
        "the simulated model"
    } else {
        &*desk.config.upstream.base_url
    };
    if !desk.is_json {
        let sent = super::diff::diff(&entry.lesson.text, &entry.lesson.text);
        say(&format!(
            "{model} at {upstream} is asked to shorten this text, some {tokens} tokens with the task{}:\n\n{sent}\n\n",
            price(desk.config, model, tokens)
        ))?;
    }
    if args.dry_run {
        return if desk.is_json {
            say(&format!(
                "{}\n",
                json!({"id": entry.id(), "model": model, "promptTokens": tokens, "sent": false})
            ))
        } else {
            say("nothing was sent\n")
        };
    }
    let proposal = ask(desk.config.clone(), model, &entry)?;
    entry.lesson.with = proposal.text.as_str().into();
    entry.note = Some(format!("proposed by {model}"));
    let comparison = Comparison::of(&entry);
    let id = entry.id();
    let is_shorter = entry.lesson.check();
    let (is_kept, _) = desk.shelf.change(|book| keep(book, entry))?;
    if !is_kept {
        bail!(
            "{id} was approved meanwhile, or is in force until the next version, and stays as it is; what the model proposed: {}",
            super::super::explain::visible(&proposal.text)
        );
    }
    if desk.is_json {
        let mut told = comparison.json();
        told["state"] = "proposed".into();
        told["model"] = model.into();
        told["costUsd"] = proposal.cost.into();
        told["problem"] = is_shorter.err().map(|refused| refused.to_string()).into();
        return say(&format!("{told}\n"));
    }
    let (prompt, answer) = proposal.tokens;
    let cost = proposal.cost.map_or_else(
        || "what it cost is not known".to_owned(),
        |cost| format!("it cost ${cost:.6}"),
    );
    let verdict = match is_shorter {
        Ok(()) => format!("`pegasus-nest rules approve {id}` puts it in the place of the text"),
        Err(refused) => format!("it cannot be approved: {refused}"),
    };
    say(&format!(
        "{}\n{prompt} tokens sent, {answer} received; {cost}\n{verdict}\n",
        comparison.show()
    ))
}

/// Keeps a proposal, unless somebody approved a version of the text while the model was asked. What is in force until the
/// next version stays so.
fn keep(book: &mut Book, mut entry: Entry) -> bool {
    let known = book.find(&entry.id());
    if known.is_some_and(|known| known.state == State::Approved || known.span.has(book.version)) {
        return false;
    }
    entry.state = State::Proposed;
    entry.span = Span::default();
    book.put(entry);
    true
}

/// What the table of prices says, in brackets.
fn price(config: &Config, model: &str, tokens: usize) -> String {
    let tokens = crate::metering::prices::Tokens {
        prompt: tokens as u64,
        completion: tokens as u64,
        ..crate::metering::prices::Tokens::default()
    };
    let most = config.metering.prices.cost(model, None, &tokens);
    most.map_or_else(
        || " (the model has no price in the table)".to_owned(),
        |nano| format!(" (at most ${:.6} or so)", crate::metering::tally::usd(nano)),
    )
}

fn ask(config: Config, model: &str, entry: &Entry) -> anyhow::Result<Proposal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(Box::pin(ask_upstream(config, model, entry)))
}

async fn ask_upstream(mut config: Config, model: &str, entry: &Entry) -> anyhow::Result<Proposal> {
    // A command learns nothing from its own question, and has no books.
    config.compression.learning.mode = Mode::Off;
    config.cache.redis = None;
    config.cache.snapshot = None;
    config.upstream.total_timeout = PATIENCE;
    config.upstream.read_timeout = PATIENCE;
    let demo = if config.is_demo {
        let demo = demo::start()
            .await
            .context("cannot start the simulated model")?;
        config.upstream.base_url.clone_from(&demo.base_url);
        Some(demo)
    } else {
        None
    };
    let stack = stack::build(&config).context("cannot set up the upstream client")?;
    let reply = stack
        .service
        .oneshot(request(model, &entry.lesson.text)?)
        .await;
    drop(demo);
    let reply = reply.context("there is no proposal")?;
    let Reply::Whole(whole) = reply else {
        bail!("there is no proposal: the upstream answered with a stream");
    };
    let Some(worth) = whole.answer else {
        let body = String::from_utf8_lossy(&whole.body)
            .chars()
            .take(500)
            .collect::<String>();
        let body = super::super::explain::visible(&body);
        bail!(
            "there is no proposal: the upstream answered {}: {body}",
            whole.head.status
        );
    };
    let answer: Value = serde_json::from_slice(&whole.body).context("the answer is no JSON")?;
    let choice = &answer["choices"][0];
    let text = choice["message"]["content"]
        .as_str()
        .unwrap_or_default()
        .trim();
    if text.is_empty() || choice["finish_reason"] == "length" {
        bail!("there is no proposal: the answer is empty or was cut off");
    }
    Ok(Proposal {
        text: text.to_owned(),
        tokens: (worth.usage.prompt_tokens, worth.usage.completion_tokens),
        cost: worth.usage.cost_nano_usd.map(crate::metering::tally::usd),
    })
}

fn request(model: &str, text: &str) -> anyhow::Result<ProxyRequest> {
    let body = json!({
        "model": model,
        "messages": [{"role": "system", "content": TASK}, {"role": "user", "content": text}],
        "temperature": 0,
    });
    let json = Json::parse(Bytes::from(body.to_string()))?;
    let parts = Parts {
        method: Method::POST,
        path: "/chat/completions".into(),
        headers: HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]),
        authorization: None,
        scope: Scope::Global,
        cache_control: CacheControl {
            no_store: true,
            ..CacheControl::default()
        },
        ttl: Duration::ZERO,
        // The text goes out as it is.
        level: Some(Level::Off),
        route: Route::ChatCompletions,
        deadline: Instant::now() + PATIENCE,
        account: Arc::default(),
        asks_for_usage: false,
        refuses_overflow: true,
    };
    Ok(ProxyRequest::new(
        parts,
        Content::Chat(Box::new(Chat::new(json, &[]))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compressor::{Lesson, Role};

    #[test]
    fn what_was_approved_while_the_model_was_asked_stays() {
        let entry = |with: &str, state, span| Entry {
            lesson: Lesson {
                role: Role::System,
                unit: Unit::Text,
                text: "a text".into(),
                with: with.into(),
            },
            state,
            is_pinned: false,
            span,
            before: None,
            note: None,
        };
        let proposed = entry("model's", State::Proposed, Span::default());
        let mut book = Book::default();
        assert!(keep(&mut book, proposed.clone()));
        let approved = entry("operator's", State::Approved, Span::begin_after(0));
        book.put(approved.clone());
        assert!(!keep(&mut book, proposed));
        assert_eq!(book.rules, [approved]);
    }
}
