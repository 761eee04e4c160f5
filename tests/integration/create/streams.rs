//! `/create` as server-sent events.

use serde_json::{Value, json};

use super::assert_shape;
use crate::support::{Act, End, Events, Gate, Proxy, Upstream, delta, event};

async fn stream(proxy: &Proxy, path: &str, text: &str) -> Events {
    let body = json!({"prompt": text, "message": text, "stream": true});
    proxy.stream_from(path, &body, &[]).await
}

/// The events less the last one, which is text, as JSON.
fn parsed(events: &[String]) -> Vec<Value> {
    let json = events.iter().filter(|data| *data != "[DONE]");
    json.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn deltas_then_the_summary_then_done() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in ["/create", "/create/chat"] {
        // Live the first time, from the cache the second.
        for round in ["miss", "hit"] {
            let events = stream(&proxy, path, "hi").await;
            assert_eq!(events.status, 200);
            assert_eq!(events.header("content-type"), "text/event-stream");
            assert_eq!(events.header("x-cache"), round.to_uppercase());
            let all = events.all().await;
            assert_eq!(all.last().map(String::as_str), Some("[DONE]"), "{all:?}");
            let json = parsed(&all);
            let (summary, deltas) = json.split_last().unwrap();
            assert!(!deltas.is_empty());
            let text: String = deltas
                .iter()
                .map(|delta| {
                    assert_eq!(delta.as_object().unwrap().len(), 1, "{delta}");
                    delta["delta"].as_str().unwrap()
                })
                .collect();
            assert_eq!(text, "Hello.");
            assert_shape(summary, false);
            assert_eq!(summary["optimizationStats"]["cacheStatus"], round);
            assert_eq!(summary["finish_reason"], "stop");
        }
        let sent = upstream.last().json();
        assert_eq!(sent["stream"], true);
        assert_eq!(sent["stream_options"]["include_usage"], true);
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_delta_passes_at_once() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let gate = Gate::new();
    upstream.once(Act::stream().chunk(event(&delta("one"))).wait(&gate));
    let mut events = stream(&proxy, "/create", "live").await;
    // The upstream has not said more than this yet.
    assert_eq!(events.next().await.as_deref(), Some(r#"{"delta":"one"}"#));
    drop(events);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_is_not_done() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[upstream]\nread_timeout = \"200ms\"", &upstream).await;
    let begun = || Act::stream().chunk(event(&delta("half")));
    let reported = r#"{"error":{"message":"the model fell over","code":500}}"#;
    for (path, act) in [
        ("/create", begun().then(End::Close)),
        ("/create", begun().then(End::Reset)),
        ("/create", begun().then(End::Silence)),
        ("/create/chat", begun().chunk(event("[DONE]")).last_chunk()),
        ("/create/chat", begun().chunk(event(reported)).last_chunk()),
        (
            "/create/chat",
            begun().chunk(event("{not json")).last_chunk(),
        ),
    ] {
        upstream.once(act);
        let all = stream(&proxy, path, "broken").await.all().await;
        assert!(!all.contains(&"[DONE]".to_owned()), "{all:?}");
        let json = parsed(&all);
        let last = json.last().unwrap();
        assert_eq!(last["success"], false, "{all:?}");
        for text in ["error", "code", "request_id"] {
            assert!(last[text].is_string(), "{text} in {all:?}");
        }
        assert!(json.iter().all(|event| event["success"] != true), "{all:?}");
    }
}
