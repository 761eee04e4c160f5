//! Several answers to one question, dealt out in turn.

use super::failures::circuit_open;
use super::*;

const SETTINGS: &str = "cache.variants = 3\ncache.ttl = \"10s\"\ncache.stale_if_error = \"100s\"";

/// Asks so many times, one after the other.
async fn texts(house: &House, ask: &Ask, times: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..times {
        texts.push(house.ask(ask).await.0);
    }
    texts
}

#[tokio::test(start_paused = true)]
async fn three_misses_then_hits_in_turn() {
    for streams in [false, true] {
        let house = House::new(SETTINGS);
        let ask = Ask::new().streaming(streams);
        let one_to_three = ["answer 1", "answer 2", "answer 3"];
        assert_eq!(texts(&house, &ask, 3).await, one_to_three);
        // Either shape takes part in the same turns.
        for ask in [&ask, &Ask::new().streaming(!streams)] {
            for text in one_to_three {
                assert_eq!(house.ask(ask).await, got(text, "hit; ttl=10"));
            }
        }
        assert_eq!((house.calls(), house.store.memory.len()), (3, 3));
        // Another question has turns of its own.
        let other = Ask::about("r").streaming(streams);
        assert_eq!(texts(&house, &other, 2).await, ["answer 4", "answer 5"]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_variant_is_a_flight_of_its_own() {
    for streams in [false, true] {
        let house = House::new(SETTINGS);
        house.upstream.hold(true);
        let ask = Ask::new().streaming(streams);
        let release = async {
            house.settle().await;
            assert_eq!(house.calls(), 3);
            house.upstream.hold(false);
        };
        let (answers, ()) = tokio::join!(house.ask_at_once(9, &ask), release);
        for (turn, text) in ["answer 1", "answer 2", "answer 3"].into_iter().enumerate() {
            let of_turn: Vec<_> = answers.iter().skip(turn).step_by(3).collect();
            let led = if streams {
                "fwd=miss"
            } else {
                "fwd=miss; stored"
            };
            let joined = got(text, "fwd=miss; collapsed");
            assert_eq!(of_turn, [&got(text, led), &joined, &joined]);
        }
        assert_eq!(house.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_upstream_fails_another_answer_is_given() {
    let house = House::new(SETTINGS);
    house.ask(&Ask::new()).await;
    house.upstream.set(Act::Status(503));
    for _ in 0..5 {
        let other = got("answer 1", "hit; ttl=10");
        assert_eq!(house.ask(&Ask::new()).await, other);
    }
    // The client's own bounds hold for that one, too.
    advance(seconds(5)).await;
    let bounded = Ask::new().control("max-age=4");
    assert_eq!(house.ask(&bounded).await, got("503", "fwd=miss"));
    // What is stale is named so, whatever the failure.
    advance(seconds(10)).await;
    for (failure, how) in [
        (
            Act::Status(503),
            "fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error",
        ),
        (
            Act::Fail(circuit_open()),
            "fwd=stale; ttl=-5; detail=circuit-open",
        ),
    ] {
        house.upstream.set(failure);
        for _ in 0..3 {
            assert_eq!(house.ask(&Ask::new()).await, got("answer 1", how));
        }
    }
    // Failures that are the client's own are not hidden.
    house.upstream.set(Act::Status(400));
    assert_eq!(house.ask(&Ask::new()).await, got("400", "fwd=miss"));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_answer_is_given_rather_than_ones_own_stale_one() {
    let house = House::new(SETTINGS);
    house.ask(&Ask::new()).await;
    advance(seconds(15)).await;
    house.ask(&Ask::new()).await;
    house.upstream.set(Act::Status(503));
    // The third is missing, the first stale.
    for _ in 0..3 {
        let fresh = got("answer 2", "hit; ttl=10");
        assert_eq!(house.ask(&Ask::new()).await, fresh);
    }
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_takes_whichever_there_is() {
    let house = House::new(SETTINGS);
    let cached = Ask::new().control("only-if-cached");
    assert_eq!(house.ask(&cached).await, got("only_if_cached", ""));
    assert_eq!(house.ask(&Ask::new()).await.0, "answer 1");
    for _ in 0..3 {
        assert_eq!(house.ask(&cached).await, got("answer 1", "hit; ttl=10"));
    }
    advance(seconds(15)).await;
    for _ in 0..3 {
        assert_eq!(house.ask(&cached).await, got("only_if_cached", ""));
        let any = Ask::new().control("only-if-cached, max-stale");
        let stale = got("answer 1", "hit; ttl=-5; detail=max-stale");
        assert_eq!(house.ask(&any).await, stale);
    }
    assert_eq!(house.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_variant_is_refreshed_for_itself() {
    let settings = format!("{SETTINGS}\ncache.stale_while_revalidate = \"60s\"");
    for streams in [false, true] {
        let house = House::new(&settings);
        let ask = Ask::new().streaming(streams);
        texts(&house, &ask, 2).await;
        advance(seconds(15)).await;
        // The third has no answer yet, and is asked for.
        assert_eq!(texts(&house, &ask, 1).await, ["answer 3"]);
        assert_eq!(texts(&house, &ask, 2).await, ["answer 1", "answer 2"]);
        house.settle().await;
        assert_eq!((house.calls(), house.metrics.refreshes.get()), (5, 2));
        let new = ["answer 3", "answer 4", "answer 5"];
        assert_eq!(texts(&house, &ask, 3).await, new);
        // Without a call, what is stale of the others is good enough.
        let of_model = Filter {
            older_than: Some(Duration::from_millis(1)),
            ..Filter::default()
        };
        assert_eq!(house.store.clear(&of_model).await.answers, 3);
        house.ask(&ask).await;
        advance(seconds(15)).await;
        let cached = ask.control("only-if-cached");
        let stale = "hit; ttl=-5; detail=stale-while-revalidate";
        for _ in 0..3 {
            assert_eq!(house.ask(&cached).await, got("answer 6", stale));
        }
        house.settle().await;
        assert_eq!(house.calls(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn who_keeps_out_of_the_cache_takes_no_turn() {
    let house = House::new(SETTINGS);
    texts(&house, &Ask::new(), 3).await;
    house.ask(&Ask::new().control("no-store")).await;
    assert_eq!(house.ask(&Ask::new()).await.0, "answer 1");
    // A new answer of one's own takes the place of the next.
    let own = Ask::new().control("no-cache");
    assert_eq!(house.ask(&own).await.0, "answer 5");
    let now = ["answer 3", "answer 1", "answer 5"];
    assert_eq!(texts(&house, &Ask::new(), 3).await, now);
}
