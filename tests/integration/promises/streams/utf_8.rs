//! P21: characters come out whole wherever they were cut, and what is no UTF-8 never reaches a client's parser.

use super::{Act, Door, ONE_ATTEMPT, STREAMS, Value, delta, ending, event, open, start};

/// Characters of two, three and four bytes, and some that only together are one.
const TEXT: &str = "é€😀\u{301}👩\u{200d}👧🇩🇪";

#[tokio::test]
async fn p21_characters_are_whole_wherever_they_are_cut() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let stream = event(&delta(TEXT)) + &ending();
    let from = stream.find('é').unwrap();
    let to = from + TEXT.len();
    for at in from..=to {
        for length in 1..=4 {
            // A piece of this length, cut out of the text.
            let (before, rest) = stream.as_bytes().split_at(at);
            let (piece, after) = rest.split_at(length);
            upstream.set(
                Act::stream()
                    .chunk(before)
                    .chunk(piece)
                    .chunk(after)
                    .last_chunk(),
            );
            for door in [Door::ChatStream, Door::Create, Door::TurnStream] {
                let what = format!("{length} bytes at {at}, {door:?}");
                door.ask(&nest, &what).await.assert_answer(TEXT, &what);
            }
        }
    }
}

/// Bytes that are no UTF-8.
const BROKEN: [(&str, &[u8]); 8] = [
    ("a stray byte", b"\xff"),
    ("Latin-1", b"caf\xe9 "),
    ("half a character", b"\xf0\x9f\x98"),
    ("the other half", b"\x98\x80"),
    ("an overlong slash", b"\xc0\xaf"),
    ("a surrogate", b"\xed\xa0\xbd"),
    ("beyond Unicode", b"\xf4\x90\x80\x80"),
    ("UTF-16", b"\xff\xfeh\0i\0"),
];

/// An event with these bytes in the place of its mark.
fn spoilt(event: &str, bytes: &[u8]) -> Vec<u8> {
    let (before, after) = event.split_once('?').unwrap();
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

#[tokio::test]
async fn p21_what_is_no_utf_8_never_breaks_what_a_client_can_parse() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let places = [
        ("the text", event(&delta("a?b"))),
        (
            "another field of the delta",
            event("{\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"?\"}}]}"),
        ),
        (
            "a field that nobody knows",
            event("{\"choices\":[{\"index\":0,\"delta\":{\"x\":\"?\"}}],\"y\":1}"),
        ),
        ("the top", event("{\"choices\":[],\"x\":{\"y\":[\"?\"]}}")),
        ("a key", event("{\"choices\":[],\"?\":1}")),
        ("a model's name", event("{\"model\":\"?\",\"choices\":[]}")),
        (
            "a tool call",
            event(
                "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"?\"}}]}}]}",
            ),
        ),
        ("usage", event("{\"choices\":[],\"usage\":{\"x\":\"?\"}}")),
        ("beside the JSON", "data: ?{\"choices\":[]}\n\n".to_owned()),
        ("a comment", ": ?\n\n".to_owned()),
        ("an id", "id: ?\ndata: {\"choices\":[]}\n\n".to_owned()),
        (
            "an event's name",
            "event: ?\ndata: {\"choices\":[]}\n\n".to_owned(),
        ),
        (
            "a field's name",
            "?: x\ndata: {\"choices\":[]}\n\n".to_owned(),
        ),
    ];
    for (place, event_with_mark) in &places {
        for (kind, bytes) in BROKEN {
            let stream = [
                event(&delta("Once ")).as_bytes(),
                &spoilt(event_with_mark, bytes),
                event(&delta("more.")).as_bytes(),
                ending().as_bytes(),
            ]
            .concat();
            upstream.set(Act::stream().chunk(&stream).last_chunk());
            for door in STREAMS {
                let what = format!("{kind} in {place}, {door:?}");
                let answer = nest.post(door.path(), &door.body(&what), &[]).await;
                assert_eq!(answer.status, 200, "{what}: {answer:?}");
                let body = std::str::from_utf8(&answer.body);
                assert!(body.is_ok(), "{what}: {body:?} {:?}", answer.body);
                for line in body.unwrap().lines().filter(|line| !line.is_empty()) {
                    let data = line.strip_prefix("data: ").unwrap();
                    let is_json = serde_json::from_str::<Value>(data).is_ok();
                    assert!(data == "[DONE]" || is_json, "{what}: {line:?}");
                }
                // Either it can be mended or it is broken; never something between.
                let outcome = door.read(&answer);
                assert!(
                    outcome.is_finished != outcome.code.is_some(),
                    "{what}: {outcome:?}"
                );
                if outcome.is_finished {
                    assert!(outcome.text.ends_with("more."), "{what}: {outcome:?}");
                }
            }
            let whole = Door::Chat.ask(&nest, &format!("{kind} in {place}")).await;
            assert!(
                whole.is_finished != whole.code.is_some(),
                "{kind} in {place}: {whole:?}"
            );
        }
    }
    drop(open(&nest, Door::ChatStream, "still well", &[]).await);
}
