//! P20: what has left the upstream is with the client before the upstream says more.

use super::{Act, Door, Gate, STREAMS, Upstream, delta, ending, event, json, open, start, text_in};

/// As many separate arrivals.
const PIECES: usize = 8;

/// A stream that says a piece and then waits for its gate, again and again.
fn gated() -> (Act, Vec<Gate>) {
    let gates: Vec<_> = (0..PIECES).map(|_| Gate::new()).collect();
    let act = gates
        .iter()
        .enumerate()
        .fold(Act::stream(), |act, (at, gate)| {
            act.chunk(event(&delta(&format!("piece {at} ")))).wait(gate)
        });
    (act.chunk(ending()).last_chunk(), gates)
}

/// What clients say of encodings; whatever it is, a stream is not held back to be compressed.
const OFFERS: [&[(&str, &str)]; 4] = [
    &[],
    &[("accept-encoding", "gzip")],
    &[
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept", "text/event-stream"),
    ],
    &[
        ("accept-encoding", "gzip;q=1.0, identity;q=0"),
        ("accept", "*/*"),
    ],
];

#[tokio::test]
async fn p20_each_token_is_there_before_the_next_one_has_left() {
    let (upstream, nest) = start("").await;
    for door in STREAMS {
        for (number, offer) in OFFERS.into_iter().enumerate() {
            let what = format!("{door:?} {offer:?}");
            let (act, gates) = gated();
            upstream.once(act);
            let mut events = open(&nest, door, &format!("{door:?} {number}"), offer).await;
            assert_eq!(
                (events.status, events.header("content-encoding")),
                (200, ""),
                "{what}"
            );
            for (at, gate) in gates.iter().enumerate() {
                // The upstream has not been let any further.
                let event = events.next().await.unwrap();
                assert_eq!(text_in(&event), format!("piece {at} "), "{what}");
                gate.open();
            }
            assert_eq!(events.all().await.last().unwrap(), "[DONE]", "{what}");
        }
    }
}

#[tokio::test]
async fn p20_a_follower_gets_each_token_at_once_as_well() {
    let (upstream, nest) = start("").await;
    let (act, gates) = gated();
    upstream.once(act);
    let mut leader = open(&nest, Door::ChatStream, "shared", &[]).await;
    let mut follower = open(
        &nest,
        Door::ChatStream,
        "shared",
        &[("accept-encoding", "gzip")],
    )
    .await;
    assert_eq!(follower.header("x-cache"), "COALESCED");
    for (at, gate) in gates.iter().enumerate() {
        for events in [&mut leader, &mut follower] {
            assert_eq!(
                text_in(&events.next().await.unwrap()),
                format!("piece {at} ")
            );
        }
        gate.open();
    }
    assert_eq!(leader.all().await, follower.all().await);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn p20_half_an_event_is_not_held_against_the_whole_ones_before_it() {
    let (upstream, nest) = start("").await;
    for door in STREAMS {
        let gate = Gate::new();
        let second = event(&delta("second"));
        let (before, after) = second.split_at(second.len() / 2);
        let act = Act::stream()
            .chunk(event(&delta("first")) + before)
            .wait(&gate)
            .chunk(after.to_owned() + &ending())
            .last_chunk();
        upstream.once(act);
        let mut events = open(&nest, door, &format!("{door:?}"), &[]).await;
        assert_eq!(text_in(&events.next().await.unwrap()), "first", "{door:?}");
        gate.open();
        assert_eq!(text_in(&events.next().await.unwrap()), "second", "{door:?}");
        assert_eq!(events.all().await.last().unwrap(), "[DONE]", "{door:?}");
    }
}

#[tokio::test]
async fn p20_a_stream_ends_when_it_is_done_though_its_connection_does_not() {
    let (upstream, nest) = start("").await;
    for door in STREAMS {
        for (how, act) in [
            (
                "silence",
                Act::stream()
                    .chunk(event(&delta("all")))
                    .chunk(ending())
                    .then(super::End::Silence),
            ),
            (
                "a flood",
                Act::stream()
                    .chunk(event(&delta("all")))
                    .chunk(ending())
                    .flood(": on and on\n".repeat(500)),
            ),
        ] {
            let what = format!("{how}, {door:?}");
            upstream.once(act);
            door.ask(&nest, &what).await.assert_answer("all", &what);
            assert_eq!(
                door.ask(&nest, &what).await.header("x-cache"),
                "HIT",
                "{what}"
            );
        }
    }
    // Nobody reads that connection for ever, nor uses it again.
    let doors = STREAMS.len();
    upstream
        .wait_for("the hang-ups", |now| now.hang_ups == 2 * doors)
        .await;
}

#[tokio::test]
async fn p20_a_forwarded_stream_is_not_held_back_either() {
    let upstream = Upstream::start().await;
    let nest = super::Nest::start(&upstream).await;
    for path in ["/v1/completions", "/v1/responses", "/v1/messages"] {
        for offer in OFFERS {
            let what = format!("{path} {offer:?}");
            let (act, gates) = gated();
            upstream.once(act);
            let body = json!({"model": "m", "input": "x", "stream": true});
            let mut events = nest.stream_from(path, &body, offer).await;
            assert_eq!(
                (events.status, events.header("content-encoding")),
                (200, ""),
                "{what}"
            );
            // It goes as it came.
            assert_eq!(
                events.header("content-type"),
                "text/event-stream; charset=utf-8",
                "{what}"
            );
            for (at, gate) in gates.iter().enumerate() {
                let event = events.next().await.unwrap();
                assert_eq!(event, delta(&format!("piece {at} ")), "{what}");
                gate.open();
            }
            assert_eq!(events.all().await.last().unwrap(), "[DONE]", "{what}");
        }
    }
}
