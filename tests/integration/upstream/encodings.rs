//! Compressed answers: read to their end, in as many parts as they come, and never passed off as whole when they are not.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::Method;

use super::start;
use crate::support::{Act, ask, completion};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer in these pieces, each a chunk of its own.
fn chunked(encoding: &str, kind: &str, pieces: &[&[u8]]) -> Act {
    let headers = [("content-type", kind), ("content-encoding", encoding)];
    let begun = Act::chunked(200, &headers);
    pieces.iter().fold(begun, Act::chunk).last_chunk()
}

/// Whole or not at all: of a chat completion, a call that is passed on, and one whose body streams.
#[tokio::test]
async fn p15_compressed_answers_are_whole_or_an_error() {
    let (upstream, proxy) =
        start("cache.enabled = false\nbreaker.enabled = false\nretry.max_attempts = 1").await;
    let whole = completion("Two members make one answer.").to_string();
    let (one, two) = whole.as_bytes().split_at(whole.len() / 2);
    let (first, second) = (gzip(one), gzip(two));
    let both = [first.clone(), second.clone()].concat();
    let alone = gzip(whole.as_bytes());
    let cut = &alone[..alone.len() - 4];
    let deflated = zlib(whole.as_bytes());
    let drip: Vec<_> = both.chunks(1).collect();
    let cases: [(&str, &str, &[&[u8]], bool); 13] = [
        ("one member", "gzip", &[&alone], true),
        ("by its older name", "x-gzip", &[&alone], true),
        ("in capitals", "GZIP", &[&alone], true),
        ("two members in one piece", "gzip", &[&both], true),
        (
            "two members in two pieces",
            "gzip",
            &[&first, &second],
            true,
        ),
        ("byte by byte", "gzip", &drip, true),
        ("zlib", "deflate", &[&deflated], true),
        ("cut in its last bytes", "gzip", &[cut], false),
        (
            "the second member cut",
            "gzip",
            &[&first, &second[..9]],
            false,
        ),
        ("something behind it", "gzip", &[&alone, b"and more"], false),
        (
            "something right behind it",
            "gzip",
            &[&[&alone[..], b"and more"].concat()],
            false,
        ),
        (
            "something behind zlib",
            "deflate",
            &[&[&deflated[..], b"and more"].concat()],
            false,
        ),
        ("none at all", "gzip", &[whole.as_bytes()], false),
    ];
    for (what, encoding, pieces, is_good) in cases {
        upstream.set(chunked(encoding, "application/json", pieces));
        let chat = proxy.chat(&ask("q")).await;
        let embedding = proxy.post("/v1/embeddings", &ask("q"), &[]).await;
        for (path, answer) in [("chat", &chat), ("embeddings", &embedding)] {
            assert_eq!(
                answer.status,
                if is_good { 200 } else { 502 },
                "{what}, {path}: {answer:?}"
            );
            assert!(
                !is_good || answer.body == whole,
                "{what}, {path}: {answer:?}"
            );
            assert_eq!(answer.header("content-encoding"), "", "{what}, {path}");
        }
        upstream.set(chunked(encoding, "audio/mpeg", pieces));
        let file = proxy.request(Method::GET, "/v1/files/1/content");
        let got = match file.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                response.bytes().await.map(|body| (status, body))
            }
            // What breaks right at its beginning breaks the connection.
            Err(error) => Err(error),
        };
        let is_whole = matches!(&got, Ok((200, body)) if *body == whole);
        let is_refused = matches!(&got, Err(_) | Ok((502, _)));
        assert!(
            if is_good { is_whole } else { is_refused },
            "{what}, file: {got:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_no_broken_one() {
    let (upstream, proxy) = start("").await;
    for encoding in ["gzip", "deflate"] {
        let headers = [
            ("content-encoding", encoding),
            ("content-type", "application/json"),
        ];
        upstream.set(Act::response(200, &headers, ""));
        let answer = proxy.get("/v1/models").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
        // The answer to HEAD says how long the body would be.
        let headers = [("content-encoding", encoding), ("content-length", "77")];
        let head = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .concat();
        upstream.set(Act::bytes(format!("HTTP/1.1 200 OK\r\n{head}\r\n")));
        let answer = proxy.send(proxy.request(Method::HEAD, "/v1/models")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            proxy
                .send(proxy.request(Method::HEAD, "/v1/models"))
                .await
                .status,
            200
        );
    }
}
