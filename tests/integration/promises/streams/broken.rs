//! P22: a stream that breaks says so and never looks finished, to nobody who reads it, and is not kept.

use tokio::task::yield_now;

use super::{
    Act, Door, End, Gate, Nest, ONE_ATTEMPT, STREAMS, Upstream, assert_clean, delta, ending, event,
    finish, json, open, start, within,
};

const SETTINGS: &str = "[upstream]\nread_timeout = \"300ms\"\n";

/// What may come after a good beginning, and whether whole callers are told that it was too slow.
fn breaks() -> Vec<(&'static str, Act, bool)> {
    let reported = json!({"error": {"message": "overloaded", "code": 529}}).to_string();
    let named = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let bare = "event: error\ndata: {\"message\":\"overloaded\"}\n\n";
    let second_choice =
        event("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}");
    let begun = Act::stream;
    vec![
        ("cut", begun().then(End::Close), false),
        ("reset", begun().then(End::Reset), false),
        ("half closed", begun().then(End::HalfClose), false),
        ("stalled", begun().then(End::Silence), true),
        (
            "stalled in an event",
            begun().chunk("data: {\"choices\":[").then(End::Silence),
            true,
        ),
        (
            "stalled in a chunk",
            begun().send("40\r\ndata: {").then(End::Silence),
            true,
        ),
        ("ended without a reason", begun().last_chunk(), false),
        (
            "done without a reason",
            begun().chunk(event("[DONE]")).last_chunk(),
            false,
        ),
        (
            "ended in an event",
            begun().chunk("data: {\"id\":\"x\",\"cho").last_chunk(),
            false,
        ),
        (
            "ended in a character",
            begun().chunk(delta_of_cut_character()).last_chunk(),
            false,
        ),
        (
            "a null reason",
            begun()
                .chunk(
                    event("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":null}]}")
                        + &event("[DONE]"),
                )
                .last_chunk(),
            false,
        ),
        (
            "an error event",
            begun()
                .chunk(event(&reported) + &event("[DONE]"))
                .last_chunk(),
            false,
        ),
        (
            "an error event, then a good end",
            begun().chunk(event(&reported) + &ending()).last_chunk(),
            false,
        ),
        (
            "an error event by name",
            begun().chunk(named.to_owned() + &ending()).last_chunk(),
            false,
        ),
        (
            "an error event by name alone",
            begun().chunk(bare.to_owned() + &ending()).last_chunk(),
            false,
        ),
        (
            "an error as the reason",
            begun()
                .chunk(event(&finish("error")) + &event("[DONE]"))
                .last_chunk(),
            false,
        ),
        (
            "no JSON",
            begun().chunk(event("oops") + &ending()).last_chunk(),
            false,
        ),
        (
            "an HTML page",
            begun()
                .chunk(event("<html>502 Bad Gateway</html>") + &ending())
                .last_chunk(),
            false,
        ),
        (
            "a broken chunk",
            begun().send("zz\r\n").then(End::Close),
            false,
        ),
        (
            "a second choice without an end",
            begun().chunk(second_choice + &ending()).last_chunk(),
            false,
        ),
    ]
}

fn delta_of_cut_character() -> Vec<u8> {
    let mut event = event(&delta("😀")).into_bytes();
    let at = event.iter().position(|byte| *byte == 0xf0).unwrap();
    event.truncate(at + 2);
    event
}

/// A beginning that is good, then this.
fn after_once(act: Act) -> Act {
    act.beginning_with(event(&delta("Once")))
}

#[tokio::test]
async fn p22_a_broken_stream_never_looks_finished() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for (fault, act, is_slow) in breaks() {
        let act = after_once(act);
        for door in Door::ALL {
            let what = format!("{fault}, {door:?}");
            upstream.once(act.clone());
            let before = upstream.calls();
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_failure(&what);
            if door.streams() {
                let has_begun = outcome.status == 200 && outcome.text.starts_with("Once");
                assert!(has_begun, "{what}: {outcome:?}");
                assert_clean(&outcome, &what);
            } else {
                let status = if is_slow { 504 } else { 502 };
                assert_eq!(outcome.status, status, "{what}: {outcome:?}");
            }
            assert_eq!(upstream.calls() - before, 1, "{what}");
            // The next one who asks gets a good answer, and not from the cache.
            let again = door.ask(&nest, &what).await;
            again.assert_answer("Hello.", &what);
            assert_eq!(again.header("x-cache"), "MISS", "{what}");
        }
    }
}

#[tokio::test]
async fn p22_a_stream_that_never_begins_is_an_error_by_its_status() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for (fault, act, status) in [
        ("no head", Act::only(End::Silence), 504),
        (
            "half a head",
            Act::bytes("HTTP/1.1 200 OK\r\n").then(End::Silence),
            504,
        ),
        ("a head and silence", Act::stream().then(End::Silence), 504),
        ("a head and a cut", Act::stream().then(End::Close), 502),
        ("a head and a reset", Act::stream().then(End::Reset), 502),
        ("a reset", Act::only(End::Reset), 502),
        ("a close", Act::only(End::Close), 502),
    ] {
        upstream.set(act);
        for door in Door::ALL {
            let what = format!("{fault}, {door:?}");
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_refused(&what);
            assert_eq!(outcome.status, status, "{what}: {outcome:?}");
        }
    }
}

/// Waits until so many callers share calls.
async fn wait_for_callers(nest: &Nest, number: u64) {
    within("the callers of the shared call", async {
        loop {
            let stats = nest.get("/api/optimization-stats").await.json();
            if stats["dedup"]["callers"] == number {
                return;
            }
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn p22_all_who_share_a_broken_stream_are_told() {
    for (fault, act, is_slow) in breaks() {
        for leader in [Door::ChatStream, Door::CreateStream] {
            let whole = if leader == Door::ChatStream {
                Door::Chat
            } else {
                Door::Create
            };
            let upstream = Upstream::start().await;
            // Short only where it is needed: everybody finds their seat in it.
            let patience = if is_slow {
                "[upstream]\nread_timeout = \"1s\""
            } else {
                ""
            };
            let nest = Nest::with(&upstream, &format!("{ONE_ATTEMPT}{patience}")).await;
            let gate = Gate::new();
            upstream.once(after_once(act.clone().held_after_head(&gate)));
            let mut first = open(&nest, leader, "shared", &[]).await;
            first.next().await.unwrap();
            let (second, third, ()) = tokio::join!(
                leader.ask(&nest, "shared"),
                whole.ask(&nest, "shared"),
                async {
                    wait_for_callers(&nest, 3).await;
                    gate.open();
                }
            );
            let what = format!("{fault}, {leader:?}");
            let rest = first.all().await;
            let last = rest
                .last()
                .unwrap_or_else(|| panic!("{what}: nothing more"));
            assert!(
                last.contains("\"error\"") && !rest.contains(&"[DONE]".to_owned()),
                "{what}: {rest:?}"
            );
            second.assert_failure(&what);
            assert!(second.text.starts_with("Once"), "{what}: {second:?}");
            let status = if is_slow { 504 } else { 502 };
            third.assert_failure(&what);
            // A whole caller of /create asks its own question where its limit of tokens differs, never an answer of it.
            assert_eq!(third.status, status, "{what}: {third:?}");
            assert_eq!(upstream.calls(), 1, "{what}");
            for door in [leader, whole] {
                door.ask(&nest, "shared")
                    .await
                    .assert_answer("Hello.", &what);
            }
            assert_eq!(upstream.calls(), 2, "{what}");
        }
    }
}

#[tokio::test]
async fn p22_a_forwarded_stream_that_breaks_is_broken_off() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for end in [End::Close, End::Reset, End::HalfClose, End::Silence] {
        upstream.set(Act::stream().chunk(event(&delta("Once"))).then(end));
        let request = nest
            .request(http::Method::POST, "/v1/completions")
            .header("content-type", "application/json")
            .body(json!({"model": "m", "prompt": "x", "stream": true}).to_string());
        let mut response = within("the head", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut received = Vec::new();
        let broken = loop {
            match within("the next piece", response.chunk()).await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(
            broken,
            "{end:?}: it looks complete: {}",
            String::from_utf8_lossy(&received)
        );
        assert_eq!(received, event(&delta("Once")).as_bytes(), "{end:?}");
    }
}

#[tokio::test]
async fn p22_what_breaks_while_nobody_reads_is_not_kept() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for door in STREAMS {
        let gate = Gate::new();
        let act = Act::stream()
            .chunk(event(&delta("Once")))
            .wait(&gate)
            .chunk(ending())
            .last_chunk();
        upstream.once(act);
        let mut events = open(&nest, door, &format!("{door:?}"), &[]).await;
        events.next().await.unwrap();
        let hang_ups = upstream.counts().hang_ups;
        drop(events);
        upstream
            .wait_for("the hang-up", |now| now.hang_ups > hang_ups)
            .await;
        gate.open();
        let again = door.ask(&nest, &format!("{door:?}")).await;
        again.assert_answer("Hello.", &format!("{door:?}"));
        assert_eq!(again.header("x-cache"), "MISS", "{door:?}");
    }
}
