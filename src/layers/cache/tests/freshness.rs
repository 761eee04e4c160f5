//! How long an answer is fresh, and for whom.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_is_fresh_until_its_time_is_over_to_the_millisecond() {
    for streams in [false, true] {
        let house = House::new("");
        let ask = Ask::new().streaming(streams);
        let first = if streams {
            "fwd=miss"
        } else {
            "fwd=miss; stored"
        };
        assert_eq!(house.ask(&ask).await, got("answer 1", first));
        for (passes, ttl) in [(0, 3_600), (1, 3_599), (3_598_999, 1), (999, 0)] {
            advance(Duration::from_millis(passes)).await;
            let hit = got("answer 1", &format!("hit; ttl={ttl}"));
            assert_eq!(house.ask(&ask).await, hit);
        }
        advance(Duration::from_millis(1)).await;
        assert_eq!(house.ask(&ask).await, got("answer 2", first));
        assert_eq!(house.ask(&ask).await, got("answer 2", "hit; ttl=3600"));
        assert_eq!(house.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn two_routes_share_an_entry_and_each_has_its_own_time_for_it() {
    let settings = r#"cache.ttl = "10m"
        cache.routes = ["/create=10s", "/create/chat=1h"]"#;
    let house = House::new(settings);
    let [short, usual, long] = [Route::Create, Route::ChatCompletions, Route::CreateChat]
        .map(|route| Ask::new().on(route));
    house.ask(&short).await;
    assert_eq!(house.ask(&short).await, got("answer 1", "hit; ttl=10"));
    assert_eq!(house.ask(&usual).await, got("answer 1", "hit; ttl=600"));
    assert_eq!(house.ask(&long).await, got("answer 1", "hit; ttl=3600"));
    advance(seconds(600)).await;
    assert_eq!(house.ask(&long).await, got("answer 1", "hit; ttl=3000"));
    // The new answer that one of them needs is everybody's.
    assert_eq!(house.ask(&usual).await, got("answer 2", "fwd=miss; stored"));
    assert_eq!(house.ask(&long).await, got("answer 2", "hit; ttl=3600"));
    advance(seconds(10)).await;
    assert_eq!(house.ask(&short).await, got("answer 3", "fwd=miss; stored"));
    assert_eq!(house.store.memory.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_route_of_no_time_neither_gives_nor_keeps() {
    let settings = r#"cache.routes = ["/create=0s"]"#;
    let house = House::new(settings);
    let none = Ask::new().on(Route::Create);
    for n in 1..=2 {
        let answer = got(&format!("answer {n}"), "fwd=bypass");
        assert_eq!(house.ask(&none).await, answer);
    }
    assert!(house.store.memory.is_empty());
    assert_eq!(house.ask(&Ask::new()).await.0, "answer 3");
    assert_eq!(house.ask(&none).await, got("answer 4", "fwd=bypass"));
    // Not even where the upstream fails.
    house.upstream.set(Act::Status(503));
    assert_eq!(house.ask(&none).await, got("503", "fwd=bypass"));
    let cached = none.control("only-if-cached, max-stale");
    assert_eq!(house.ask(&cached).await.0, "only_if_cached");
    assert_eq!(
        house.ask(&Ask::new()).await,
        got("answer 3", "hit; ttl=3600")
    );
}

#[tokio::test(start_paused = true)]
async fn requests_above_the_temperature_pass_the_cache_by() {
    let house = House::new("cache.max_temperature = 0.5");
    for (temperature, kept) in [(0.0, true), (0.5, true), (0.500_001, false), (2.0, false)] {
        let ask = Ask::new().at_temperature(temperature);
        let [first, second] = [house.ask(&ask).await, house.ask(&ask).await];
        let expected = if kept {
            ["fwd=miss; stored", "hit; ttl=3600"]
        } else {
            ["fwd=bypass"; 2]
        };
        assert_eq!([&*first.1, &*second.1], expected, "{temperature}");
        assert_eq!(first.0 == second.0, kept);
    }
    // Who names none has 1.
    assert_eq!(house.ask(&Ask::new()).await.1, "fwd=bypass");
    let cached = Ask::new().control("only-if-cached");
    assert_eq!(house.ask(&cached).await.0, "only_if_cached");
    // Nor do they share calls.
    house.upstream.hold(true);
    let hot = Ask::about("hot");
    let asks = house.ask_at_once(3, &hot);
    let release = async {
        house.settle().await;
        house.upstream.hold(false);
    };
    let (answers, ()) = tokio::join!(asks, release);
    let texts: std::collections::BTreeSet<_> = answers.into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(house.store.memory.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_bound_temperature_does_not_matter() {
    let house = House::new("");
    let hot = Ask::new().at_temperature(2.0);
    house.ask(&hot).await;
    assert_eq!(house.ask(&hot).await, got("answer 1", "hit; ttl=3600"));
}
