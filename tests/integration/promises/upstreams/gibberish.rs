//! P15: bytes that are no answer, and odd ones that are.

use super::{Act, Bytes, Door, End, JSON, ONE_ATTEMPT, assert_alive, completion, start};
use crate::support::gzip;

/// Bytes that are no answer, though many of them begin like one.
#[expect(clippy::too_many_lines, reason = "a table")]
fn broken() -> Vec<(&'static str, Act)> {
    let whole = completion("whole").to_string();
    let ok = |body: &[u8]| Act::response(200, &JSON, body);
    let raw = |head: &str, body: &str| Act::bytes(format!("{head}{body}")).then(End::Close);
    let length = whole.len();
    let mut invalid = whole.clone().into_bytes();
    let within = whole.find("choices").unwrap();
    invalid[within] = 0xff;
    let mut broken_text = completion("a?b").to_string().into_bytes();
    *broken_text.iter_mut().find(|byte| **byte == b'?').unwrap() = 0xff;
    let gzip = gzip(whole.as_bytes());
    let mut bad_sum = gzip.clone();
    *bad_sum.iter_mut().nth_back(7).unwrap() ^= 0xff;
    vec![
        (
            "short body",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", &whole),
        ),
        (
            "short body, half closed",
            Act::bytes(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{whole}"
            ))
            .then(End::HalfClose),
        ),
        (
            "short body, reset",
            Act::bytes(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{whole}"
            ))
            .then(End::Reset),
        ),
        (
            "length smaller than the JSON",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n", &whole),
        ),
        ("truncated JSON", ok(&whole.as_bytes()[..length - 1])),
        (
            "HTML",
            Act::response(200, &[("content-type", "text/html")], "<html>busy</html>"),
        ),
        ("HTML called JSON", ok(b"<html>busy</html>")),
        ("empty", ok(b"")),
        ("204", Act::bytes("HTTP/1.1 204 No Content\r\n\r\n")),
        ("invalid UTF-8", ok(&invalid)),
        ("invalid UTF-8 in the text", ok(&broken_text)),
        ("nothing but invalid UTF-8", ok(&[0xff; 100])),
        (
            "UTF-16",
            ok(&whole
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()),
        ),
        ("two JSON values", ok(format!("{whole}{whole}").as_bytes())),
        ("no gzip", Act::encoded("gzip", whole.as_bytes())),
        ("cut gzip", Act::encoded("gzip", &gzip[..gzip.len() / 2])),
        ("gzip with a wrong sum", Act::encoded("gzip", &bad_sum)),
        ("no deflate", Act::encoded("deflate", whole.as_bytes())),
        ("an encoding that nobody offered", Act::encoded("br", &gzip)),
        ("gzip that does not say so", ok(&gzip)),
        ("gzip in gzip that says it once", Act::gzip(&gzip)),
        ("garbage status line", raw("ILY/9 what\r\n\r\n", &whole)),
        (
            "status of letters",
            raw("HTTP/1.1 two hundred\r\n\r\n", &whole),
        ),
        (
            "HTTP/2.0 status line",
            raw("HTTP/2.0 200 OK\r\n\r\n", &whole),
        ),
        (
            "binary",
            Act::bytes(&b"\0\x01\x02\xfe\xff\r\n\r\n"[..]).then(End::Close),
        ),
        (
            "TLS",
            Act::bytes(&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..]).then(End::Close),
        ),
        (
            "SMTP",
            Act::bytes("220 mail.example ESMTP\r\n").then(End::Close),
        ),
        (
            "an empty line first",
            Act::bytes("\0\r\n\r\n").then(End::Close),
        ),
        (
            "two content-lengths",
            raw(
                &format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: {length}\r\n\r\n"
                ),
                &whole,
            ),
        ),
        (
            "two content-lengths in one",
            raw(
                &format!("HTTP/1.1 200 OK\r\ncontent-length: 5, {length}\r\n\r\n"),
                &whole,
            ),
        ),
        (
            "a negative content-length",
            raw("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", &whole),
        ),
        (
            "a content-length of letters",
            raw("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", &whole),
        ),
        (
            "a huge content-length",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
                &whole,
            ),
        ),
        (
            "a NUL in a header",
            raw("HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n", &whole),
        ),
        (
            "a header without a colon",
            raw("HTTP/1.1 200 OK\r\nnothing\r\n\r\n", &whole),
        ),
        (
            "2 MB of headers",
            Act::response(200, &[("x-huge", &"h".repeat(2 << 20))], &whole),
        ),
        (
            "2 MB of headers in many",
            Act::response(200, &[("x-many", "h".repeat(1000).as_str()); 2000], &whole),
        ),
        (
            "5000 small headers",
            Act::response(200, &[("x-a", "b"); 5000], &whole),
        ),
        (
            "cut chunks",
            Act::chunked(200, &JSON).chunk(&whole).then(End::Close),
        ),
        (
            "a chunk size of letters",
            Act::chunked(200, &JSON)
                .send("zz\r\n{}\r\n")
                .then(End::Close),
        ),
        (
            "a huge chunk size",
            Act::chunked(200, &JSON)
                .send("fffffffffffffffff\r\n{}\r\n")
                .then(End::Close),
        ),
        (
            "a chunk longer than it says",
            Act::chunked(200, &JSON)
                .send(format!("5\r\n{whole}\r\n0\r\n\r\n"))
                .then(End::Close),
        ),
        (
            "101",
            Act::bytes(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            ),
        ),
        ("a status of 600", Act::response(600, &JSON, &whole)),
        ("a status of 099", Act::response(99, &JSON, &whole)),
        (
            "a redirect",
            Act::response(307, &[("location", "/v1/elsewhere")], ""),
        ),
        ("a redirect without a place", Act::response(302, &[], "")),
        ("304", Act::bytes("HTTP/1.1 304 Not Modified\r\n\r\n")),
    ]
}

#[tokio::test]
async fn p15_broken_bytes_are_a_5xx_and_never_an_answer() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    for (fault, act) in broken() {
        upstream.set(act);
        for door in Door::ALL {
            let what = format!("{fault}, {door:?}");
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_refused(&what);
            assert!(!outcome.body.contains("<html>"), "{what}: {outcome:?}");
        }
        assert_alive(&nest, fault).await;
    }
    let stats = nest.get("/api/optimization-stats").await.json();
    assert_eq!(stats["performance"]["cacheSize"], 0);
}

#[tokio::test]
async fn p15_odd_but_good_answers_arrive() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let whole = completion("fine").to_string();
    let plain = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{whole}",
        whole.len()
    );
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n";
    let acts = [
        ("103", Act::bytes(hints).send(plain.clone())),
        (
            "many 103s and a 100",
            Act::bytes(hints.repeat(20) + "HTTP/1.1 100 Continue\r\n\r\n").send(plain.clone()),
        ),
        (
            "103 and the answer in one packet",
            Act::bytes(format!("{hints}{plain}")),
        ),
        (
            "102 byte by byte",
            Act::bytes(format!("HTTP/1.1 102 Processing\r\n\r\n{plain}")).drip(),
        ),
        ("gzip", Act::gzip(whole.as_bytes())),
        ("gzip byte by byte", Act::gzip(whole.as_bytes()).drip()),
        ("deflate", Act::deflate(whole.as_bytes())),
        (
            "two content-lengths that agree",
            Act::bytes(plain.replace(
                "content-type",
                &format!("content-length: {}\r\ncontent-type", whole.len()),
            )),
        ),
        (
            "HTTP/1.0",
            Act::bytes(format!("HTTP/1.0 200 OK\r\n\r\n{whole}")).then(End::Close),
        ),
        ("no reason", Act::bytes(plain.replace(" OK", ""))),
        ("no content-type", Act::response(200, &[], &whole)),
        (
            "a trailer",
            Act::chunked(200, &JSON)
                .chunk(&whole)
                .send("0\r\nx-sum: 1\r\n\r\n"),
        ),
        (
            "white space around it",
            Act::response(200, &JSON, format!("\r\n\t {whole}\n\n")),
        ),
        (
            "a header of Latin-1",
            Act::bytes(Bytes::from(
                [
                    &b"HTTP/1.1 200 OK\r\nx-a: caf\xe9\r\ncontent-length: "[..],
                    whole.len().to_string().as_bytes(),
                    b"\r\n\r\n",
                    whole.as_bytes(),
                ]
                .concat(),
            )),
        ),
        ("201", Act::response(201, &JSON, &whole)),
    ];
    for (how, act) in acts {
        upstream.set(act);
        for door in Door::ALL {
            let what = format!("{how}, {door:?}");
            door.ask(&nest, &what).await.assert_answer("fine", &what);
        }
    }
}
