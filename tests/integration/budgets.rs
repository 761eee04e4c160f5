//! Budgets: what a client's calls may cost in a day and in a month, on one instance and on many.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::Method;
use jiff::Timestamp;
use pegasus_nest::config::Config;
use pegasus_nest::edge::{self, Edge};
use pegasus_nest::metering::budget::Budgets;
use pegasus_nest::stack;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::process::{Process, config_file};
use crate::support::{Answer, Client, Proxy, RedisServer, Upstream, ask, ask_stream};

mod instances;

pub(crate) const WEB: [(&str, &str); 1] = [("authorization", "Bearer web")];
const APP: [(&str, &str); 1] = [("authorization", "Bearer app")];

/// Settings under which each call costs 0.0001 dollars, with the clients `web`, which may spend this, and `app`, which
/// may spend a dollar a day.
pub(crate) fn settings(budget: &str) -> (String, NamedTempFile) {
    // An answer of the tests' upstream has 11 tokens of prompt and 7 of completion.
    let prices = config_file("[models.m]\ninput = 0.0\noutput = 0.0\nrequest = 0.0001\n");
    let digest = |token: &str| {
        let digest = Sha256::digest(token);
        digest
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    };
    let settings = format!(
        "metering.prices_file = {:?}\n\
         auth.clients = [{{ name = \"web\", token_sha256 = \"{}\", {budget} }}, \
         {{ name = \"app\", token_sha256 = \"{}\", budget_usd_per_day = 1 }}]\n",
        prices.path().to_str().unwrap(),
        digest("web"),
        digest("app"),
    );
    (settings, prices)
}

/// `n` calls that nobody made before.
pub(crate) async fn spend(client: &Client, name: &str, n: usize) -> Answer {
    let mut last = None;
    for at in 0..n {
        let answer = client.chat_with(&ask(&format!("{name} {at}")), &WEB).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        last = Some(answer);
    }
    last.unwrap()
}

#[tokio::test]
async fn a_budget_stops_what_costs_and_nothing_else() {
    let upstream = Upstream::start().await;
    let (settings, _prices) = settings("budget_usd_per_month = 0.0005");
    let proxy = Proxy::start(&settings, &upstream).await;
    let third = spend(&proxy, "q", 3).await;
    assert_eq!(third.header("x-pegasus-budget"), "");
    let fourth = spend(&proxy, "r", 1).await;
    let told = fourth.header("x-pegasus-budget");
    let reset = told
        .strip_prefix("month; spent=0.0004; limit=0.0005; reset=")
        .unwrap();
    assert!(reset.ends_with("-01T00:00:00Z"), "{told}");
    spend(&proxy, "s", 1).await;
    let calls = upstream.calls();

    for (path, body) in [
        ("/v1/chat/completions", ask("new")),
        ("/v1/chat/completions", ask_stream("new")),
        ("/v1/embeddings", json!({"model": "m", "input": "new"})),
        ("/create", json!({"prompt": "new"})),
        ("/create/chat", json!({"message": "new"})),
    ] {
        let refused = proxy.post(path, &body, &WEB).await;
        assert_eq!(refused.status, 402, "{path}: {refused:?}");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=31 * 86_400).contains(&seconds), "{refused:?}");
        assert!(
            refused.header("x-pegasus-budget").contains("spent=0.0005;"),
            "{refused:?}"
        );
        let body = refused.json();
        let error = if path.starts_with("/v1") {
            assert_eq!(body["error"]["type"], "insufficient_quota");
            assert_eq!(body["error"]["code"], "budget_exceeded");
            &body["error"]["message"]
        } else {
            assert_eq!(
                (&body["success"], &body["code"]),
                (&json!(false), &json!("budget_exceeded"))
            );
            &body["error"]
        };
        let error = error.as_str().unwrap();
        assert!(
            error.contains("web has spent its budget of $0.0005 a month") && error.contains(reset),
            "{error}"
        );
    }
    assert_eq!(upstream.calls(), calls);
    // What is stored costs nothing, in either shape; nor does what only reads.
    let hit = spend(&proxy, "q", 1).await;
    assert_eq!(hit.header("x-cache"), "HIT");
    assert!(hit.header("x-pegasus-budget").contains("spent=0.0005;"));
    let stream = proxy
        .stream_from("/v1/chat/completions", &ask_stream("q 0"), &WEB)
        .await;
    assert_eq!((stream.status, stream.header("x-cache")), (200, "HIT"));
    let models = proxy
        .request(Method::GET, "/v1/models")
        .header("authorization", "Bearer web");
    assert_eq!(proxy.send(models).await.status, 200);
    // Nobody else has any of it.
    let other = proxy.chat_with(&ask("new"), &APP).await;
    assert_eq!((other.status, other.header("x-pegasus-budget")), (200, ""));
}

#[tokio::test]
async fn a_stream_is_paid_like_any_answer() {
    let upstream = Upstream::start().await;
    let (settings, _prices) = settings("budget_usd_per_month = 0.0001");
    let proxy = Proxy::start(&settings, &upstream).await;
    let stream = proxy
        .stream_from("/v1/chat/completions", &ask_stream("q"), &WEB)
        .await;
    assert_eq!(stream.status, 200);
    stream.all().await;
    let refused = proxy.chat_with(&ask("r"), &WEB).await;
    assert_eq!(refused.status, 402, "{refused:?}");
    assert!(refused.header("x-pegasus-budget").starts_with("month; "));
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (settings, _prices) = settings("budget_usd_per_month = 0.0003");
    let settings = format!(
        "{settings}ledger.path = {:?}",
        directory.path().join("l.db")
    );
    let proxy = Proxy::start(&settings, &upstream).await;
    spend(&proxy, "q", 2).await;
    proxy.stop().await;
    let proxy = Proxy::start(&settings, &upstream).await;
    let last = spend(&proxy, "r", 1).await;
    assert!(last.header("x-pegasus-budget").contains("spent=0.0003;"));
    proxy.stop().await;
    let proxy = Proxy::start(&settings, &upstream).await;
    assert_eq!(proxy.chat_with(&ask("s"), &WEB).await.status, 402);
    assert_eq!(upstream.calls(), 3);
}

/// The clock goes on while a proxy runs.
#[tokio::test]
async fn midnight_and_the_first_of_a_month_begin_anew() {
    for period in ["day", "month"] {
        let upstream = Upstream::start().await;
        let (settings, _prices) = settings(&format!("budget_usd_per_{period} = 0.0001"));
        let settings = format!(
            "upstream.base_url = \"http://{}/v1\"\n{settings}",
            upstream.address
        );
        let config = Config::from_toml(&settings).unwrap();
        let mut stack = stack::build(&config).unwrap();
        let hand = Arc::new(AtomicI64::new(Timestamp::now().as_millisecond()));
        let clock = Arc::clone(&hand);
        let clock = Arc::new(move || clock.load(Ordering::Relaxed));
        stack.budgets = Budgets::by(&config.auth.clients, clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        let edge = Edge::new(config, stack);
        let serving = tokio::spawn(edge::run(edge, listener, std::future::pending()));

        let spent = spend(&client, "q", 1).await;
        let (_, reset) = spent.header("x-pegasus-budget").rsplit_once('=').unwrap();
        let reset = reset.parse::<Timestamp>().unwrap().as_millisecond();
        hand.store(reset - 1, Ordering::Relaxed);
        let refused = client.chat_with(&ask("r"), &WEB).await;
        assert_eq!((refused.status, refused.header("retry-after")), (402, "1"));
        hand.store(reset, Ordering::Relaxed);
        let anew = spend(&client, "r", 1).await;
        assert_eq!(anew.header("x-pegasus-budget"), "", "{period}");
        serving.abort();
    }
}

/// Each crossing is a line in the log, and Redis's absence is one.
#[tokio::test]
async fn the_log_tells_of_each_crossing_once() {
    let upstream = Upstream::start().await;
    let (settings, _prices) = settings("budget_usd_per_month = 0.0005");
    let redis = RedisServer::absent(&[]);
    let settings = format!(
        "upstream.base_url = \"http://{}/v1\"\nledger.path = \":memory:\"\n{}{settings}",
        upstream.address,
        redis.setting()
    );
    let process = Process::start(&settings, &[], &[]).await;
    let client = Client::new(process.address());
    spend(&client, "q", 5).await;
    for _ in 0..3 {
        assert_eq!(client.chat_with(&ask("r"), &WEB).await.status, 402);
        spend(&client, "q", 5).await;
    }
    let log = process.stop().await;
    for line in [
        "80 % of a budget are used client=\"web\" period=\"month\" spent=0.0004 limit=0.0005",
        "a budget is used up: until its reset, what would cost is refused client=\"web\" period=\"month\" spent=0.0005",
        "redis does not answer: for budgets",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    assert!(!log.contains("Bearer"), "{log}");
}
