//! P52: a half-open circuit admits exactly its probes, whoever comes and whoever leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::super::Nest;
use super::super::service::{asking, said};
use super::states;
use crate::support::{Act, End, Gate, Upstream, within};

/// Half-open soon, so that whoever keeps asking becomes a probe.
async fn start(upstream: &Upstream, probes: usize) -> Arc<Nest> {
    let settings = format!(
        "[breaker]\nfailure_threshold = 1\nopen_for = \"20ms\"\nhalf_open_probes = {probes}\n\
         [retry]\nmax_attempts = 1\n"
    );
    Arc::new(Nest::with(upstream, &settings).await)
}

/// Opens the circuit of one endpoint's model.
async fn trip(upstream: &Upstream, nest: &Nest, endpoint: usize) {
    upstream.set(Act::error(500, &[]));
    let (path, body) = asking("trip", false).into_iter().nth(endpoint).unwrap();
    let before = upstream.calls();
    within("a failure", async {
        while upstream.calls() == before {
            assert!(nest.post(path, &body, &[]).await.status >= 500);
        }
    })
    .await;
    assert!(states(nest).await.contains(&"OPEN".to_owned()), "{path}");
}

/// Callers that ask until they get an answer. They count how often they were turned away.
fn besiege(
    nest: &Arc<Nest>,
    endpoint: usize,
    name: &str,
    callers: usize,
    refused: &Arc<AtomicUsize>,
) -> JoinSet<u16> {
    let mut siege = JoinSet::new();
    for number in 0..callers {
        let (nest, refused) = (Arc::clone(nest), Arc::clone(refused));
        let prompt = format!("{name} {number}");
        let (path, body) = asking(&prompt, number % 2 == 1)
            .into_iter()
            .nth(endpoint)
            .unwrap();
        siege.spawn(async move {
            loop {
                let answer = nest.post(path, &body, &[]).await;
                if answer.status != 503 {
                    said(path, &answer);
                    return answer.status;
                }
                let wait: u64 = answer.header("retry-after").parse().unwrap();
                assert!((1..=60).contains(&wait), "{answer:?}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    siege
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p52_fifty_at_once_are_exactly_the_probes_that_are_allowed() {
    for probes in [1, 3] {
        for endpoint in 0..3 {
            let upstream = Upstream::start().await;
            let nest = start(&upstream, probes).await;
            trip(&upstream, &nest, endpoint).await;
            let gate = Gate::new();
            let behind = gate.clone();
            upstream.script(move |request| request.answer("Hello.").after(&behind));
            let before = upstream.calls();
            let refused = Arc::new(AtomicUsize::new(0));
            let siege = besiege(&nest, endpoint, "siege", 50, &refused);
            upstream
                .wait_for("the probes", |counts| counts.busy == probes)
                .await;
            // Everybody else is turned away again and again, for as long as the probes have no answer.
            let enough = refused.load(Ordering::Relaxed) + 200;
            within("refusals", async {
                while refused.load(Ordering::Relaxed) < enough {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let counts = upstream.counts();
            assert_eq!(
                (counts.calls - before, counts.busy),
                (probes, probes),
                "endpoint {endpoint}"
            );
            assert!(states(&nest).await.contains(&"HALF_OPEN".to_owned()));
            gate.open();
            for status in within("everybody's answer", siege.join_all()).await {
                assert_eq!(status, 200);
            }
            // Closed for good: nobody is turned away any more.
            let refusals = refused.load(Ordering::Relaxed);
            let again = besiege(&nest, endpoint, "after", 50, &refused);
            within("everybody's next answer", again.join_all()).await;
            assert_eq!(refused.load(Ordering::Relaxed), refusals);
            assert_eq!(upstream.calls() - before, 100);
            assert_eq!(states(&nest).await, ["CLOSED"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p52_probes_whose_clients_leave_give_their_places_back() {
    for probes in [1, 3] {
        for endpoint in 0..3 {
            let upstream = Upstream::start().await;
            let nest = start(&upstream, probes).await;
            trip(&upstream, &nest, endpoint).await;
            upstream.set(Act::only(End::Silence));
            let before = upstream.calls();
            for round in 1..=4 {
                let refused = Arc::new(AtomicUsize::new(0));
                let mut siege = besiege(&nest, endpoint, &format!("round {round}"), 10, &refused);
                upstream
                    .wait_for("the probes", |counts| counts.busy == probes)
                    .await;
                // Who was turned away a moment ago must not become a probe while the others leave.
                upstream.set(Act::only(End::Silence));
                siege.shutdown().await;
                upstream
                    .wait_for("the hang-ups", |counts| counts.busy == 0)
                    .await;
                let came = upstream.calls() - before;
                assert!(came >= round * probes, "round {round}: {came}");
            }
            // How many there are at once is asked above: here the upstream can see a probe's successor before it
            // sees that the probe has left.
            upstream.script(|request| request.answer("Hello."));
            let refused = Arc::new(AtomicUsize::new(0));
            let all = besiege(&nest, endpoint, "well again", 10, &refused);
            within("everybody's answer", all.join_all()).await;
            assert_eq!(states(&nest).await, ["CLOSED"]);
        }
    }
}

#[tokio::test]
async fn p52_a_probe_that_fails_opens_the_circuit_again() {
    let upstream = Upstream::start().await;
    let nest = start(&upstream, 1).await;
    for endpoint in 0..3 {
        for _ in 0..3 {
            trip(&upstream, &nest, endpoint).await;
        }
    }
    // Each round was one call, the probe, and no more.
    assert_eq!(upstream.calls(), 9);
}
