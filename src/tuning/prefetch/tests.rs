//! The worker between the real layers, before an upstream that does as it is told, by a clock that is stopped.

use std::sync::atomic::{AtomicBool, AtomicU32};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt as _;

use super::*;
use crate::chat::{Quality, Usage};
use crate::config::Config;
use crate::error::ProxyError;
use crate::fingerprint::{Scope, digest};
use crate::metering::account::{Account, Row, Source, Who};
use crate::metering::books::Reader;
use crate::metering::hand::Hand;
use crate::reply::{Head, Provenance, Reply, Whole, Worth};
use crate::request::{CacheControl, Chat, Content, Parts, Route};
use crate::stack::{self, Stack};
use crate::store::Filter;
use crate::tuning::accesses::Access;

/// Answers are fresh for 100 s, and any that are likely at all are worth fetching.
const SETTINGS: &str = "[prefetch]\nenabled = true\nvalue_per_second = 1.0\nmax_share = 0.9\nbudget_usd_per_day = 100.0\n\
                        [cache]\nttl = \"100s\"\nstale_if_error = \"0s\"\n";
const COST: u64 = 1_000_000;

struct House {
    stack: Stack,
    config: Config,
    upstream: Upstream,
    scope: Scope,
    authorization: Option<&'static str>,
    account: Arc<Account>,
    _work: JoinSet<()>,
}

#[derive(Clone)]
struct Upstream {
    metrics: Arc<Metrics>,
    calls: Arc<Mutex<Vec<ProxyRequest>>>,
    status: Arc<AtomicU32>,
    is_held: watch::Sender<bool>,
    is_free: Arc<AtomicBool>,
    is_cut: Arc<AtomicBool>,
}

impl Upstream {
    async fn call(self, request: ProxyRequest) -> Result<Reply, ProxyError> {
        self.metrics.attempts.add(1);
        request.parts().account.attempted();
        self.calls.lock().push(request.clone());
        let mut is_held = self.is_held.subscribe();
        let _ = is_held.wait_for(|is_held| !is_held).await;
        sleep(Duration::from_secs(1)).await;
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let cost = (!self.is_free.load(Ordering::Relaxed)).then_some(COST);
        let usage = Usage {
            cost_nano_usd: cost,
            ..Usage::estimated(10, 40)
        };
        let answer = (status == StatusCode::OK).then(|| {
            request.parts().account.paid(usage, None, cost, 0);
            Worth {
                usage,
                served: None,
                quality: if self.is_cut.load(Ordering::Relaxed) {
                    Quality::Length
                } else {
                    Quality::Stop
                },
            }
        });
        let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}});
        Ok(Reply::Whole(Whole {
            head: Head {
                status,
                headers: HeaderMap::new(),
                provenance: Provenance::Miss { stored: false },
            },
            body: json!({"object": "chat.completion", "choices": [choice]})
                .to_string()
                .into(),
            answer,
        }))
    }
}

impl House {
    fn new(more: &str) -> Self {
        let config = Config::from_toml(&format!("{SETTINGS}{more}"))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = Arc::new(Metrics::default());
        let upstream = Upstream {
            metrics: Arc::clone(&metrics),
            calls: Arc::default(),
            status: Arc::new(AtomicU32::new(200)),
            is_held: watch::Sender::new(false),
            is_free: Arc::default(),
            is_cut: Arc::default(),
        };
        let leaf = upstream.clone();
        let leaf = tower::service_fn(move |request| leaf.clone().call(request));
        let stack = stack::over(&config, metrics, leaf);
        let mut work = JoinSet::new();
        let ahead = stack.fetch_ahead();
        work.spawn(async { match ahead.await {} });
        Self {
            stack,
            config,
            upstream,
            scope: Scope::Credential(digest(b"me")),
            authorization: Some("Bearer mine"),
            account: Arc::default(),
            _work: work,
        }
    }

    fn request(&self, prompt: &str, more: &Json, control: &str) -> ProxyRequest {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": prompt}]});
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let json = crate::json::Json::parse(Bytes::from(body.to_string())).unwrap();
        let chat = Chat::new(json, &[]);
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
        let mut cache_control = CacheControl::from_headers(&headers);
        cache_control.no_store |= !self.config.cache.takes(Route::ChatCompletions, &chat);
        let parts = Parts {
            method: Method::POST,
            path: "/chat/completions".into(),
            headers: HeaderMap::new(),
            authorization: self.authorization.map(HeaderValue::from_static),
            scope: self.scope,
            cache_control,
            ttl: self.config.cache.ttl,
            level: None,
            route: Route::ChatCompletions,
            deadline: Instant::now() + self.config.upstream.total_timeout,
            account: Arc::clone(&self.account),
            asks_for_usage: false,
            refuses_overflow: false,
        };
        ProxyRequest::new(parts, Content::Chat(Box::new(chat)))
    }

    async fn send(&self, request: ProxyRequest) -> &'static str {
        let reply = self.stack.service.clone().oneshot(request).await;
        let reply = reply.map_or("ERROR", |reply| reply.head().provenance.x_cache());
        settle().await;
        reply
    }

    async fn ask(&self, prompt: &str) -> &'static str {
        self.send(self.request(prompt, &json!({}), "")).await
    }

    fn calls(&self) -> usize {
        self.upstream.calls.lock().len()
    }

    fn figures(&self) -> Figures {
        self.stack.prefetch.as_ref().unwrap().stats().figures()
    }

    fn held(&self, why: Held) -> u64 {
        self.figures().held[why as usize].1
    }

    /// Asked now and then, within the life of its answer.
    async fn make_hot(&self, prompt: &str) {
        assert_eq!(self.ask(prompt).await, "MISS");
        for _ in 0..8 {
            pass(10).await;
            assert_eq!(self.ask(prompt).await, "HIT");
        }
    }
}

/// Waits until nothing moves any more but time, of which this takes a millisecond.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Second by second, so that nothing is late.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        advance(Duration::from_millis(999)).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_again_and_again_is_renewed_before_it_expires() {
    for more in ["", "[dedup]\nenabled = false\n"] {
        let house = House::new(more);
        house.make_hot("q").await;
        assert_eq!(house.calls(), 1);
        pass(15).await;
        assert_eq!(house.calls(), 2, "five seconds before it expires");
        pass(2).await;
        let renewed = house.upstream.calls.lock()[1].clone();
        assert_eq!(renewed.body(), house.upstream.calls.lock()[0].body());
        assert_eq!(
            renewed.parts().authorization.as_ref().unwrap(),
            "Bearer mine"
        );
        // Up to where the old one would have expired nobody had needed it.
        assert_eq!((house.ask("q").await, house.figures().used), ("HIT", 0));
        pass(10).await;
        assert_eq!((house.ask("q").await, house.figures().used), ("HIT", 1));
        let figures = house.figures();
        assert_eq!((figures.begun[0].1, figures.spent_nano_usd), (1, COST));
        assert!(figures.waits_saved_ms >= 1_000 && figures.precision() == Some(1.0));
        let entries = house.stack.journal.entries();
        assert_eq!(&*entries[0].decision.subject, "prefetch");
        // Nobody asks any more: what was fetched last is of no use, and no more is.
        for _ in 0..50 {
            pass(100).await;
        }
        assert!(house.calls() < 6, "{}", house.calls());
        assert!(house.figures().unused > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_usually_follows_is_fetched_and_is_there_in_whatever_shape_it_is_asked() {
    let house = House::new("");
    assert_eq!(
        (house.ask("one").await, house.ask("two").await),
        ("MISS", "MISS")
    );
    for (round, streams) in [(1, false), (2, true)] {
        // Long enough for both to expire, too short for another session.
        pass(200).await;
        assert_eq!(house.ask("one").await, "MISS");
        pass(1).await;
        let two = house.request("two", &json!({"stream": streams}), "");
        assert_eq!(house.send(two).await, "HIT");
        let figures = house.figures();
        assert_eq!((figures.begun[1].1, figures.used), (round, round));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_while_it_is_being_fetched_joins_the_call() {
    let house = House::new("");
    for _ in 0..2 {
        house.ask("one").await;
        house.ask("two").await;
        pass(200).await;
    }
    let before = house.figures().used;
    house.upstream.is_held.send_replace(true);
    let one = house.request("one", &json!({}), "");
    let two = house.request("two", &json!({}), "");
    let mut asked = JoinSet::new();
    asked.spawn(house.stack.service.clone().oneshot(one));
    settle().await;
    asked.spawn(house.stack.service.clone().oneshot(two));
    settle().await;
    let calls = house.calls();
    house.upstream.is_held.send_replace(false);
    let mut seen: Vec<_> = asked
        .join_all()
        .await
        .into_iter()
        .map(|reply| reply.unwrap().head().provenance.x_cache())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["COALESCED", "MISS"]);
    pass(2).await;
    assert_eq!((house.calls(), house.figures().used), (calls, before + 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_out_of_the_cache_is_neither_learned_nor_fetched() {
    let house = House::new("max_temperature = 0.5\n");
    let cold = json!({"temperature": 0});
    for (more, control) in [(&json!({}), ""), (&cold, "no-store"), (&cold, "no-cache")] {
        for _ in 0..10 {
            let request = house.request("q", more, control);
            assert_eq!(house.send(request).await, "BYPASS");
            pass(10).await;
        }
        pass(500).await;
        assert_eq!((house.figures().bytes, house.figures().questions), (0, 0));
    }
    assert_eq!(house.calls(), 30);
}

#[tokio::test(start_paused = true)]
async fn nobody_pays_for_what_all_share() {
    let mut house = House::new("scope = \"global\"\n");
    house.scope = Scope::Global;
    house.make_hot("q").await;
    pass(40).await;
    assert_eq!((house.calls(), house.held(Held::Forgotten)), (1, 1));
    // With the proxy's own key nothing of the client's is needed.
    house.authorization = None;
    house.make_hot("r").await;
    pass(18).await;
    assert_eq!(house.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_not_closed_and_clients_that_wait_come_first() {
    let house = House::new(
        "[breaker]\nfailure_threshold = 1\nopen_for = \"1h\"\n[retry]\nmax_attempts = 1\n",
    );
    house.make_hot("q").await;
    house.upstream.status.store(500, Ordering::Relaxed);
    house.ask("other").await;
    house.upstream.status.store(200, Ordering::Relaxed);
    let calls = house.calls();
    pass(20).await;
    assert_eq!((house.calls(), house.held(Held::Unwell)), (calls, 1));

    let house = House::new("");
    let places = Arc::new(Semaphore::new(10));
    house
        .stack
        .prefetch
        .as_ref()
        .unwrap()
        .watch_places(Arc::clone(&places), 10);
    let taken = places.try_acquire_many(6).unwrap();
    house.make_hot("q").await;
    pass(20).await;
    assert_eq!((house.calls(), house.held(Held::Busy)), (1, 1));
    drop(taken);
    house.make_hot("r").await;
    house.stack.prefetch.as_ref().unwrap().stop();
    pass(20).await;
    assert_eq!((house.calls(), house.held(Held::Busy)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_clear_forgets_all_and_what_is_in_flight_is_not_kept() {
    let house = House::new("");
    for _ in 0..2 {
        house.ask("one").await;
        house.ask("two").await;
        pass(200).await;
    }
    assert!(
        house.figures().bytes > 0 && house.figures().questions > 0,
        "{:?}",
        house.figures()
    );
    house.upstream.is_held.send_replace(true);
    let one = house.request("one", &json!({}), "");
    let mut asked = JoinSet::new();
    asked.spawn(house.stack.service.clone().oneshot(one));
    settle().await;
    house.stack.store.clear(&Filter::default()).await;
    settle().await;
    assert_eq!((house.figures().bytes, house.figures().questions), (0, 0));
    house.upstream.is_held.send_replace(false);
    pass(5).await;
    assert!(house.stack.store.memory.is_empty());
    let calls = house.calls();
    pass(300).await;
    assert_eq!(house.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_left_alone() {
    let house = House::new("");
    house.upstream.is_free.store(true, Ordering::Relaxed);
    house.make_hot("q").await;
    pass(50).await;
    assert_eq!(house.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_refuses_is_not_asked_again() {
    let house = House::new("");
    house.make_hot("q").await;
    house.upstream.status.store(401, Ordering::Relaxed);
    pass(17).await;
    pass(2).await;
    let figures = house.figures();
    assert_eq!((house.calls(), figures.failed, figures.bytes), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_is_not_kept_has_failed_and_what_was_paid_for_it_was_for_nothing() {
    let house = House::new("");
    house.make_hot("q").await;
    house.upstream.is_cut.store(true, Ordering::Relaxed);
    pass(18).await;
    let figures = house.figures();
    assert_eq!((house.calls(), figures.failed, figures.unused), (2, 1, 1));
    assert_eq!((figures.spent_nano_usd, figures.used), (COST, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_ahead_are_no_clients_to_whoever_sizes_the_cache() {
    let house = House::new("");
    house.make_hot("q").await;
    let accesses = house.stack.optimizer.as_ref().unwrap().accesses().unwrap();
    let asked = || {
        let gathered = accesses.take().accesses;
        let is_asked = |it: &&Access| matches!(it, Access::Asked { .. });
        gathered.iter().filter(is_asked).count()
    };
    assert_eq!(asked(), 9);
    pass(18).await;
    assert_eq!((house.calls(), asked()), (2, 0));
}

/// Keeps rows for a test to see.
struct Rows(Arc<Mutex<Vec<Row>>>);

impl Reader for Rows {
    fn read(&mut self, hand: &Hand<'_>) {
        self.0
            .lock()
            .extend(hand.groups.iter().map(|group| group.row.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_is_a_row_of_its_own_in_the_name_and_from_the_budget_of_its_client() {
    let token = "a".repeat(64);
    let client = format!(
        "[auth]\nclients = [{{ name = \"web\", token_sha256 = \"{token}\", budget_usd_per_day = 0.0025 }}]\n"
    );
    let mut house = House::new(&client);
    let rows: Arc<Mutex<Vec<Row>>> = Arc::default();
    let books = Books::new(vec![Box::new(Rows(Arc::clone(&rows)))]);
    house
        .stack
        .prefetch
        .as_ref()
        .unwrap()
        .enter_into(books.clone());
    let budget = house.stack.budgets.of("web").unwrap();
    house.account = Account::open(
        books.clone(),
        Row {
            at: jiff::Timestamp::now().as_millisecond(),
            who: Who::Named("web".into()),
            ..Row::default()
        },
    );
    house.account.pay_from(Arc::clone(&budget));
    house.make_hot("q").await;
    pass(17).await;
    assert_eq!(house.calls(), 2);
    // Its budget has room for one more call, and a client's own comes first.
    house.ask("other").await;
    assert!(budget.admit().is_err());
    for _ in 0..12 {
        pass(10).await;
        house.ask("q").await;
    }
    assert_eq!(house.calls(), 3);
    assert!(house.held(Held::Payer) > 0);
    // The account closes with the last one that holds the request.
    house.upstream.calls.lock().clear();
    books.settled().await;
    let rows = rows.lock();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.source, row.status, row.cost, row.attempts),
        (Source::Prefetch, 200, COST, 1)
    );
    assert_eq!(
        (&row.who, row.endpoint),
        (&Who::Named("web".into()), Some(Route::ChatCompletions))
    );
    assert!(row.id.len() == 36 && row.took.total >= 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn repeats_that_no_layer_sees_are_heard_of_and_off_there_is_nothing() {
    let house = House::new("");
    assert_eq!(house.ask("q").await, "MISS");
    let alias = house.request("q", &json!({}), "");
    // As the edge has it, by the request's bytes.
    house.send(alias.clone()).await;
    let alias = alias.alias().unwrap();
    let repeats = house.stack.repeats.clone().unwrap();
    for _ in 0..8 {
        pass(10).await;
        assert!(
            repeats
                .find(alias, Route::ChatCompletions, Instant::now())
                .is_some()
        );
        settle().await;
    }
    pass(18).await;
    assert_eq!(house.calls(), 2);
    let config = Config::default();
    let leaf = house.upstream.clone();
    let leaf = tower::service_fn(move |request| leaf.clone().call(request));
    assert!(
        stack::over(&config, Arc::default(), leaf)
            .prefetch
            .is_none()
    );
}
