//! P24: a client that does not read holds the upstream back, not the process's memory.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Act, Door, Events, Nest, Upstream, delta, event, json, open, start, within};

/// No limit of ours ends the stream, and nobody loses patience.
const SETTINGS: &str = "server.write_timeout = \"10m\"\n\
    [upstream]\nmax_response_bytes = \"4GiB\"\nread_timeout = \"10m\"\ntotal_timeout = \"10m\"\n";

/// What memory may grow by.
const GROWTH: usize = 48 << 20;

/// What two connections hold at most by themselves, with what the proxy may read ahead: 6 MiB to read and 4 MiB to
/// write each, as Linux sizes its buffers.
const AHEAD: usize = 32 << 20;

/// Asks for a stream and reads no more than its head.
async fn ask_and_stall(nest: &Nest, method: &str, path: &str, body: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(nest.address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: nest\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut byte = [0];
    within("the head", stream.read_exact(&mut byte))
        .await
        .unwrap();
    stream
}

/// Waits until the upstream can write no more: others are answered again and again and it has not come any further.
async fn until_held_back(upstream: &Upstream, nest: &Nest, what: &str) -> usize {
    let (mut written, mut still) = (0, 0);
    while still < 30 {
        for number in 0..4 {
            let prompt = format!("{what} {written} {still} {number}");
            Door::Chat
                .ask(nest, &prompt)
                .await
                .assert_answer("Hello.", &prompt);
        }
        let now = upstream.counts().written;
        // The answers to the others count, too.
        still = if now - written < 16 << 10 {
            still + 1
        } else {
            0
        };
        written = now;
        assert!(
            written < 256 << 20,
            "{what}: nothing holds the upstream back"
        );
    }
    written
}

/// Endless streams, of small pieces and of large ones.
fn floods() -> [(&'static str, Act); 2] {
    let small = event(&delta("token ")).repeat(100);
    let large = event(&delta(&"x".repeat(16 << 10)));
    [
        ("small", Act::stream().flood(small)),
        ("large", Act::stream().flood(large)),
    ]
}

#[tokio::test]
async fn p24_who_does_not_read_holds_the_upstream_back() {
    let opaque = json!({"model": "m", "prompt": "x", "stream": true}).to_string();
    let mut asks: Vec<_> = [Door::ChatStream, Door::CreateStream]
        .into_iter()
        .map(|door| ("POST", door.path(), door.body("stall").to_string()))
        .collect();
    asks.push(("POST", "/v1/responses", opaque));
    asks.push(("GET", "/v1/files/x/content", String::new()));
    for (method, path, body) in asks {
        for (size, flood) in floods() {
            let what = format!("{method} {path}, {size}");
            let (upstream, mut nest) = start(SETTINGS).await;
            Door::Chat
                .ask(&nest, "warm up")
                .await
                .assert_answer("Hello.", &what);
            let memory = nest.process().resident_bytes();
            upstream.once(flood);
            let stalled = ask_and_stall(&nest, method, path, &body).await;
            let written = until_held_back(&upstream, &nest, &what).await;
            assert!(written < AHEAD, "{what}: {} MiB", written >> 20);
            let grown = nest.process().peak_resident_bytes().saturating_sub(memory);
            assert!(grown < GROWTH, "{what}: {} MiB", grown >> 20);
            assert_eq!(upstream.counts().hang_ups, 0, "{what}");
            drop(stalled);
            upstream.wait_for(&what, |now| now.hang_ups == 1).await;
        }
    }
}

#[tokio::test]
async fn p24_a_slow_reader_gets_every_byte_in_the_end() {
    let (upstream, nest) = start(SETTINGS).await;
    let piece = "y".repeat(16 << 10);
    // More than all buffers hold.
    let act = (0..2048).fold(Act::stream(), |act, _| act.chunk(event(&delta(&piece))));
    upstream.once(act.chunk(super::ending()).last_chunk());
    let events = open(&nest, Door::ChatStream, "slow", &[]).await;
    until_held_back(&upstream, &nest, "slow").await;
    let all = events.all().await;
    let text = crate::support::text_of(&all);
    assert_eq!(
        (text.len(), all.last().unwrap().as_str()),
        (2048 * piece.len(), "[DONE]")
    );
}

/// Reads until the end, and gives the bytes of text.
async fn read_all(mut events: Events) -> (usize, String) {
    let (mut bytes, mut last) = (0, String::new());
    while let Some(event) = events.next().await {
        bytes += event.len();
        last = event;
    }
    (bytes, last)
}

#[tokio::test]
async fn p24_one_of_two_readers_does_not_read() {
    // The shipped limit ends it for the one who reads; who does not costs no more than that answer.
    for (size, flood) in floods() {
        let (upstream, mut nest) = start("server.write_timeout = \"10m\"\n").await;
        Door::Chat
            .ask(&nest, "warm up")
            .await
            .assert_answer("Hello.", size);
        let memory = nest.process().resident_bytes();
        upstream.once(flood);
        let body = Door::ChatStream.body("shared").to_string();
        let stalled = ask_and_stall(&nest, "POST", Door::ChatStream.path(), &body).await;
        let reader = open(&nest, Door::ChatStream, "shared", &[]).await;
        assert_eq!(reader.header("x-cache"), "COALESCED", "{size}");
        let (bytes, last) = read_all(reader).await;
        assert!(
            bytes < 33 << 20 && last.contains("upstream_answer_too_large"),
            "{size}: {bytes} {last}"
        );
        let grown = nest.process().peak_resident_bytes().saturating_sub(memory);
        assert!(grown < 2 * GROWTH, "{size}: {} MiB", grown >> 20);
        upstream.wait_for("the end", |now| now.busy == 0).await;
        drop(stalled);
    }
}
