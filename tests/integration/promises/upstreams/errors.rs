//! P19: no error is ever kept, of whatever kind and whoever asked.

use super::{Act, Door, End, JSON, ONE_ATTEMPT, completion, json, start};
use crate::support::{delta, event};

const SETTINGS: &str = "[upstream]\nread_timeout = \"200ms\"\nmax_response_bytes = \"64KiB\"\n";

fn errors() -> Vec<(&'static str, Act)> {
    let mut errors: Vec<_> = [
        ("400", 400),
        ("401", 401),
        ("402", 402),
        ("403", 403),
        ("404", 404),
        ("408", 408),
        ("410", 410),
        ("413", 413),
        ("422", 422),
        ("429", 429),
        ("500", 500),
        ("501", 501),
        ("502", 502),
        ("503", 503),
        ("504", 504),
        ("529", 529),
    ]
    .into_iter()
    // Not even those that claim to be fit for a cache.
    .map(|(name, status)| {
        (
            name,
            Act::error(status, &[("cache-control", "public, max-age=3600")]),
        )
    })
    .collect();
    let begun = || Act::stream().chunk(event(&delta("Half an")));
    let mut unfinished = completion("Half an");
    unfinished["choices"][0]["finish_reason"] = json!(null);
    let reported = json!({"error": {"message": "overloaded", "code": 529}});
    errors.extend([
        (
            "400 in a 200",
            Act::json(200, &json!({"error": {"message": "no", "code": 400}})),
        ),
        ("error in a 200", Act::json(200, &reported)),
        (
            "no choices",
            Act::json(200, &json!({"model": "m", "choices": []})),
        ),
        ("unfinished", Act::json(200, &unfinished)),
        ("HTML", Act::response(200, &JSON, "<html>")),
        (
            "too large",
            Act::json(200, &completion(&"x".repeat(100_000))),
        ),
        ("reset", Act::only(End::Reset)),
        ("close", Act::only(End::Close)),
        ("no head", Act::only(End::Silence)),
        ("no body", Act::chunked(200, &JSON).then(End::Silence)),
        ("a cut stream", begun().then(End::Close)),
        ("a reset stream", begun().then(End::Reset)),
        ("a stalled stream", begun().then(End::Silence)),
        ("a stream that ends early", begun().last_chunk()),
        (
            "a stream that is done early",
            begun().chunk(event("[DONE]")).last_chunk(),
        ),
        (
            "a stream with an error",
            begun().chunk(event(&reported.to_string())).last_chunk(),
        ),
        (
            "a stream that is too large",
            begun()
                .chunk(event(&delta(&"x".repeat(100_000))))
                .last_chunk(),
        ),
    ]);
    errors
}

#[tokio::test]
async fn p19_no_error_is_kept() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for (error, act) in errors() {
        for door in Door::ALL {
            let what = format!("{error}, {door:?}");
            upstream.set(act.clone());
            let failed = door.ask(&nest, &what).await;
            assert!(failed.header("x-cache") != "HIT", "{what}: {failed:?}");
            if error != "unfinished" {
                assert!(
                    failed.code.is_some() && !failed.is_finished,
                    "{what}: {failed:?}"
                );
            }
            let before = upstream.calls();
            upstream.script(|request| request.answer("Good."));
            let good = door.ask(&nest, &what).await;
            good.assert_answer("Good.", &what);
            assert_eq!(good.header("x-cache"), "MISS", "{what}: {good:?}");
            assert_eq!(upstream.calls() - before, 1, "{what}");
            // What is good is kept, so that the test could have seen an error that was.
            let again = door.ask(&nest, &what).await;
            again.assert_answer("Good.", &what);
            assert_eq!(again.header("x-cache"), "HIT", "{what}: {again:?}");
        }
    }
}

#[tokio::test]
async fn p19_a_good_answer_survives_the_errors_after_it() {
    let (upstream, nest) = start(&format!("{ONE_ATTEMPT}{SETTINGS}")).await;
    for door in Door::ALL {
        upstream.script(|request| request.answer("Good."));
        door.ask(&nest, "keep")
            .await
            .assert_answer("Good.", "at first");
        for (error, act) in errors() {
            let what = format!("{error}, {door:?}");
            upstream.set(act);
            // A client that wants it anew gets the error or the old answer, and spoils it for nobody.
            let fresh = door
                .ask_with(&nest, "keep", &[("cache-control", "no-cache")])
                .await;
            assert!(
                !fresh.is_finished || fresh.text == "Good." || error == "unfinished",
                "{what}: {fresh:?}"
            );
            let kept = door.ask(&nest, "keep").await;
            kept.assert_answer("Good.", &what);
            assert_eq!(kept.header("x-cache"), "HIT", "{what}: {kept:?}");
        }
    }
}
