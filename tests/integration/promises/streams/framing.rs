//! P21: the same text whatever the framing, and out comes one framing that every SDK can read.

use super::{
    Act, Door, End, Nest, ONE_ATTEMPT, Upstream, assert_clean, delta, ending, event, finish, start,
};

const TEXT: &str = "Hé, 你好 😀.";

/// One stream in all the ways in which servers write it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn framings() -> Vec<(&'static str, String)> {
    let (first, second) = TEXT.split_at(TEXT.find('好').unwrap());
    let (first, second, stop) = (delta(first), delta(second), finish("stop"));
    let plain = event(&first) + &event(&second) + &event(&stop) + &event("[DONE]");
    let split = |data: &str, at: usize| format!("data: {}\ndata: {}", &data[..at], &data[at..]);
    let comma = first.find(",\"").unwrap() + 1;
    let usage = "{\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}";
    vec![
        ("plain", plain.clone()),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("CR", plain.replace('\n', "\r")),
        (
            "all three",
            plain
                .replacen("\n\n", "\r\r", 1)
                .replacen("\n\n", "\r\n\n", 1),
        ),
        ("no space", plain.replace("data: ", "data:")),
        ("two spaces", plain.replace("data: ", "data:  ")),
        ("byte order mark", format!("\u{feff}{plain}")),
        (
            "comments",
            format!(
                ": OPENROUTER PROCESSING\n\n{}",
                plain.replace("data: {", ": ping\ndata: {")
            ),
        ),
        (
            "comments after",
            plain.replace("}\n\n", "}\n: data: no\n:\n\n"),
        ),
        (
            "comments alone between",
            plain.replace("\n\n", "\n\n:\n\n: x\n\n"),
        ),
        (
            "ids and retry",
            plain.replace("data: ", "id: 7\nretry: 10\ndata: "),
        ),
        (
            "an id, then a comment",
            plain.replace("}\n\n", "}\n\nid: 7\n: x\n\n"),
        ),
        (
            "fields that nobody knows",
            plain.replace("data: {", "datum: x\ndata : x\n data: x\nDATA: x\ndata: {"),
        ),
        ("named", plain.replace("data: {", "event: message\ndata: {")),
        (
            "named by others",
            plain.replace("data: {", "event: completion.chunk\ndata: {"),
        ),
        ("pings", format!("event: ping\ndata: {{}}\n\n{plain}")),
        (
            "pings amid",
            plain.replace("}\n\n", "}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"),
        ),
        (
            "empty events",
            format!(
                "\n\n\ndata:\n\ndata: \n\ndata\n\n{}",
                plain.replace("\n\n", "\n\n\n\n")
            ),
        ),
        (
            "an event without data",
            format!("event: x\n\nid: 1\n\n{plain}"),
        ),
        (
            "two lines",
            plain.replacen(&event(&first), &(split(&first, comma) + "\n\n"), 1),
        ),
        (
            "indented",
            plain.replacen(
                &event(&first),
                &format!("data: {}\n\n", first.replace(",\"", ",\ndata: \"")),
                1,
            ),
        ),
        (
            "white space",
            plain
                .replace("data: {", "data: \t{")
                .replace("[DONE]", "[DONE] "),
        ),
        ("no [DONE]", event(&first) + &event(&second) + &event(&stop)),
        (
            "no last blank line",
            event(&first) + &event(&second) + "data: " + &stop,
        ),
        (
            "no last line ending",
            event(&first) + &event(&second) + &event(&stop) + "data: [DONE]",
        ),
        (
            "after [DONE]",
            format!(
                "{plain}: bye\n\n{}",
                event("{\"error\":{\"message\":\"too late\"}}")
            ),
        ),
        (
            "empty choices first",
            event("{\"id\":\"x\",\"choices\":[],\"prompt_filter_results\":[]}") + &plain,
        ),
        (
            "empty choices amid",
            plain.replace("}\n\n", "}\n\ndata: {\"id\":\"x\",\"choices\":[]}\n\n"),
        ),
        (
            "no choices",
            plain.replace("}\n\n", "}\n\ndata: {\"id\":\"x\"}\n\n"),
        ),
        (
            "usage last",
            plain.replace("data: [DONE]", &format!("data: {usage}\n\ndata: [DONE]")),
        ),
        (
            "an empty reason until the last",
            plain.replace("\"finish_reason\":null", "\"finish_reason\":\"\""),
        ),
        (
            "escapes",
            plain
                .replace('é', "\\u00e9")
                .replace('😀', "\\ud83d\\ude00")
                .replace('好', "\\u597D"),
        ),
    ]
}

/// All the ways in which the network may cut it.
fn cuts(stream: &str) -> Vec<(&'static str, Act)> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let bytes = stream.as_bytes();
    vec![
        ("whole", Act::stream().chunk(stream).last_chunk()),
        (
            "every byte a chunk",
            bytes.chunks(1).fold(Act::stream(), Act::chunk).last_chunk(),
        ),
        (
            "seven bytes a chunk",
            bytes.chunks(7).fold(Act::stream(), Act::chunk).last_chunk(),
        ),
        (
            "every byte a segment",
            Act::stream().chunk(stream).last_chunk().drip(),
        ),
        (
            "no chunks",
            Act::bytes(format!("{head}{stream}")).then(End::Close),
        ),
        (
            "a length",
            Act::response(
                200,
                &[("content-type", "Text/Event-Stream ; charset=\"UTF-8\"")],
                stream,
            ),
        ),
    ]
}

/// Nothing but the text, and nothing but one framing.
async fn assert_same(upstream: &Upstream, nest: &Nest, act: Act, what: &str) {
    for door in Door::ALL {
        let what = format!("{what}, {door:?}");
        upstream.set(act.clone());
        for round in ["MISS", "HIT"] {
            let outcome = door.ask(nest, &what).await;
            outcome.assert_answer(TEXT, &what);
            assert_eq!(outcome.header("x-cache"), round, "{what}");
            if door.streams() {
                assert_clean(&outcome, &what);
            }
        }
    }
}

#[tokio::test]
async fn p21_the_text_is_the_same_whatever_the_framing() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    for (framing, stream) in framings() {
        for (cut, act) in cuts(&stream) {
            assert_same(&upstream, &nest, act, &format!("{framing}, {cut}")).await;
        }
    }
}

#[tokio::test]
async fn p21_the_text_is_the_same_wherever_it_is_cut_in_two() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let stream = framings().remove(1).1;
    for at in 1..stream.len() {
        let (before, after) = stream.as_bytes().split_at(at);
        upstream.set(Act::stream().chunk(before).chunk(after).last_chunk());
        for door in [Door::ChatStream, Door::Turn, Door::CreateStream] {
            let what = format!("cut at {at}, {door:?}");
            door.ask(&nest, &what).await.assert_answer(TEXT, &what);
        }
    }
}

#[tokio::test]
async fn p21_one_event_may_be_large() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let text = "€ ".repeat(1 << 20);
    let stream = event(&delta(&text)) + &ending();
    for (cut, act) in [
        ("whole", Act::stream().chunk(&stream).last_chunk()),
        (
            "in pieces",
            stream
                .as_bytes()
                .chunks(10_001)
                .fold(Act::stream(), Act::chunk)
                .last_chunk(),
        ),
    ] {
        upstream.set(act);
        for door in Door::ALL {
            let what = format!("{cut}, {door:?}");
            let outcome = door.ask(&nest, &what).await;
            assert!(
                outcome.is_finished && outcome.text == text,
                "{what}: {} bytes",
                outcome.text.len()
            );
        }
    }
}
