//! How much the proxy takes on at once, and what it says to the rest.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    Act, Gate, Proxy, Upstream, ask, ask_stream, delta, event, finish, raw, within,
};

const TWO: &str = "[server]\nmax_in_flight = 2";

async fn assert_full(proxy: &Proxy) {
    let openai = proxy.chat(&ask("one too many")).await;
    let native = proxy
        .post("/create", &json!({"prompt": "one too many"}), &[])
        .await;
    let other = proxy.get("/v1/models").await;
    for answer in [&openai, &native, &other] {
        assert_eq!(answer.status, 503, "{answer:?}");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{answer:?}");
    }
    assert_eq!(openai.json()["error"]["type"], "overloaded_error");
    assert_eq!(openai.json()["error"]["code"], "overloaded");
    assert_eq!(native.json()["code"], "overloaded");
    // What tells how the proxy is must answer also when it is busy.
    for path in ["/health", "/health/ready", "/api/optimization-stats"] {
        assert_eq!(proxy.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn beyond_max_in_flight_it_is_503_until_one_has_ended() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TWO, &upstream).await;
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    let (one, two) = (ask("one"), ask("two"));
    let both = async { tokio::join!(proxy.chat(&one), proxy.chat(&two)) };
    let then = async {
        upstream
            .wait_for("two calls", |counts| counts.busy == 2)
            .await;
        assert_full(&proxy).await;
        assert_eq!(upstream.calls(), 2);
        gate.open();
    };
    let ((one, two), ()) = tokio::join!(both, then);
    assert_eq!((one.status, two.status), (200, 200));
    for prompt in ["three", "four", "five"] {
        assert_eq!(proxy.chat(&ask(prompt)).await.status, 200);
    }
}

#[tokio::test]
async fn a_stream_counts_until_its_last_byte() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TWO, &upstream).await;
    let gate = Gate::new();
    let slow = Act::stream()
        .chunk(event(&delta("one ")))
        .wait(&gate)
        .chunk(event(&delta("two")))
        .chunk(event(&finish("stop")))
        .chunk(event("[DONE]"))
        .last_chunk();
    upstream.set(slow);
    let mut first = proxy.stream(&ask_stream("one")).await;
    let second = proxy.stream(&ask_stream("two")).await;
    assert!(
        first.next().await.is_some(),
        "its head and its first event are here"
    );
    assert_full(&proxy).await;
    gate.open();
    for stream in [first, second] {
        assert_eq!(
            stream.all().await.last().map(String::as_str),
            Some("[DONE]")
        );
    }
    assert_eq!(proxy.chat(&ask_stream("three")).await.status, 200);
}

#[tokio::test]
async fn clients_that_leave_give_their_place_back() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TWO, &upstream).await;
    let never = Gate::new();
    upstream.script({
        let never = never.clone();
        move |request| request.answer("Hello.").after(&never)
    });
    for (round, prompt) in ["a", "b", "c", "d"].iter().enumerate() {
        let question = ask(prompt);
        let asked = upstream.wait_for("the call", |counts| counts.calls == round + 1);
        tokio::select! {
            answer = proxy.chat(&question) => panic!("{answer:?}"),
            _ = asked => {}
        }
        // Dropping the request closes its connection; the proxy hangs up in its turn.
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == round + 1)
            .await;
    }
}

async fn exchange(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    client
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        if client.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer)
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_connections = 2", &upstream).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        within("an answer", exchange(&mut client)).await.unwrap();
        clients.push(client);
    }
    let mut third = TcpStream::connect(proxy.address).await.unwrap();
    let mut waiting = Box::pin(exchange(&mut third));
    // A proxy that let it in would answer in no time.
    let early = timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "it was let in: {early:?}");
    within("the others are served meanwhile", exchange(&mut clients[1]))
        .await
        .unwrap();
    drop(clients.remove(0));
    within("the third one's turn", waiting).await.unwrap();
}

/// P73: one address cannot take all the places.
#[tokio::test]
async fn p73_connections_of_one_address_beyond_its_limit_are_told_so_and_closed() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_connections_per_ip = 2", &upstream).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        within("an answer", exchange(&mut client)).await.unwrap();
        clients.push(client);
    }
    // Whether it asks something or nothing.
    for asked in ["", "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let answer = raw(proxy.address, asked).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "too_many_connections");
        assert!(
            body["error"]
                .as_str()
                .unwrap()
                .contains("max_connections_per_ip")
        );
    }
    within("the others are served meanwhile", exchange(&mut clients[1]))
        .await
        .unwrap();
    drop(clients.remove(0));
    // When the proxy has noticed is its own affair; until then the answer is 429.
    let freed = async {
        loop {
            let mut client = TcpStream::connect(proxy.address).await.unwrap();
            if exchange(&mut client).await.is_ok() {
                return;
            }
        }
    };
    within("a place of the address's own", freed).await;
}

#[tokio::test]
async fn a_body_that_is_still_on_its_way_takes_no_place() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_in_flight = 1", &upstream).await;
    let body = json!({"model": "m", "prompt": "slow", "input": "slow",
        "messages": [{"role": "user", "content": "slow"}]});
    let body = body.to_string();
    let (begin, rest) = body.split_at(body.len() / 2);
    for path in ["/create", "/v1/chat/completions", "/v1/embeddings"] {
        let mut slow = TcpStream::connect(proxy.address).await.unwrap();
        // Leave to go on is given by who has begun to read.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut leave = [0; 25];
        within("leave to go on", slow.read_exact(&mut leave))
            .await
            .unwrap();
        slow.write_all(begin.as_bytes()).await.unwrap();
        let fast = proxy.chat(&ask(&format!("beside {path}"))).await;
        assert_eq!(fast.status, 200, "{path}: {fast:?}");
        slow.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("the slow one's answer", slow.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_and_its_upstream_call_ends() {
    let upstream = Upstream::start().await;
    let settings = "[server]\nwrite_timeout = \"200ms\"\nmax_in_flight = 1\n\
        [upstream]\nmax_response_bytes = \"4GiB\"";
    let piece = event(&delta(&"x".repeat(64 * 1024)));
    for path in ["/v1/chat/completions", "/create"] {
        let proxy = Proxy::start(settings, &upstream).await;
        upstream.once(Act::stream().flood(&piece));
        let mut body = ask_stream("endless");
        body["prompt"] = "endless".into();
        let body = body.to_string();
        let mut deaf = TcpStream::connect(proxy.address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        deaf.write_all(request.as_bytes()).await.unwrap();
        let before = upstream.counts().hang_ups;
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == before + 1)
            .await;
        // What had been sent is still to be read, and then there is an end to it.
        let mut rest = Vec::new();
        let end = within("the cut", deaf.read_to_end(&mut rest)).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{path}: {end:?}");
        assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
        // Its place is free again.
        assert_eq!(proxy.chat(&ask("next")).await.status, 200, "{path}");
    }
}
