//! P17: what has no end, or grows when it is unpacked, stops at the limit; the process does not grow with it.

use flate2::{Compress, Compression, FlushCompress};
use http::Method;

use super::{Act, Door, End, JSON, Nest, ONE_ATTEMPT, Upstream, assert_alive, start};
use crate::support::{delta, event, gzip, within};

/// Far less than any of these would take unbounded.
const GROWTH: usize = 128 << 20;

const PATH: &str = "/v1/files/x/content";

/// A piece of a compressed body that can follow itself for ever; each time it says `line` until it has said a megabyte.
fn segment(line: &str) -> Vec<u8> {
    let text = line.repeat((1 << 20) / line.len());
    let mut compress = Compress::new(Compression::best(), false);
    let mut packed = Vec::with_capacity(text.len());
    compress
        .compress_vec(text.as_bytes(), &mut packed, FlushCompress::Full)
        .unwrap();
    packed
}

/// A compressed body without an end.
fn endless(encoding: &str, content_type: &str, line: &str) -> Act {
    let begin: &[u8] = match encoding {
        "gzip" => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3],
        _ => &[0x78, 0xda],
    };
    unframed(content_type, encoding)
        .send(begin.to_vec())
        .flood_raw(segment(line))
}

fn unframed(content_type: &str, encoding: &str) -> Act {
    Act::bytes(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-encoding: {encoding}\r\n\r\n"
    ))
}

/// Bodies that are too large, whatever they are taken for.
fn bodies(content_type: &str) -> Vec<(&'static str, Act)> {
    let blanks = vec![b' '; 64 << 10];
    let headers = [("content-type", content_type)];
    let announced = |length: &str| {
        Act::bytes(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        ))
    };
    let member = gzip(&vec![0; 1 << 20]);
    vec![
        ("endless gzip", endless("gzip", content_type, " ")),
        ("endless deflate", endless("deflate", content_type, " ")),
        (
            "512 MiB of gzip in as many members",
            unframed(content_type, "gzip")
                .send(member.repeat(512))
                .then(End::Close),
        ),
        ("256 MiB", announced("268435456").flood_raw(blanks.clone())),
        (
            "more than there are bytes",
            announced("18446744073709551614").flood_raw(blanks.clone()),
        ),
        ("endless chunks", Act::chunked(200, &headers).flood(&blanks)),
        (
            "an endless body",
            unframed(content_type, "identity").flood_raw(blanks.clone()),
        ),
        (
            "an endless chunk extension",
            Act::chunked(200, &headers)
                .send("5;")
                .flood_raw("x".repeat(4096)),
        ),
        (
            "a chunk size without an end",
            Act::chunked(200, &headers)
                .send("0".repeat(64 << 10))
                .then(End::Silence),
        ),
        (
            "endless trailers",
            Act::chunked(200, &headers)
                .send("1\r\n \r\n0\r\n")
                .flood_raw("x-trailer: x\r\n".repeat(300)),
        ),
    ]
}

/// A process that has answered through all doors, so that what it only needs once is there; and what it holds then.
async fn warm(settings: &str) -> (Upstream, Nest, usize) {
    let (upstream, mut nest) = start(&format!("{ONE_ATTEMPT}{settings}")).await;
    for door in Door::ALL {
        let outcome = door.ask(&nest, "warm up").await;
        outcome.assert_answer("Hello.", "at first");
    }
    let memory = nest.process().resident_bytes();
    (upstream, nest, memory)
}

/// At no time did it hold so much more than when it was warm.
fn assert_small(nest: &mut Nest, memory: usize, bound: usize, what: &str) {
    let grown = nest.process().peak_resident_bytes().saturating_sub(memory);
    assert!(grown < bound, "{what}: {} MiB", grown >> 20);
}

/// What sends for ever without a byte of an answer is silent; nobody here waits long for the end of it.
const SHORT: &str = "[upstream]\nread_timeout = \"2s\"";

/// Every one of these through these doors; each must be refused, and the process stay small.
async fn assert_bounded(bombs: Vec<(&'static str, Act)>, doors: &[Door]) {
    for (bomb, act) in bombs {
        for &door in doors {
            let what = format!("{bomb}, {door:?}");
            let (upstream, mut nest, memory) = warm(SHORT).await;
            upstream.set(act.clone());
            door.ask(&nest, &what).await.assert_failure(&what);
            assert_small(&mut nest, memory, GROWTH, &what);
            assert_alive(&nest, bomb).await;
            // Nobody is sent to any longer.
            upstream.wait_for(&what, |now| now.busy == 0).await;
        }
    }
}

#[tokio::test]
async fn p17_a_body_without_an_end_is_an_error_and_takes_little_memory() {
    let doors = [Door::Chat, Door::CreateStream, Door::Turn];
    assert_bounded(bodies("application/json"), &doors).await;
}

#[tokio::test]
async fn p17_nor_does_a_stream_of_bytes_without_an_event_grow() {
    assert_bounded(bodies("text/event-stream"), &[Door::Chat, Door::ChatStream]).await;
}

#[tokio::test]
async fn p17_an_endless_head_is_an_error() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let heads = [
        (
            "a status line",
            Act::bytes("HTTP/1.1 200 ").flood_raw("O".repeat(4096)),
        ),
        (
            "a header's name",
            Act::bytes("HTTP/1.1 200 OK\r\n").flood_raw("x".repeat(4096)),
        ),
        (
            "a header's value",
            Act::bytes("HTTP/1.1 200 OK\r\nx-a: ").flood_raw("x".repeat(4096)),
        ),
        (
            "headers",
            Act::bytes("HTTP/1.1 200 OK\r\n").flood_raw("x-a: x\r\n".repeat(512)),
        ),
        (
            "a folded header",
            Act::bytes("HTTP/1.1 200 OK\r\nx-a: x\r\n").flood_raw("\tx\r\n".repeat(1024)),
        ),
        (
            "a head in a hint",
            Act::bytes("HTTP/1.1 103 Early Hints\r\n").flood_raw("x-a: x\r\n".repeat(512)),
        ),
        ("garbage", Act::bytes("").flood_raw(vec![0; 4096])),
        ("empty lines", Act::bytes("").flood_raw("\r\n".repeat(2048))),
        ("hints", Act::bytes("").flood_raw(hint.repeat(100))),
    ];
    for (head, act) in heads {
        let (upstream, mut nest, memory) = warm("[upstream]\ntotal_timeout = \"2s\"").await;
        upstream.set(act);
        for door in [Door::Chat, Door::CreateStream] {
            let what = format!("{head}, {door:?}");
            door.ask(&nest, &what).await.assert_refused(&what);
        }
        let answer = nest.get(PATH).await;
        assert!((502..=504).contains(&answer.status), "{head}: {answer:?}");
        assert_small(&mut nest, memory, GROWTH, head);
        upstream.wait_for("the hang-ups", |now| now.busy == 0).await;
    }
}

#[tokio::test]
async fn p17_endless_events_are_an_error_however_small_they_are() {
    let choice = |index: usize| {
        event(&format!(
            "{{\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":null}}]}}"
        ))
    };
    let floods: [(&str, String); 11] = [
        ("the smallest", event("{}")),
        ("deltas", event(&delta("x"))),
        ("large deltas", event(&delta(&"x".repeat(60_000)))),
        ("no choices", event("{\"choices\":[]}")),
        ("pings", "event: ping\ndata: {}\n\n".into()),
        ("comments", ":\n".into()),
        ("empty data", "data:\n\n".into()),
        ("ids", "id: 1\n".into()),
        ("lines of one event", "data: x\n".into()),
        ("one line", "x".into()),
        ("ever more choices", (0..5000).map(choice).collect()),
    ];
    // A sixteenth of the shipped limit, for so many small events take their time; and all of them in one process.
    let (upstream, mut nest, memory) = warm("[upstream]\nmax_response_bytes = \"2MiB\"").await;
    for (flood, events) in floods {
        let piece = events.repeat(1 + (32 << 10) / events.len());
        let mut acts = vec![("as it is", Act::stream().flood(&piece))];
        if events.len() < 1000 {
            acts.push(("in gzip", endless("gzip", "text/event-stream", &events)));
        }
        for (how, act) in acts {
            upstream.set(act);
            for door in [Door::ChatStream, Door::Create] {
                let what = format!("{flood}, {how}, {door:?}");
                door.ask(&nest, &what).await.assert_failure(&what);
                assert_small(&mut nest, memory, GROWTH, &what);
            }
        }
    }
}

#[tokio::test]
async fn p17_bombs_in_forwarded_answers_break_off() {
    let limit = 32 << 20;
    let mut bombs: Vec<_> = bodies("application/json");
    bombs.extend(bodies("application/octet-stream"));
    bombs.extend(bodies("text/event-stream"));
    for (bomb, act) in bombs {
        for (method, path) in [(Method::POST, "/v1/embeddings"), (Method::GET, PATH)] {
            let what = format!("{bomb}, {path}");
            let (upstream, mut nest, memory) = warm(SHORT).await;
            upstream.set(act.clone());
            let request = nest
                .request(method, path)
                .header("content-type", "application/json");
            let (status, received, is_whole) = receive(request, &what).await;
            assert!(
                !is_whole || (502..=504).contains(&status),
                "{what}: {status} looks complete"
            );
            assert!(received <= limit, "{what}: {received} bytes");
            assert_small(&mut nest, memory, GROWTH, &what);
            upstream.wait_for(&what, |now| now.busy == 0).await;
        }
    }
}

/// The status, how many bytes came, and whether they claimed to be all.
async fn receive(request: reqwest::RequestBuilder, what: &str) -> (u16, usize, bool) {
    // An answer that breaks before its first byte may take its head with it.
    let Ok(mut answer) = within(what, request.send()).await else {
        return (0, 0, false);
    };
    let mut received = 0;
    loop {
        match within(what, answer.chunk()).await {
            Ok(Some(chunk)) => received += chunk.len(),
            end => return (answer.status().as_u16(), received, end.is_ok()),
        }
    }
}

#[tokio::test]
async fn p17_bombs_in_error_pages_are_errors() {
    let mut bombs = Vec::new();
    for status in [400, 404, 429, 500, 503] {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ];
        let packed = Act::chunked(status, &headers)
            .chunk([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3])
            .flood(segment(" "));
        bombs.push(("a bomb", packed));
        bombs.push((
            "an endless page",
            Act::chunked(status, &JSON).flood(vec![b' '; 64 << 10]),
        ));
    }
    assert_bounded(bombs, &[Door::Chat, Door::CreateStream]).await;
}

#[tokio::test]
async fn p17_what_unpacks_to_nothing_for_ever_ends_at_the_timeout() {
    // A name in the head of a gzip file: no byte ever comes out.
    let name = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, 3];
    let (upstream, mut nest, memory) = warm("[upstream]\nread_timeout = \"1s\"").await;
    for content_type in ["application/json", "text/event-stream"] {
        upstream.set(
            unframed(content_type, "gzip")
                .send(name.to_vec())
                .flood_raw("x".repeat(4096)),
        );
        for door in [Door::Chat, Door::CreateStream] {
            let what = format!("{content_type}, {door:?}");
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_refused(&what);
            assert_eq!(outcome.status, 504, "{what}: {outcome:?}");
            assert_small(&mut nest, memory, GROWTH, &what);
        }
    }
    upstream.wait_for("the hang-ups", |now| now.busy == 0).await;
    // Files without a byte, one after the other.
    upstream.set(unframed("application/json", "gzip").flood_raw(gzip(b"").repeat(200)));
    for door in Door::ALL {
        let what = format!("empty files, {door:?}");
        door.ask(&nest, &what).await.assert_refused(&what);
        assert_small(&mut nest, memory, GROWTH, &what);
    }
}
