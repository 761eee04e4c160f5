//! P18: an upstream that is not there.

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{Door, EACH_FOR_ITSELF, Nest, assert_alive};
use crate::support::within;

/// Asks through every door, and of `/v1/embeddings`; nothing gets more than an error, and the process stays well.
async fn assert_absent(nest: &Nest, statuses: &[u16], what: &str) {
    for door in Door::ALL {
        let what = format!("{what}, {door:?}");
        let outcome = door.ask(nest, &what).await;
        outcome.assert_refused(&what);
        assert!(statuses.contains(&outcome.status), "{what}: {outcome:?}");
    }
    let answer = nest
        .post("/v1/embeddings", &Door::Chat.body("x"), &[])
        .await;
    assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
    assert!(answer.json()["error"]["message"].is_string(), "{answer:?}");
    assert_alive(nest, what).await;
}

#[tokio::test]
async fn p18_a_refused_connection_is_a_502() {
    // Bound, so that nobody else gets the port, but deaf.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/v1", deaf.local_addr().unwrap());
    let nest = Nest::before(&url, EACH_FOR_ITSELF, &[]).await;
    assert_absent(&nest, &[502], "refused").await;
    // With the shipped breaker: at first refused, then not even tried.
    let nest = Nest::before(&url, super::super::SETTINGS, &[]).await;
    assert_absent(&nest, &[502, 503], "refused").await;
    let outcome = Door::Chat.ask(&nest, "after all that").await;
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (503, Some("circuit_open"))
    );
    assert!(outcome.headers.contains_key("retry-after"), "{outcome:?}");
}

#[tokio::test]
async fn p18_a_name_that_does_not_resolve_is_a_502() {
    for name in ["no-such-host.invalid", "a..b.invalid", "[::ffff:0:0]"] {
        let url = format!("http://{name}:9/v1");
        let settings = format!("{EACH_FOR_ITSELF}[upstream]\nconnect_timeout = \"2s\"");
        let nest = Nest::before(&url, &settings, &[]).await;
        assert_absent(&nest, &[502, 503, 504], name).await;
    }
}

#[tokio::test]
async fn p18_a_connection_that_is_never_accepted_is_a_504() {
    // A backlog that is full: the kernel drops whoever knocks.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut knocking = JoinSet::new();
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(
            within("a place in the backlog", TcpStream::connect(address))
                .await
                .unwrap(),
        );
    }
    for _ in 0..8 {
        knocking.spawn(TcpStream::connect(address));
    }
    let settings =
        "breaker.enabled = false\nretry.max_attempts = 1\n[upstream]\nconnect_timeout = \"300ms\"";
    let nest = Nest::before(&format!("http://{address}/v1"), settings, &[]).await;
    assert_absent(&nest, &[504], "dropped").await;
    drop((listener, held));
}

#[tokio::test]
async fn p18_an_upstream_that_speaks_no_tls_is_an_error() {
    let settings =
        "breaker.enabled = false\nretry.max_attempts = 1\n[upstream]\nconnect_timeout = \"300ms\"";
    for (what, words) in [
        ("plain HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("nothing", ""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/v1", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(words.as_bytes()).await;
                held.push(stream);
            }
        });
        let nest = Nest::before(&url, settings, &[]).await;
        assert_absent(&nest, &[502, 504], what).await;
    }
}
