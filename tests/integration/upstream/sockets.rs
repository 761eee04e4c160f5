//! Sockets: capped, held until the body ends, and used again.

use super::{
    Act, Arc, End, Gate, JoinSet, Proxy, ask, ask_stream, delta, event, finish, start, text_of,
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_holds_however_many_call() {
    let (upstream, proxy) = start("upstream.max_connections_per_host = 4").await;
    let gate = Gate::new();
    upstream.script({
        let gate = gate.clone();
        move |request| request.answer("Hello.").after(&gate)
    });
    let proxy = Arc::new(proxy);
    let mut callers = JoinSet::new();
    for number in 0..40 {
        let proxy = Arc::clone(&proxy);
        callers.spawn(async move {
            let prompt = number.to_string();
            if number % 2 == 0 {
                proxy.chat(&ask(&prompt)).await.text()
            } else {
                text_of(&proxy.stream(&ask_stream(&prompt)).await.all().await)
            }
        });
    }
    upstream
        .wait_for("four calls at once", |counts| counts.busy == 4)
        .await;
    let sockets = async || {
        let health = proxy.get("/health/detailed").await.json();
        let sockets = &health["resources"]["upstreamSockets"];
        ["inUse", "idle", "waiting", "limit"].map(|key| sockets[key].as_u64().unwrap())
    };
    within("the others in line", async {
        while sockets().await != [4, 0, 36, 4] {}
    })
    .await;
    gate.open();
    let texts = within("all callers", callers.join_all()).await;
    assert!(texts.iter().all(|text| text == "Hello."));
    within("the end of their use", async {
        while !matches!(sockets().await, [0, 1..=4, 0, 4]) {}
    })
    .await;
    let counts = upstream.counts();
    assert_eq!((counts.calls, counts.peak_busy), (40, 4));
    assert!(counts.peak_open <= 5, "{counts:?}");
}

#[tokio::test]
async fn a_socket_is_held_until_the_body_ends_and_waiting_has_a_deadline() {
    let settings =
        "upstream.max_connections = 1\nupstream.total_timeout = \"300ms\"\nretry.max_attempts = 1";
    let (upstream, proxy) = start(settings).await;
    let gate = Gate::new();
    let act = Act::stream()
        .chunk(event(&delta("Hi.")))
        .wait(&gate)
        .chunk(event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let mut events = proxy.stream(&ask_stream("first")).await;
    events.next().await.unwrap();
    let busy = proxy.chat(&ask("second")).await;
    assert_eq!(busy.status, 503);
    assert_eq!(busy.json()["error"]["code"], "upstream_sockets_busy");
    assert_ne!(busy.header("retry-after"), "");
    assert_eq!(upstream.calls(), 1);
    gate.open();
    assert_eq!(events.all().await.last().unwrap(), "[DONE]");
    assert_eq!(proxy.chat(&ask("third")).await.status, 200);
}

#[tokio::test]
async fn a_hang_up_frees_its_socket() {
    let (upstream, proxy) = start("upstream.max_connections = 1").await;
    for number in 0..5 {
        upstream.once(
            Act::stream()
                .chunk(event(&delta("Once")))
                .then(End::Silence),
        );
        let mut events = proxy.stream(&ask_stream(&number.to_string())).await;
        events.next().await.unwrap();
        drop(events);
    }
    assert_eq!(proxy.chat(&ask("last")).await.status, 200);
    upstream
        .wait_for("the hang-ups", |counts| counts.hang_ups == 5)
        .await;
}

#[tokio::test]
async fn connections_are_used_again() {
    for streams in [false, true] {
        let (upstream, proxy) = start("").await;
        for number in 0..60 {
            let prompt = number.to_string();
            if streams {
                let events = proxy.stream(&ask_stream(&prompt)).await.all().await;
                assert_eq!(events.last().unwrap(), "[DONE]");
            } else {
                assert_eq!(proxy.chat(&ask(&prompt)).await.status, 200);
            }
        }
        let counts = upstream.counts();
        assert_eq!(counts.calls, 60);
        assert!(counts.opened <= 6, "{counts:?}");
    }
}

#[tokio::test]
async fn errors_leave_connections_usable() {
    let (upstream, proxy) = start("retry.max_attempts = 1\nbreaker.enabled = false").await;
    for number in 0..20 {
        upstream.once(Act::error(if number % 2 == 0 { 400 } else { 500 }, &[]));
        proxy.chat(&ask(&number.to_string())).await;
    }
    assert!(upstream.counts().opened <= 2, "{:?}", upstream.counts());
}

#[tokio::test]
async fn who_waited_too_long_for_a_socket_is_no_failure_of_the_upstream() {
    let settings = "upstream.max_connections = 1\nupstream.total_timeout = \"500ms\"\n\
        retry.max_attempts = 1\nbreaker.failure_threshold = 1";
    let (upstream, proxy) = start(settings).await;
    let (silent, clock) = start("upstream.total_timeout = \"300ms\"").await;
    silent.set(Act::only(End::Silence));
    let gate = Gate::new();
    let act = Act::stream()
        .chunk(event(&delta("Hi.")))
        .wait(&gate)
        .chunk(event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let mut first = proxy.stream(&ask_stream("first")).await;
    first.next().await.unwrap();
    // Whoever gets the socket next has less time left for it than it waited.
    upstream.set(Act::only(End::Silence));
    let proxy = Arc::new(proxy);
    let mut late = JoinSet::new();
    for number in 0..5 {
        let proxy = Arc::clone(&proxy);
        late.spawn(async move { proxy.chat(&ask(&number.to_string())).await });
    }
    within("the calls' arrival", async {
        while requests(&proxy).await < 6 {}
    })
    .await;
    assert_eq!(clock.chat(&ask("300 ms")).await.status, 504);
    gate.open();
    assert_eq!(first.all().await.last().unwrap(), "[DONE]");
    for answer in within("the late ones", late.join_all()).await {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], "upstream_sockets_busy");
        assert_ne!(answer.header("retry-after"), "");
    }
    let health = proxy.get("/health/circuit-breakers").await.json();
    assert!(!health.to_string().contains("OPEN"), "{health}");
    upstream.set(Act::says("Hello."));
    assert_eq!(proxy.chat(&ask("after")).await.status, 200);
}

/// How many requests the proxy works on or has worked on.
async fn requests(proxy: &Proxy) -> u64 {
    let stats = proxy.get("/api/optimization-stats").await.json();
    stats["performance"]["totalRequests"].as_u64().unwrap()
}
