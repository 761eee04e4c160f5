//! The gap between a cache miss and joining a flight: an earlier flight may land in it, and must be found.
//!
//! The gap is a microsecond wide. More threads than cores let the scheduler stop callers in it now and then.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use pegasus_nest::config::Config;
use pegasus_nest::fingerprint::Scope;
use pegasus_nest::json::Json;
use pegasus_nest::reply::Reply;
use pegasus_nest::request::{CacheControl, Chat, Content, Parts, ProxyRequest, Route};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::support::{Proxy, Upstream, ask, ask_stream, text_of, within};

const KEYS: usize = 400;
const CALLERS: usize = 8;
/// Fewer than the backlog of a listener holds: beyond it, the kernel lets new connections wait for seconds.
const AT_ONCE: usize = 50 * CALLERS;
const SETTINGS: &str = "cache.max_entries = 100000";
/// As many rounds as fit: the gap is narrow.
const FOR: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn identical_requests_are_one_call_however_they_fall() {
    race(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn identical_requests_are_one_call_in_both_shapes() {
    race(true).await;
}

async fn race(half_stream: bool) {
    // Two sockets a caller and some for the upstream: more than a shell allows by itself.
    rlimit::increase_nofile_limit(16_384).unwrap();
    let upstream = Upstream::start().await;
    upstream.script(|request| request.answer(&request.prompt()));
    let proxy = Arc::new(Proxy::start(SETTINGS, &upstream).await);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let mut round = 0;
    while round == 0 || begun.elapsed() < FOR {
        let mut callers = JoinSet::new();
        for number in 0..KEYS * CALLERS {
            let proxy = Arc::clone(&proxy);
            let prompt = format!("{round}/{}", number / CALLERS);
            let streams = half_stream && number % 2 == 0;
            let room = Arc::clone(&room);
            callers.spawn(async move {
                let _place = room.acquire().await.unwrap();
                let text = if streams {
                    text_of(&proxy.stream(&ask_stream(&prompt)).await.all().await)
                } else {
                    proxy.chat(&ask(&prompt)).await.text()
                };
                assert_eq!(text, prompt);
            });
        }
        within("all callers of a round", callers.join_all()).await;
        round += 1;
        assert_eq!(upstream.calls(), round * KEYS, "after {round} rounds");
    }
}

/// All at once, which no listener's backlog would hold: straight into the stack.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn four_hundred_keys_by_eight_at_once() {
    let upstream = Upstream::start().await;
    upstream.script(|request| request.answer(&request.prompt()));
    let settings = format!(
        "{SETTINGS}\n[upstream]\nbase_url = \"http://{}/v1\"",
        upstream.address
    );
    let stack = pegasus_nest::stack::build(&Config::from_toml(&settings).unwrap()).unwrap();
    for round in 1..=25 {
        let mut callers = JoinSet::new();
        let gate = Arc::new(Barrier::new(KEYS * CALLERS));
        for number in 0..KEYS * CALLERS {
            let (service, gate) = (stack.service.clone(), Arc::clone(&gate));
            let request = request(&ask(&format!("{round}/{}", number / CALLERS)));
            callers.spawn(async move {
                gate.wait().await;
                let Ok(Reply::Whole(whole)) = service.oneshot(request).await else {
                    panic!("no whole reply");
                };
                whole.head.status
            });
        }
        let statuses = within("all callers of a round", callers.join_all()).await;
        assert!(statuses.iter().all(|status| *status == 200));
        assert_eq!(upstream.calls(), round * KEYS, "after {round} rounds");
    }
}

fn request(body: &serde_json::Value) -> ProxyRequest {
    let json = Json::parse(body.to_string().into()).unwrap();
    let parts = Parts {
        route: Route::ChatCompletions,
        method: Method::POST,
        path: "/chat/completions".into(),
        headers: HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]),
        authorization: None,
        scope: Scope::Anonymous,
        cache_control: CacheControl::default(),
        ttl: Duration::from_hours(1),
        level: None,
        deadline: Instant::now() + Duration::from_secs(30),
        account: Arc::default(),
        asks_for_usage: false,
        refuses_overflow: false,
    };
    ProxyRequest::new(parts, Content::Chat(Box::new(Chat::new(json, &[]))))
}
