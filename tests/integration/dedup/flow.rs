//! How chunks flow from one upstream call to many readers.

use super::{
    Act, End, Gate, Proxy, Upstream, ask, ask_stream, delta, end_of, event, finish, start, text_of,
    wait_for_requests,
};

#[tokio::test]
async fn a_late_joiner_gets_everything() {
    let (upstream, proxy) = start().await;
    let gate = Gate::new();
    let act = (0..20)
        .fold(Act::stream(), |act, n| {
            act.chunk(event(&delta(&format!("{n} "))))
        })
        .wait(&gate)
        .chunk(event(&delta("end")) + &event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let mut leader = proxy.stream(&ask_stream("q")).await;
    let mut first = Vec::new();
    for _ in 0..20 {
        first.push(leader.next().await.unwrap());
    }
    let mut late = proxy.stream(&ask_stream("q")).await;
    assert_eq!(late.header("x-cache"), "COALESCED");
    let mut again = Vec::new();
    for _ in 0..20 {
        again.push(late.next().await.unwrap());
    }
    assert_eq!(again, first);
    gate.open();
    first.extend(leader.all().await);
    again.extend(late.all().await);
    assert_eq!(again, first);
    assert_eq!(first.last().unwrap(), "[DONE]");
    assert!(text_of(&first).ends_with("19 end"));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_slow_follower_does_not_hold_the_others() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("upstream.max_response_bytes = \"512MiB\"", &upstream).await;
    let gate = Gate::new();
    // Far more than all socket buffers and the proxy's own lead together.
    let piece = "x".repeat(64 * 1024);
    let act = (0..512)
        .fold(Act::stream().wait(&gate), |act, _| {
            act.chunk(event(&delta(&piece)))
        })
        .chunk(event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let request = ask_stream("q");
    let slow = tokio::join!(proxy.stream(&request), async {
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        gate.open();
    })
    .0;
    let fast = proxy.stream(&ask_stream("q")).await;
    assert_eq!(end_of(fast).await.len(), 512 * piece.len());
    // What it did not take in time it still gets.
    assert_eq!(end_of(slow).await.len(), 512 * piece.len());
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn an_endless_stream_with_one_slow_reader_is_held_back() {
    let (upstream, proxy) = start().await;
    let piece = event(&delta(&"x".repeat(16 * 1024)));
    upstream.once(Act::stream().flood(&piece));
    let mut slow = proxy.stream(&ask_stream("q")).await;
    slow.next().await.unwrap();
    // As long as other requests take many turns on the same thread, whatever could flow has flowed.
    let mut written = 0;
    let mut still = 0;
    while still < 50 {
        for number in 0..4 {
            let answer = proxy
                .chat(&ask(&format!("{written} {still} {number}")))
                .await;
            assert_eq!(answer.status, 200);
        }
        let now = upstream.counts().written;
        // The other answers write a little, too.
        still = if now - written < 16 * 1024 {
            still + 1
        } else {
            0
        };
        written = now;
        assert!(written < 64 << 20, "nothing holds the upstream back");
    }
    assert!(written < SOCKET_BUFFERS + (8 << 20), "{written} bytes");
    assert_eq!(upstream.counts().hang_ups, 0);
    drop(slow);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
}

/// What two connections hold at most by themselves: 6 MiB to read and 4 MiB to write each, as Linux sizes
/// its buffers.
const SOCKET_BUFFERS: usize = 20 << 20;

#[tokio::test]
async fn a_joiner_of_a_broken_stream_is_told_as_well() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let gate = Gate::new();
    upstream.once(
        Act::stream()
            .chunk(event(&delta("Hel")))
            .wait(&gate)
            .then(End::Close),
    );
    let leader = proxy.stream(&ask_stream("q")).await;
    let follower = proxy.stream(&ask_stream("q")).await;
    let request = ask("q");
    let (whole, ()) = tokio::join!(proxy.chat(&request), async {
        wait_for_requests(&proxy, 3).await;
        gate.open();
    });
    assert_eq!(whole.status, 502);
    for events in [leader.all().await, follower.all().await] {
        assert_eq!(text_of(&events), "Hel");
        assert!(events.last().unwrap().contains("\"error\""), "{events:?}");
    }
    assert_eq!(proxy.chat(&ask("q")).await.text(), "Hello.");
}

#[tokio::test]
async fn all_whole_callers_of_a_stream_get_the_same_body() {
    let usage = "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\
        \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}";
    for reported in ["", &event(usage)] {
        let (upstream, proxy) = start().await;
        let gate = Gate::new();
        let act = Act::stream()
            .chunk(event(&delta("Hel")))
            .wait(&gate)
            .chunk(event(&delta("lo.")) + &event(&finish("stop")) + reported + &event("[DONE]"))
            .last_chunk();
        upstream.once(act);
        let leader = proxy.stream(&ask_stream("q")).await;
        let follower = proxy.stream(&ask_stream("q")).await;
        let request = ask("q");
        let whole = futures_util::future::join_all((0..3).map(|_| proxy.chat(&request)));
        let release = async {
            wait_for_requests(&proxy, 5).await;
            gate.open();
        };
        let (whole, ()) = tokio::join!(whole, release);
        assert_eq!(end_of(leader).await, "Hello.");
        assert_eq!(end_of(follower).await, "Hello.");
        assert_eq!(upstream.calls(), 1);
        let kept = proxy.chat(&request).await;
        assert_eq!(kept.header("x-cache"), "HIT");
        for answer in whole {
            assert_eq!(answer.header("x-cache"), "COALESCED");
            assert_eq!(answer.text(), "Hello.");
            assert!(answer.json()["usage"]["total_tokens"].as_u64() > Some(0));
            assert_eq!(answer.body, kept.body);
        }
    }
}
