//! P12 and P13: what is never tried again, and how long the proxy waits before it does.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Act, Arc, Door, EACH_FOR_ITSELF, Nest, Upstream, json, start};

/// What an upstream says of the client's mistake.
fn refusal(status: u16) -> Act {
    let message = format!("theirs is the reason {status}");
    let error = json!({"error": {"message": message, "type": "x", "code": null, "param": "top_p"}});
    Act::json(status, &error)
}

#[tokio::test]
async fn p12_the_clients_mistake_is_one_attempt_and_keeps_its_reason() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    for status in [400, 401, 402, 403, 404, 409, 413, 415, 422, 451] {
        upstream.set(refusal(status));
        for door in Door::ALL {
            let what = format!("{status}, {door:?}");
            let before = upstream.calls();
            let outcome = door.ask(&nest, &what).await;
            assert_eq!(outcome.status, status, "{what}: {outcome:?}");
            assert!(
                !outcome.is_finished && outcome.code.is_some(),
                "{what}: {outcome:?}"
            );
            let reason = format!("theirs is the reason {status}");
            assert!(outcome.body.contains(&reason), "{what}: {outcome:?}");
            assert_eq!(upstream.calls() - before, 1, "{what}");
        }
        let answer = nest.chat(&Door::Chat.body("as it was")).await;
        assert_eq!(answer.json()["error"]["param"], "top_p", "{answer:?}");
    }
}

#[tokio::test]
async fn p12_our_credential_refused_is_not_the_callers() {
    let (upstream, nest) = start(&format!(
        "{EACH_FOR_ITSELF}[upstream]\napi_key = \"sk-ours\""
    ))
    .await;
    for status in [401, 403] {
        let error =
            json!({"error": {"message": "Incorrect API key provided: sk-ours", "code": status}});
        // As a status, and inside an answer that claims success.
        for act in [Act::json(status, &error), Act::json(200, &error)] {
            upstream.set(act);
            for door in Door::ALL {
                let what = format!("{status}, {door:?}");
                let before = upstream.calls();
                let outcome = door.ask(&nest, &what).await;
                assert_eq!(outcome.status, 502, "{what}: {outcome:?}");
                assert_eq!(
                    outcome.code.as_deref(),
                    Some("upstream_credentials"),
                    "{what}"
                );
                assert!(!outcome.body.contains("sk-ours"), "{what}: {outcome:?}");
                assert_eq!(upstream.calls() - before, 1, "{what}");
            }
        }
        upstream.set(Act::json(status, &error));
        let answer = nest.get("/v1/models").await;
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("sk-ours"),
            "{answer:?}"
        );
    }
}

/// A first attempt that is sent away with this Retry-After, then a good one; the times of both.
fn sends_away(
    upstream: &Upstream,
    status: u16,
    retry_after: &str,
) -> Arc<Mutex<Vec<(Instant, SystemTime)>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let (seen, retry_after) = (Arc::clone(&times), retry_after.to_owned());
    upstream.script(move |request| {
        let mut seen = seen.lock();
        seen.push((Instant::now(), SystemTime::now()));
        if seen.len() == 1 {
            Act::error(status, &[("retry-after", &retry_after)])
        } else {
            request.answer("Hello.")
        }
    });
    times
}

#[tokio::test]
async fn p13_a_short_retry_after_is_waited_for() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    let asks = [
        (429, Door::Chat),
        (503, Door::ChatStream),
        (429, Door::CreateStream),
        (503, Door::Turn),
    ];
    for (status, door) in asks {
        let what = format!("{status}, {door:?}");
        let times = sends_away(&upstream, status, "1");
        door.ask(&nest, &what).await.assert_answer("Hello.", &what);
        let times = times.lock();
        assert_eq!(times.len(), 2, "{what}");
        let waited = times[1].0 - times[0].0;
        assert!(waited >= Duration::from_millis(950), "{what}: {waited:?}");
    }
}

#[tokio::test]
async fn p13_a_date_is_waited_for_like_seconds() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    for door in [Door::Chat, Door::CreateStream] {
        let what = format!("{door:?}");
        let date = SystemTime::now() + Duration::from_secs(2);
        let words = httpdate::fmt_http_date(date);
        // The header counts in whole seconds.
        let date = httpdate::parse_http_date(&words).unwrap();
        let times = sends_away(&upstream, 503, &words);
        door.ask(&nest, &what).await.assert_answer("Hello.", &what);
        let times = times.lock();
        assert_eq!(times.len(), 2, "{what}");
        let early = date.duration_since(times[1].1).unwrap_or_default();
        assert!(
            early < Duration::from_millis(100),
            "{what}: {early:?} too early"
        );
    }
}

#[tokio::test]
async fn p13_what_is_no_time_or_is_over_is_not_waited_for() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    let over = [
        "0",
        "",
        "soon",
        "-1",
        "-3600",
        "1.5e9",
        "3600s",
        "0x7fff",
        "NaN",
        "1 hour",
        "3600, 3600",
        ";",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 2065 07:28:00",
        "Thu, 32 Feb 2099 99:99:99 GMT",
        "2099-01-01T00:00:00Z",
    ];
    for retry_after in over {
        for door in [Door::Chat, Door::CreateStream] {
            let what = format!("{retry_after:?}, {door:?}");
            let times = sends_away(&upstream, 503, retry_after);
            // Any of these taken for a time would be far beyond the patience of the test, or passed on.
            door.ask(&nest, &what).await.assert_answer("Hello.", &what);
            assert_eq!(times.lock().len(), 2, "{what}");
        }
    }
}

#[tokio::test]
async fn p13_a_long_retry_after_is_passed_on_at_once() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    let long = [
        "31",
        "3600",
        "999999999999999999999999",
        "Thu, 01 Jan 2099 00:00:00 GMT",
    ];
    for retry_after in long {
        for status in [429, 503] {
            for door in Door::ALL {
                let what = format!("{status} {retry_after}, {door:?}");
                let times = sends_away(&upstream, status, retry_after);
                let begun = Instant::now();
                let outcome = door.ask(&nest, &what).await;
                assert_eq!(outcome.status, status, "{what}: {outcome:?}");
                assert_eq!(outcome.header("retry-after"), retry_after, "{what}");
                assert!(outcome.code.is_some(), "{what}: {outcome:?}");
                assert_eq!(times.lock().len(), 1, "{what}");
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "{what}: {:?}",
                    begun.elapsed()
                );
            }
        }
    }
}

#[tokio::test]
async fn p13_with_the_shipped_delays_there_are_three_attempts_at_most() {
    for status in [429, 503] {
        let upstream = Upstream::start().await;
        let nest = Nest::with(&upstream, "").await;
        upstream.set(Act::error(status, &[]));
        let outcome = Door::Chat.ask(&nest, "now?").await;
        assert_eq!(outcome.status, status, "{outcome:?}");
        assert!(
            (2..=3).contains(&upstream.calls()),
            "{:?}",
            upstream.counts()
        );
    }
}
