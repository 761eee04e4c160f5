//! A stale answer at once, and one call behind it that brings a new one (RFC 5861 section 3).

use super::*;

/// Fresh for 10 s, and given for 60 s more while a new answer is brought.
const SETTINGS: &str =
    "cache.ttl = \"10s\"\ncache.stale_while_revalidate = \"60s\"\ncache.stale_if_error = \"0s\"";
const WITHOUT_DEDUP: &str = "dedup.enabled = false\ncache.ttl = \"10s\"\ncache.stale_while_revalidate = \"60s\"\ncache.stale_if_error = \"0s\"";

/// A house with an answer that has been stale for 5 s.
async fn with_stale_answer(settings: &str) -> House {
    let house = House::new(settings);
    house.ask(&Ask::new()).await;
    advance(seconds(15)).await;
    house
}

/// The first answer, so long past its life, while a new one is brought.
fn stale(late: u64) -> Got {
    let status = format!("hit; ttl=-{late}; detail=stale-while-revalidate");
    got("answer 1", &status)
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_comes_at_once_and_one_refresh_brings_the_next() {
    for settings in [SETTINGS, WITHOUT_DEDUP] {
        for streams in [false, true] {
            let house = with_stale_answer(settings).await;
            let ask = Ask::new().streaming(streams);
            house.upstream.hold(true);
            assert_eq!(house.ask_at_once(50, &ask).await, vec![stale(5); 50]);
            house.settle().await;
            // Neither do those start another who come later, in whatever shape.
            let other = Ask::new().streaming(!streams);
            assert_eq!(house.ask(&other).await, stale(5));
            house.settle().await;
            assert_eq!((house.calls(), house.metrics.refreshes.get()), (2, 1));

            house.upstream.hold(false);
            house.settle().await;
            // A millisecond old.
            for ask in [&ask, &other] {
                assert_eq!(house.ask(ask).await, got("answer 2", "hit; ttl=9"));
            }
            assert_eq!(house.calls(), 2);
            // The next time it is the same.
            advance(seconds(10)).await;
            let again = got("answer 2", "hit; ttl=0; detail=stale-while-revalidate");
            assert_eq!(house.ask(&ask).await, again);
            house.settle().await;
            assert_eq!(house.ask(&ask).await.0, "answer 3");
            assert_eq!(house.metrics.refreshes.get(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_stale_answer_until_the_window_is_over() {
    let failures = [
        Act::Status(503),
        Act::Status(400),
        Act::Fail(ProxyError::Unreachable("why".into())),
        Act::Cut,
    ];
    for settings in [SETTINGS, WITHOUT_DEDUP] {
        for failure in &failures {
            let house = with_stale_answer(settings).await;
            let ask = Ask::new().streaming(matches!(failure, Act::Cut));
            house.upstream.set(failure.clone());
            // A second after a failure it is tried again, for whoever asks first.
            for (calls, age) in [(1, 5), (2, 6), (3, 7)] {
                for _ in 0..3 {
                    assert_eq!(house.ask(&ask).await, stale(age));
                    house.settle().await;
                    assert_eq!(house.calls(), 1 + calls);
                }
                advance(Duration::from_millis(1_100)).await;
                house.settle().await;
            }
            // A little over 18 s old by now, and of use until 70 s.
            advance(seconds(51)).await;
            assert_eq!(house.ask(&ask).await, stale(59));
            house.settle().await;
            assert_eq!(house.calls(), 5);
            advance(seconds(1)).await;
            let (text, _) = house.ask(&ask).await;
            assert_ne!(text, "answer 1", "it was of use for 70 s");
            assert_eq!(house.calls(), 6);
            house.upstream.set(Act::Answer);
            assert_eq!(house.ask(&ask).await.0, "answer 7");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outside_the_window_callers_wait_for_the_upstream() {
    for settings in [SETTINGS, WITHOUT_DEDUP] {
        let house = with_stale_answer(settings).await;
        advance(seconds(55)).await;
        let fresh = got("answer 2", "fwd=miss; stored");
        assert_eq!(house.ask(&Ask::new()).await, fresh);
        assert_eq!(house.metrics.refreshes.get(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_it_an_answer_still_stands_in_for_failures() {
    let settings = "cache.ttl = \"10s\"\ncache.stale_while_revalidate = \"60s\"\ncache.stale_if_error = \"100s\"";
    let house = with_stale_answer(settings).await;
    house.upstream.set(Act::Status(502));
    assert_eq!(house.ask(&Ask::new()).await, stale(5));
    advance(seconds(60)).await;
    let excused = "fwd=stale; fwd-status=502; ttl=-65; detail=stale-if-error";
    assert_eq!(house.ask(&Ask::new()).await, got("answer 1", excused));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_askers_route_decides() {
    let settings = format!("{SETTINGS}\ncache.routes = [\"/create=20s\"]");
    let house = with_stale_answer(&settings).await;
    let long = Ask::new().on(Route::Create);
    assert_eq!(house.ask(&long).await, got("answer 1", "hit; ttl=5"));
    assert_eq!(house.ask(&Ask::new()).await, stale(5));
    house.settle().await;
    assert_eq!(house.ask(&long).await, got("answer 2", "hit; ttl=19"));
}

#[tokio::test(start_paused = true)]
async fn clients_that_set_a_bound_are_given_nothing_stale() {
    for control in ["max-age=100", "min-fresh=0", "max-stale=4", "no-cache"] {
        let house = with_stale_answer(SETTINGS).await;
        let bounded = Ask::new().control(control);
        assert_eq!(house.ask(&bounded).await.0, "answer 2", "{control}");
        assert_eq!(house.metrics.refreshes.get(), 0);
    }
    // Who takes it as it is needs no new one.
    let house = with_stale_answer(SETTINGS).await;
    let any = Ask::new().control("max-stale");
    let accepted = got("answer 1", "hit; ttl=-5; detail=max-stale");
    assert_eq!(house.ask(&any).await, accepted);
    house.settle().await;
    assert_eq!(house.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_call_causes_none() {
    let house = with_stale_answer(SETTINGS).await;
    let cached = Ask::new().control("only-if-cached");
    assert_eq!(house.ask(&cached).await, stale(5));
    house.settle().await;
    assert_eq!((house.calls(), house.metrics.refreshes.get()), (1, 0));
    advance(seconds(60)).await;
    assert_eq!(house.ask(&cached).await, got("only_if_cached", ""));
}

#[tokio::test(start_paused = true)]
async fn callers_who_must_wait_join_the_refresh() {
    let house = with_stale_answer(SETTINGS).await;
    house.upstream.hold(true);
    assert_eq!(house.ask(&Ask::new()).await, stale(5));
    house.settle().await;
    let bounded = Ask::new().control("max-age=1");
    let release = async {
        house.settle().await;
        house.upstream.hold(false);
    };
    let (joined, ()) = tokio::join!(house.ask(&bounded), release);
    assert_eq!(joined, got("answer 2", "fwd=miss; collapsed"));
    assert_eq!(house.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_clear_finds_being_refreshed_does_not_come_back() {
    let of_model = Filter {
        model: Some("m".into()),
        ..Filter::default()
    };
    for filter in [Filter::default(), of_model] {
        let house = with_stale_answer(SETTINGS).await;
        house.upstream.hold(true);
        house.ask(&Ask::new()).await;
        house.settle().await;
        assert_eq!(house.store.clear(&filter).await.answers, 1);
        house.upstream.hold(false);
        house.settle().await;
        assert_eq!(house.calls(), 2);
        let cached = Ask::new().control("only-if-cached, max-stale");
        assert_eq!(house.ask(&cached).await, got("only_if_cached", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_has_the_time_of_a_call_of_its_own() {
    let house = with_stale_answer(SETTINGS).await;
    let mut request = house.request(&Ask::new());
    request.deadline = Instant::now();
    let answer = house.service.clone().oneshot(request).await;
    assert_eq!(read(answer.unwrap_or_else(|_| panic!())).await, stale(5));
    house.settle().await;
    let deadline = house.upstream.calls()[1].deadline;
    let begun = Instant::now() - Duration::from_millis(1);
    assert_eq!(deadline, begun + house.config.upstream.total_timeout);
}

#[tokio::test(start_paused = true)]
async fn so_many_refreshes_are_under_way_at_most() {
    let house = House::new(SETTINGS);
    let asks: Vec<_> = (0..70).map(|n| Ask::about(&n.to_string())).collect();
    for ask in &asks {
        house.ask(ask).await;
    }
    advance(seconds(15)).await;
    house.upstream.hold(true);
    for ask in &asks {
        let (_, status) = house.ask(ask).await;
        assert_eq!(status, "hit; ttl=-5; detail=stale-while-revalidate");
    }
    house.settle().await;
    assert_eq!(house.calls(), 70 + 64);
    house.upstream.hold(false);
    house.settle().await;
    // The others are the next callers' business.
    for ask in &asks {
        house.ask(ask).await;
    }
    house.settle().await;
    assert_eq!(house.metrics.refreshes.get(), 70);
    for ask in &asks {
        assert_eq!(house.ask(ask).await.1, "hit; ttl=9");
    }
}
