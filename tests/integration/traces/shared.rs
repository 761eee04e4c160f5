//! The spans of requests that share a call, of streams, and of calls behind stale answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::support::{
    Act, Gate, ask, ask_stream, completion, delta, event, finish, text_of, within,
};

const PROMPT: &str = "Why do larks sing at four in the morning?";

#[tokio::test]
async fn a_follower_points_to_the_call_of_its_leader() {
    let site = Site::start("").await;
    let gate = Gate::new();
    let act = Act::response(
        200,
        &[
            ("content-type", "application/json"),
            ("traceresponse", "00-the-leaders-own"),
        ],
        completion("Shared.").to_string(),
    );
    site.upstream.set(act.after(&gate));
    let other = TRACE.replace('4', "5");
    let parents = [recorded(), format!("00-{other}-{PARENT}-01")];
    let [first, second] = [0, 1].map(|at| [("traceparent", parents[at].as_str())]);
    let (proxy, question) = (&site.proxy, ask(PROMPT));
    let leader = proxy.chat_with(&question, &first);
    let follower = async {
        site.upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        let landing = async {
            joined(proxy).await;
            gate.open();
        };
        tokio::join!(proxy.chat_with(&question, &second), landing).0
    };
    let (leader, follower) = tokio::join!(leader, follower);
    assert_eq!(leader.header("x-cache"), "MISS");
    assert_eq!(leader.header("traceresponse"), "00-the-leaders-own");
    assert_eq!(follower.header("x-cache"), "COALESCED");
    assert_eq!(follower.header("traceresponse"), "");
    let sent = site.upstream.requests();
    let spans = site.end().await;
    let (leaders, followers) = (of(TRACE, &spans), of(&other, &spans));
    assert_eq!(
        tree(&followers),
        "POST /v1/chat/completions [cache, compress, dedup]"
    );
    let (flight, joined) = (one(&leaders, "dedup"), one(&followers, "dedup"));
    assert_eq!(joined.says("pegasus.dedup.role"), "follower");
    assert_eq!(joined.links, [(TRACE.to_owned(), flight.id.clone())]);
    assert!(flight.links.is_empty());
    let server = one(&followers, "POST /v1/chat/completions");
    assert_eq!(server.says("pegasus.cache.status"), "coalesced");
    // What goes up is the leader's.
    let [sent] = &*sent else { panic!("{sent:?}") };
    let attempt = one(&leaders, "POST");
    assert_eq!(
        sent.header("traceparent"),
        format!("00-{TRACE}-{}-01", attempt.id)
    );
}

/// Waits until two requests share a call.
async fn joined(proxy: &Proxy) {
    within("a joined call", async {
        loop {
            let metrics = proxy.get("/metrics").await;
            let text = String::from_utf8(metrics.body.to_vec()).unwrap();
            if text.contains("pegasus_nest_dedup_callers 2") {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_streams_spans_end_with_its_last_event() {
    let site = Site::start("").await;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4}}});
    let gate = Gate::new();
    site.upstream.set(
        Act::stream()
            .chunk(event(&delta("Larks ")))
            .wait(&gate)
            .chunk(event(&delta("sing.")))
            .chunk(event(&finish("length")))
            .chunk(event(&usage.to_string()))
            .chunk(event("[DONE]"))
            .last_chunk(),
    );
    let mut events = site.proxy.stream(&ask_stream(PROMPT)).await;
    events.next().await.unwrap();
    let opened = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    gate.open();
    assert_eq!(text_of(&events.all().await), "sing.");
    let spans = site.end().await;
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker [chat m [POST]]]]"
    );
    let call = one(&spans, "chat m");
    assert_says(
        call,
        &json!({"gen_ai.request.stream": true, "gen_ai.response.finish_reasons": ["length"], "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 4}),
    );
    let waited = call.says("gen_ai.response.time_to_first_chunk");
    let lasted = Duration::from_nanos(call.ended - call.begun).as_secs_f64();
    assert!(
        waited.as_f64().is_some_and(|waited| waited <= lasted),
        "{waited} {lasted}"
    );
    for span in &spans {
        assert!(
            !span.has_failed && span.says("pegasus.cancelled").is_null(),
            "{span:?}"
        );
        let is_short = ["cache", "compress"].contains(&&*span.name);
        assert_eq!(u128::from(span.ended) < opened, is_short, "{span:?}");
    }
}

#[tokio::test]
async fn a_refresh_is_below_the_request_that_asked_for_it() {
    let settings = "[cache]\nttl = \"1ms\"\nstale_while_revalidate = \"1h\"\n";
    let site = Site::start(settings).await;
    site.proxy.chat(&ask(PROMPT)).await;
    let parent = recorded();
    let headers = [("traceparent", parent.as_str())];
    while site
        .proxy
        .chat_with(&ask(PROMPT), &headers)
        .await
        .header("x-cache")
        != "STALE"
    {}
    site.upstream
        .wait_for("the refresh", |counts| {
            counts.calls == 2 && counts.busy == 0
        })
        .await;
    let sent = site.upstream.last();
    let spans = site.end().await;
    let spans = of(TRACE, &spans);
    let refresh = one(&spans, "refresh");
    let of: Vec<_> = spans
        .iter()
        .filter(|span| span.id == refresh.parent)
        .collect();
    assert_eq!(of[0].says("pegasus.cache.status"), "stale");
    assert!(
        tree(&spans).contains("refresh [dedup [breaker [chat m [POST]]]]"),
        "{}",
        tree(&spans)
    );
    assert_eq!(
        sent.header("traceparent"),
        format!("00-{TRACE}-{}-01", one(&spans, "POST").id)
    );
}
