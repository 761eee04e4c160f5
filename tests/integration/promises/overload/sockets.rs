//! P60–P62: connections are used again, dead ones are nobody's problem, and there is a cap.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Act, Answer, End, Gate, Recorded, Upstream, completion, within};

type Script = fn(&Recorded) -> Act;

/// Sends requests at once, by turns to each endpoint, whole and streaming.
fn at_once(nest: &Arc<Nest>, name: &str, requests: usize) -> JoinSet<(&'static str, Answer)> {
    let mut asked = JoinSet::new();
    for number in 0..requests {
        let nest = Arc::clone(nest);
        let prompt = format!("{name} {number}");
        let (path, body) = asking(&prompt, number % 2 == 1)
            .into_iter()
            .nth(number % 3)
            .unwrap();
        asked.spawn(async move { (path, nest.post(path, &body, &[]).await) });
    }
    asked
}

#[tokio::test]
async fn p60_sixty_requests_one_after_another_need_few_connections() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for number in 0..60 {
        match number % 10 {
            3 => upstream.once(Act::error(404, &[])),
            5 => upstream.once(Act::error(400, &[])),
            7 => upstream.once(Act::gzip(completion("Hello.").to_string().as_bytes())),
            _ => {}
        }
        let (path, body) = asking(&format!("{number}"), number % 2 == 0)
            .into_iter()
            .nth(number % 3)
            .unwrap();
        nest.post(path, &body, &[]).await;
    }
    let counts = upstream.counts();
    assert_eq!(counts.calls, 60);
    assert!(counts.opened <= 6, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p61_sockets_that_have_gone_stale_are_nobodys_problem() {
    let stale: [(&str, Script); 4] = [
        ("reset", |_| Act::only(End::Reset)),
        ("closed", |_| Act::only(End::Close)),
        ("closed in one direction", |_| Act::only(End::HalfClose)),
        ("half a head", |_| Act::bytes("HTTP/1.").then(End::Close)),
    ];
    for (what, death) in stale {
        // One who could meet several of them, as many as there are, and more than there are retries.
        for (sockets, callers) in [(8, 1), (8, 8), (40, 40)] {
            let what = format!("{what}, {sockets} sockets, {callers} callers");
            outlive(&what, death, sockets, callers).await;
        }
    }
}

/// Lets so many idle sockets go stale; then nobody of so many callers may notice.
async fn outlive(what: &str, death: Script, sockets: usize, callers: usize) {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    // All in use at once, then all idle.
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    let first = at_once(&nest, "first", sockets);
    upstream
        .wait_for("all calls", |counts| counts.busy == sockets)
        .await;
    gate.open();
    for (path, answer) in within("the first", first.join_all()).await {
        said(path, &answer);
    }
    assert_eq!(upstream.counts().open, sockets, "{what}: all are kept");
    // From now on each of these dies when it is used again.
    upstream.script(move |request| {
        if request.connection < sockets {
            death(request)
        } else {
            request.answer("Hello.")
        }
    });
    let later = at_once(&nest, "later", callers);
    for (path, answer) in within("the later ones", later.join_all()).await {
        assert_eq!(said(path, &answer), "Hello.", "{what}, {path}: {answer:?}");
    }
    let states = super::states(&nest).await;
    let are_closed = states.iter().all(|state| state == "CLOSED");
    assert!(are_closed, "{what}: {states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p61_an_upstream_that_says_goodbye_unasked_is_nobodys_problem() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    let goodbye = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    upstream.script(move |request| request.answer("Hello.").send(goodbye).then(End::Close));
    for round in 0..4 {
        for (path, answer) in within("all", at_once(&nest, &format!("{round}"), 8).join_all()).await
        {
            assert_eq!(said(path, &answer), "Hello.", "{path}: {answer:?}");
        }
    }
}

/// Five hundred at once, held until all sockets are busy; gives the most that were ever open.
async fn crowd(settings: &str, cap: usize) -> usize {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::with(&upstream, settings).await);
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    let asked = at_once(&nest, "crowd", 500);
    upstream
        .wait_for("all sockets busy", |counts| counts.busy == cap)
        .await;
    assert_eq!(nest.get("/health/live").await.status, 200);
    gate.open();
    let answers = within("everybody's answer", asked.join_all()).await;
    assert_eq!(answers.len(), 500);
    let mut answered = 0;
    for (path, answer) in &answers {
        match answer.status {
            200 => {
                said(path, answer);
                answered += 1;
            }
            429 | 503 => assert!(!answer.header("retry-after").is_empty(), "{answer:?}"),
            _ => panic!("{path}: {answer:?}"),
        }
    }
    // Those who waited got their turn, and no place was lost.
    assert!(answered >= cap, "{answered}");
    let later = at_once(&nest, "afterwards", 30);
    for (path, answer) in within("those who come later", later.join_all()).await {
        said(path, &answer);
    }
    upstream.counts().peak_open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p62_five_hundred_at_once_use_no_more_than_300_sockets() {
    let settings = "[upstream]\nmax_connections = 300\nmax_connections_per_host = 300\n";
    let peak = crowd(settings, 300).await;
    assert!(peak <= 300, "{peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p62_as_it_comes_one_host_has_100_sockets() {
    let peak = crowd("", 100).await;
    assert!(peak <= 100, "{peak}");
}
