//! What clients demand of the cache (RFC 9111 section 5.2.1), of an answer that is fresh, stale or not there.

use super::*;

/// Answers are fresh for 10 s, and stand in for failures for 100 s more.
const SETTINGS: &str = "cache.ttl = \"10s\"\ncache.stale_if_error = \"100s\"";

/// An answer's age when it is asked for; `None`: there is none.
type Age = Option<u64>;

const NONE: Age = None;
const FRESH: Age = Some(5);
const STALE: Age = Some(15);

/// Asks for an answer of this age while the upstream is well or fails. Says what comes, and whether there was a call.
async fn ask(age: Age, control: &'static str, upstream: Act, streams: bool) -> (Got, bool) {
    let house = House::new(SETTINGS);
    let ask = Ask::new().streaming(streams);
    if let Some(age) = age {
        house.ask(&ask).await;
        advance(seconds(age)).await;
    }
    house.upstream.set(upstream);
    let before = house.calls();
    let answer = house.ask(&ask.control(control)).await;
    (answer, house.calls() > before)
}

/// Asks for an answer of this age while the upstream is well: by directives, what comes and how it is named.
async fn while_it_is_well(age: Age, rows: &[(&'static str, &str, &str)]) {
    for &(control, text, status) in rows {
        for streams in [false, true] {
            // Whether a stream is kept is not known when its head goes out.
            let status = if streams {
                status.trim_end_matches("; stored")
            } else {
                status
            };
            let is_call = status.starts_with("fwd");
            let came = ask(age, control, Act::Answer, streams).await;
            assert_eq!(came, (got(text, status), is_call), "{age:?} {control:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_is_well_and_no_answer_is_there() {
    while_it_is_well(
        NONE,
        &[
            ("", "answer 1", "fwd=miss; stored"),
            (
                "max-age=5, min-fresh=5, max-stale",
                "answer 1",
                "fwd=miss; stored",
            ),
            ("no-cache", "answer 1", "fwd=bypass; stored"),
            ("no-store", "answer 1", "fwd=bypass"),
            ("no-cache, no-store", "answer 1", "fwd=bypass"),
            ("only-if-cached", "only_if_cached", ""),
            ("only-if-cached, max-stale", "only_if_cached", ""),
            ("only-if-cached, no-cache", "only_if_cached", ""),
            ("only-if-cached, no-store", "only_if_cached", ""),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_is_well_and_the_answer_is_fresh() {
    while_it_is_well(
        FRESH,
        &[
            ("", "answer 1", "hit; ttl=5"),
            ("max-age=5", "answer 1", "hit; ttl=5"),
            ("max-age=4", "answer 2", "fwd=miss; stored"),
            ("max-age=0", "answer 2", "fwd=miss; stored"),
            ("min-fresh=5", "answer 1", "hit; ttl=5"),
            ("min-fresh=6", "answer 2", "fwd=miss; stored"),
            ("max-age=9, min-fresh=5", "answer 1", "hit; ttl=5"),
            ("max-age=4, min-fresh=5", "answer 2", "fwd=miss; stored"),
            ("max-stale", "answer 1", "hit; ttl=5"),
            ("max-stale=0", "answer 1", "hit; ttl=5"),
            ("max-age=4, max-stale=1", "answer 1", "hit; ttl=5"),
            ("max-age=3, max-stale=1", "answer 2", "fwd=miss; stored"),
            ("no-cache", "answer 2", "fwd=bypass; stored"),
            ("no-cache, max-stale", "answer 2", "fwd=bypass; stored"),
            ("no-store", "answer 2", "fwd=bypass"),
            ("only-if-cached", "answer 1", "hit; ttl=5"),
            ("only-if-cached, max-age=4", "only_if_cached", ""),
            ("only-if-cached, min-fresh=6", "only_if_cached", ""),
            ("only-if-cached, no-cache", "only_if_cached", ""),
            ("only-if-cached, no-store", "only_if_cached", ""),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_is_well_and_the_answer_is_stale() {
    while_it_is_well(
        STALE,
        &[
            ("", "answer 2", "fwd=miss; stored"),
            ("max-age=100", "answer 2", "fwd=miss; stored"),
            ("min-fresh=0", "answer 2", "fwd=miss; stored"),
            ("max-stale", "answer 1", "hit; ttl=-5; detail=max-stale"),
            ("max-stale=5", "answer 1", "hit; ttl=-5; detail=max-stale"),
            ("max-stale=4", "answer 2", "fwd=miss; stored"),
            (
                "max-stale, max-age=100",
                "answer 1",
                "hit; ttl=-5; detail=max-stale",
            ),
            ("max-stale, min-fresh=1", "answer 2", "fwd=miss; stored"),
            ("no-cache", "answer 2", "fwd=bypass; stored"),
            ("no-store, max-stale", "answer 2", "fwd=bypass"),
            ("only-if-cached", "only_if_cached", ""),
            ("only-if-cached, max-stale=4", "only_if_cached", ""),
            (
                "only-if-cached, max-stale",
                "answer 1",
                "hit; ttl=-5; detail=max-stale",
            ),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_fails() {
    const EXCUSED: &str = "fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error";
    for (age, control, text, status) in [
        (NONE, "", "503", "fwd=miss"),
        (NONE, "max-stale", "503", "fwd=miss"),
        (FRESH, "", "answer 1", "hit; ttl=5"),
        // Fresh, and yet nothing that this client would take.
        (FRESH, "max-age=4", "503", "fwd=miss"),
        (FRESH, "min-fresh=6", "503", "fwd=miss"),
        (FRESH, "no-cache", "503", "fwd=bypass"),
        (FRESH, "no-store", "503", "fwd=bypass"),
        (STALE, "", "answer 1", EXCUSED),
        (STALE, "max-age=100", "503", "fwd=miss"),
        (STALE, "min-fresh=0", "503", "fwd=miss"),
        (STALE, "max-stale=4", "503", "fwd=miss"),
        (
            STALE,
            "max-stale",
            "answer 1",
            "hit; ttl=-5; detail=max-stale",
        ),
        (STALE, "no-cache", "503", "fwd=bypass"),
        (STALE, "no-cache, max-stale", "503", "fwd=bypass"),
        (STALE, "no-store", "503", "fwd=bypass"),
        (STALE, "only-if-cached", "only_if_cached", ""),
    ] {
        for streams in [false, true] {
            let is_call = status.starts_with("fwd");
            let came = ask(age, control, Act::Status(503), streams).await;
            assert_eq!(came, (got(text, status), is_call), "{age:?} {control:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_ones_own_is_kept_for_the_others_but_not_against_ones_will() {
    let house = House::new(SETTINGS);
    house.ask(&Ask::new()).await;
    for (control, next) in [("no-store", "answer 1"), ("no-cache", "answer 3")] {
        house.ask(&Ask::new().control(control)).await;
        let hit = got(next, "hit; ttl=10");
        assert_eq!(house.ask(&Ask::new()).await, hit, "{control}");
    }
    // What came instead of an answer takes nothing away.
    house.upstream.once(Act::Status(500));
    house.ask(&Ask::new().control("no-cache")).await;
    let hit = got("answer 3", "hit; ttl=10");
    assert_eq!(house.ask(&Ask::new()).await, hit);
}

#[tokio::test(start_paused = true)]
async fn max_stale_reaches_as_far_back_as_answers_are_kept() {
    let house = House::new(SETTINGS);
    house.ask(&Ask::new()).await;
    advance(seconds(110)).await;
    let any = Ask::new().control("max-stale");
    let last = got("answer 1", "hit; ttl=-100; detail=max-stale");
    assert_eq!(house.ask(&any).await, last);
    advance(Duration::from_millis(1)).await;
    assert_eq!(house.ask(&any).await, got("answer 2", "fwd=miss; stored"));
}
