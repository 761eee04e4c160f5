//! Marks on traces, before a provider that keeps prompts as Anthropic does: what they save where prompts come again, and
//! what they may cost where none does.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::fingerprint::{Fingerprint, Scope, digest};
use crate::metering::prices::PriceTable;
use crate::request::{CacheControl, Chat, Content, Parts, Route};
use crate::tuning::journal::Action;

const MODEL: &str = "anthropic/claude-sonnet-4.5";
/// Words of a text of some 2,000 tokens.
const LONG: u32 = 1_400;

/// A proxy's marks and a provider's cache.
struct Scene {
    marks: PromptCache,
    metrics: Arc<Metrics>,
    journal: Journal,
    /// When beginnings were put there or used last, by all that stands up to the mark.
    kept: HashMap<Fingerprint, Instant>,
    /// Tokens of all prompts, and what they cost in tokens of plain input.
    tokens: f64,
    cost: f64,
}

impl Scene {
    fn new() -> Self {
        let settings = "[upstream]\nprompt_cache = \"on\"";
        let config = Config::from_toml(settings).unwrap();
        let metrics = Arc::new(Metrics::new(PriceTable::default()));
        let journal = Journal::default();
        let marks = PromptCache::new(&config.upstream, Arc::clone(&metrics), journal.clone());
        Self {
            marks: marks.unwrap(),
            metrics,
            journal,
            kept: HashMap::new(),
            tokens: 0.0,
            cost: 0.0,
        }
    }

    /// Sends a prompt; tells what the provider had of it, took in and got, in tokens.
    #[expect(clippy::cast_precision_loss, reason = "sums of tokens are small")]
    fn send(&mut self, messages: &[Value]) -> (u64, u64, u64) {
        let body = json!({"model": MODEL, "messages": messages});
        let json = Json::parse(Bytes::from(body.to_string())).unwrap();
        let request = ProxyRequest::new(parts(), Content::Chat(Box::new(Chat::new(json, &[]))));
        self.marks.mark(&request);
        let sent: Value = serde_json::from_slice(&request.body()).unwrap();
        let (read, written, all) = self.keep(&sent);
        let usage = Usage {
            prompt_tokens: all,
            total_tokens: all,
            cached_tokens: read,
            cache_write_tokens: written,
            ..Usage::default()
        };
        self.marks.settle(&request, usage, None);
        self.tokens += all as f64;
        let plain = (all - read - written) as f64;
        self.cost += plain + 0.1 * read as f64 + 1.25 * written as f64;
        (read, written, all)
    }

    /// What Anthropic's cache does with a prompt: the longest beginning that it has, looking back from each mark, is used,
    /// and all up to the last mark is kept.
    fn keep(&mut self, sent: &Value) -> (u64, u64, u64) {
        let now = Instant::now();
        let (mut said, mut tokens, mut read, mut marked) = (String::new(), 0, 0, None);
        let mut beginnings = Vec::new();
        for message in sent["messages"].as_array().unwrap() {
            let part = &message["content"][0];
            let text = message["content"].as_str().or(part["text"].as_str());
            said.push_str(text.unwrap());
            tokens += text.unwrap().len() as u64 / 4;
            beginnings.push((digest(said.as_bytes()), tokens));
            if part.get("cache_control").is_some() {
                marked = Some(beginnings.len());
            }
        }
        let Some(marked) = marked else {
            return (0, 0, tokens);
        };
        for (id, tokens) in beginnings.iter().take(marked).rev().take(20) {
            let is_kept = self
                .kept
                .get(id)
                .is_some_and(|at| now - *at <= recurrence::LIFE);
            if is_kept {
                read = *tokens;
                break;
            }
        }
        let (id, to) = beginnings[marked - 1];
        self.kept.insert(id, now);
        for (id, tokens) in &beginnings[..marked] {
            if *tokens <= read {
                self.kept.insert(*id, now);
            }
        }
        (read, to - read, tokens)
    }

    /// What prompts cost with marks, as a share of what they cost without.
    fn share(&self) -> f64 {
        self.cost / self.tokens
    }

    /// For whoever runs the tests to see.
    #[expect(clippy::print_stdout, reason = "a test says what it measured")]
    fn tell(&self, trace: &str) {
        println!("{trace}: {:.3} of the cost", self.share());
    }

    fn actions(&self) -> Vec<Action> {
        let entries = self.journal.entries();
        entries.iter().rev().map(|e| e.decision.action).collect()
    }
}

fn parts() -> Parts {
    Parts {
        method: Method::POST,
        path: "/chat/completions".into(),
        headers: HeaderMap::new(),
        authorization: None,
        scope: Scope::Anonymous,
        cache_control: CacheControl::default(),
        ttl: Duration::ZERO,
        level: None,
        route: Route::ChatCompletions,
        deadline: Instant::now(),
        account: Arc::default(),
        asks_for_usage: false,
        refuses_overflow: false,
    }
}

/// A text like no other.
fn text(random: &mut fastrand::Rng, words: u32) -> String {
    let word = |_| format!("{:05} ", random.u32(..100_000));
    (0..words).map(word).collect()
}

fn said(role: &str, text: impl Into<String>) -> Value {
    json!({"role": role, "content": text.into()})
}

#[tokio::test(start_paused = true)]
async fn instructions_that_come_with_every_prompt_are_paid_for_once() {
    let (mut scene, mut random) = (Scene::new(), fastrand::Rng::with_seed(1));
    let system = text(&mut random, LONG);
    for _ in 0..200 {
        let question = text(&mut random, 50);
        scene.send(&[said("system", &*system), said("user", question)]);
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    scene.tell("instructions");
    assert!(scene.share() < 0.2, "{}", scene.share());
    assert_eq!(scene.actions()[0], Action::Applied);
    assert!(
        scene
            .actions()
            .iter()
            .skip(1)
            .all(|action| *action == Action::Kept)
    );
    let marks = &scene.metrics.provider_cache;
    assert!(marks.saved_nano_usd.get() > 10 * marks.surcharge_nano_usd.get());
}

#[tokio::test(start_paused = true)]
async fn conversations_are_marked_as_they_grow_from_their_first_turn_once_they_are_known_to_go_on()
{
    let (mut scene, mut random) = (Scene::new(), fastrand::Rng::with_seed(2));
    let mut first = Vec::new();
    for _ in 0..60 {
        let mut messages = vec![said("user", text(&mut random, LONG))];
        for turn in 0..8 {
            let (_, written, all) = scene.send(&messages);
            if turn == 0 {
                first.push(written == all);
            }
            messages.push(said("assistant", text(&mut random, 200)));
            messages.push(said("user", text(&mut random, 200)));
            tokio::time::advance(Duration::from_secs(30)).await;
        }
    }
    scene.tell("conversations");
    assert!(!first[0] && *first.last().unwrap());
    assert!(scene.share() < 0.35, "{}", scene.share());
}

#[tokio::test(start_paused = true)]
async fn prompts_that_never_come_again_cost_what_they_did() {
    let (mut scene, mut random) = (Scene::new(), fastrand::Rng::with_seed(3));
    for _ in 0..500 {
        let messages = [
            said("system", text(&mut random, LONG)),
            said("user", text(&mut random, LONG)),
        ];
        assert_eq!(scene.send(&messages).1, 0);
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    assert_eq!(scene.metrics.provider_cache.marked.get(), 0);
    assert_eq!(scene.actions(), []);
    // Neither do those that come again when the provider has forgotten them.
    let again = [said("user", text(&mut random, LONG))];
    for _ in 0..50 {
        assert_eq!(scene.send(&again).1, 0);
        tokio::time::advance(Duration::from_mins(6)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_provider_keeps_nothing_it_stops_and_says_why() {
    let (mut scene, mut random) = (Scene::new(), fastrand::Rng::with_seed(4));
    let system = text(&mut random, LONG);
    let mut dearest = 0;
    for n in 0..2_000 {
        // Its cache is emptied all the time.
        scene.kept.clear();
        let question = text(&mut random, 50);
        let (_, written, _) = scene.send(&[said("system", &*system), said("user", question)]);
        if written > 0 {
            dearest = n;
        }
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    scene.tell("a cache that keeps nothing");
    assert!(scene.share() < 1.04, "{}", scene.share());
    assert!(dearest > 700, "it is tried again");
    let actions = scene.actions();
    assert_eq!(
        actions[..4],
        [
            Action::Applied,
            Action::Stopped,
            Action::Applied,
            Action::Stopped
        ]
    );
    let evidence = &scene.journal.entries()[0].decision.evidence;
    assert!(evidence.contains(" dearer. So it stops for "), "{evidence}");
}

#[tokio::test(start_paused = true)]
async fn callers_learn_nothing_of_each_other_and_models_without_a_price_are_left_alone() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(5);
    let messages = json!([
        said("user", text(&mut random, LONG)),
        said("assistant", "a"),
        said("user", "b")
    ]);
    let is_marked = |model: &str, scope| {
        let body = json!({"model": model, "messages": messages});
        let json = Json::parse(Bytes::from(body.to_string())).unwrap();
        let parts = Parts { scope, ..parts() };
        let request = ProxyRequest::new(parts, Content::Chat(Box::new(Chat::new(json, &[]))));
        scene.marks.mark(&request);
        request.marking().is_some()
    };
    let one = Scope::Credential(digest(b"one"));
    assert!(!is_marked(MODEL, one));
    assert!(!is_marked(MODEL, Scope::Credential(digest(b"other"))));
    assert!(is_marked(MODEL, one));
    for model in ["openai/gpt-4o", "anthropic/claude-unheard-of"] {
        assert_eq!([0; 3].map(|_| is_marked(model, one)), [false; 3], "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_was_answered_is_taken_for_kept_and_the_model_that_was_not_asked_for_longest_is_forgotten()
 {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(6);
    let body = json!({"model": MODEL, "messages": [said("user", text(&mut random, LONG))]});
    let json = Json::parse(Bytes::from(body.to_string())).unwrap();
    let ask = || {
        let chat = Chat::new(json.clone(), &[]);
        let request = ProxyRequest::new(parts(), Content::Chat(Box::new(chat)));
        scene.marks.mark(&request);
        request
    };
    assert!(ask().marking().is_none());
    let marked = ask();
    let id = marked.marking().unwrap().beginnings()[0];
    assert!(!scene.marks.memory.past(id, Instant::now()).is_kept);
    scene.marks.settle(&marked, Usage::default(), None);
    assert!(scene.marks.memory.past(id, Instant::now()).is_kept);

    let mut models = scene.marks.models.lock();
    let begun = Instant::now();
    for (n, seconds) in (0..2 * MODELS).zip(1..) {
        let now = begun + Duration::from_secs(seconds);
        known(&mut models, &MODEL.into(), now);
        known(
            &mut models,
            &n.to_string().into(),
            now + Duration::from_millis(1),
        );
    }
    assert!(models.len() == MODELS && models.contains_key(MODEL));
    assert!(models.contains_key("127") && !models.contains_key("0"));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_without_marks_as_well_is_not_sent_twice_for_an_hour() {
    let scene = Scene::new();
    let prompt = [said("user", "short")];
    known(
        &mut scene.marks.models.lock(),
        &MODEL.into(),
        Instant::now(),
    );
    let body = json!({"model": MODEL, "messages": prompt});
    let json = Json::parse(Bytes::from(body.to_string())).unwrap();
    let request = ProxyRequest::new(parts(), Content::Chat(Box::new(Chat::new(json, &[]))));
    for _ in 0..FRUITLESS {
        assert!(scene.marks.doubts_refusals(&request));
        scene.marks.refused_anyway(&request);
    }
    assert!(!scene.marks.doubts_refusals(&request));
    tokio::time::advance(TRUST).await;
    assert!(scene.marks.doubts_refusals(&request));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_stopped_no_prompt_is_read() {
    let (mut scene, mut random) = (Scene::new(), fastrand::Rng::with_seed(7));
    let prompt = [said("user", text(&mut random, LONG))];
    let now = Instant::now();
    let stop = Duration::from_mins(1);
    known(&mut scene.marks.models.lock(), &MODEL.into(), now)
        .worth
        .stop(now, stop);
    for _ in 0..3 {
        assert_eq!(scene.send(&prompt).1, 0);
    }
    tokio::time::advance(stop).await;
    assert_eq!(scene.send(&prompt).1, 0, "it comes for the first time");
    assert!(scene.send(&prompt).1 > 0);
}
