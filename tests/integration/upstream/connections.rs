//! Which connections are used again, which are not, and how those end that nobody needs.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Act, End, Gate, Method, Proxy, ask, start, within};

const BODY: &str = "{\"data\":[]}";

fn plain(start: &str, headers: &str) -> Act {
    Act::bytes(format!(
        "{start} 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{BODY}",
        BODY.len()
    ))
}

fn unframed(start: &str) -> Act {
    Act::bytes(format!(
        "{start} 200 OK\r\ncontent-type: application/json\r\n\r\n{BODY}"
    ))
    .then(End::Close)
}

fn chunked() -> Act {
    Act::chunked(200, &[("content-type", "application/json")]).chunk(BODY)
}

#[tokio::test]
async fn a_connection_is_used_again_where_its_answer_allows_it() {
    const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let empty = |status: &str| Act::bytes(format!("HTTP/1.1 {status}\r\n\r\n"));
    let behind = |bytes: &str| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n";
        Act::bytes(format!("{head}{BODY}{bytes}"))
    };
    let (get, head) = (Method::GET, Method::HEAD);
    let acts = [
        ("a length", true, &get, plain("HTTP/1.1", "")),
        ("chunks", true, &get, chunked().last_chunk()),
        (
            "chunks in one packet",
            true,
            &get,
            Act::bytes(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{BODY}\r\n0\r\n\r\n"
            )),
        ),
        (
            "a trailer",
            true,
            &get,
            chunked().send("0\r\nx-sum: 1\r\n\r\n"),
        ),
        ("byte by byte", true, &get, plain("HTTP/1.1", "").drip()),
        ("204", true, &get, empty("204 No Content")),
        ("304", true, &get, empty("304 Not Modified")),
        ("no bytes", true, &get, Act::response(200, &[], "")),
        ("HEAD", true, &head, empty("200 OK\r\ncontent-length: 11")),
        (
            "1.0, kept alive",
            true,
            &get,
            plain("HTTP/1.0", "connection: keep-alive\r\n"),
        ),
        ("1.0", false, &get, plain("HTTP/1.0", "")),
        ("1.0 without a length", false, &get, unframed("HTTP/1.0")),
        ("no length", false, &get, unframed("HTTP/1.1")),
        (
            "closing",
            false,
            &get,
            plain("HTTP/1.1", "connection: close\r\n"),
        ),
        (
            "closed behind it",
            false,
            &get,
            plain("HTTP/1.1", "").then(End::Close),
        ),
        ("another answer behind it", false, &get, behind(SMUGGLED)),
        ("a byte behind it", false, &get, behind("x")),
        (
            "another answer behind a 204",
            false,
            &get,
            empty(&format!("204 No Content\r\n\r\n{SMUGGLED}")),
        ),
        ("a body after HEAD", false, &head, plain("HTTP/1.1", "")),
    ];
    for (what, is_kept, method, act) in acts {
        let (upstream, proxy) = start("retry.max_attempts = 1").await;
        upstream.set(act);
        for _ in 0..3 {
            let answer = proxy
                .send(proxy.request(method.clone(), "/v1/models"))
                .await;
            assert!(
                matches!(answer.status, 200 | 204 | 304),
                "{what}: {answer:?}"
            );
            assert!(
                answer.body.is_empty() || answer.body == BODY,
                "{what}: {answer:?}"
            );
        }
        let opened = upstream.counts().opened;
        assert_eq!(opened, if is_kept { 1 } else { 3 }, "{what}");
    }
}

#[tokio::test]
async fn what_comes_over_an_idle_connection_is_no_answer() {
    let (upstream, proxy) = start("retry.max_attempts = 1").await;
    let gate = Gate::new();
    upstream.once(
        plain("HTTP/1.1", "")
            .wait(&gate)
            .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
    );
    upstream.set(plain("HTTP/1.1", ""));
    let first = proxy.get("/v1/models").await;
    let before = upstream.counts().written;
    gate.open();
    upstream
        .wait_for("the uncalled-for answer", |now| now.written > before)
        .await;
    let second = proxy.get("/v1/models").await;
    assert_eq!(
        (&*first.body, &*second.body),
        (BODY.as_bytes(), BODY.as_bytes())
    );
    assert_eq!(upstream.last().connection, 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    for http2 in [false, true] {
        let settings = format!("upstream.idle_timeout = \"20ms\"\nupstream.http2 = {http2}");
        let (upstream, proxy) = start(&settings).await;
        assert_eq!(proxy.chat(&ask("q")).await.status, 200);
        // With no other call that would find it.
        upstream.wait_for("its end", |now| now.open == 0).await;
        assert_eq!(upstream.counts().hang_ups, 0);
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_ends_is_ended_at_once() {
    let (upstream, proxy) = start("upstream.idle_timeout = \"10m\"").await;
    upstream.set(plain("HTTP/1.1", "").then(End::HalfClose));
    assert_eq!(proxy.get("/v1/models").await.status, 200);
    upstream
        .wait_for("the other direction's end", |now| now.open == 0)
        .await;
}

/// Accepts a connection and reads the head of a request.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let byte = within("the head", stream.read_u8()).await.unwrap();
        head.push(byte);
    }
    stream
}

/// More than sockets hold on their own.
#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_request_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let proxy = Proxy::before(&base_url, "retry.max_attempts = 1").await;
    let upload = || {
        let request = proxy.request(Method::POST, "/v1/files");
        let request = request.header("content-type", "application/octet-stream");
        proxy.send(request.body(vec![b'x'; 8 << 20]))
    };
    let serve = async {
        let refusal = "HTTP/1.1 413 Too Large\r\ncontent-length: 7\r\n\r\nnot me!";
        let mut first = accept(&listener).await;
        first.write_all(refusal.as_bytes()).await.unwrap();
        // Half sent, the first one is good for nothing.
        let mut second = accept(&listener).await;
        second.write_all(refusal.as_bytes()).await.unwrap();
        (first, second)
    };
    let asked = async { (upload().await, upload().await) };
    let ((first, second), _open) = tokio::join!(asked, serve);
    assert_eq!((first.status, second.status), (413, 413), "{first:?}");
}
