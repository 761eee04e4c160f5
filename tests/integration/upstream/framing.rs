//! Event streams in all the ways in which servers frame them, and all the ways in which they break.

use super::{Act, End, ask_stream, delta, event, finish, start, text_of};

#[tokio::test]
async fn every_framing_says_the_same() {
    let (hel, lo, stop) = (delta("Hel"), delta("lo."), finish("stop"));
    let plain = event(&hel) + &event(&lo) + &event(&stop) + &event("[DONE]");
    let split = hel.find(",\"model").unwrap() + 1;
    let streams = [
        ("plain", plain.clone()),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("CR", plain.replace('\n', "\r")),
        ("no space", plain.replace("data: ", "data:")),
        ("byte order mark", format!("\u{feff}{plain}")),
        (
            "comments",
            format!(
                ": OPENROUTER PROCESSING\n\n{}",
                plain.replace("data: {", ": ping\ndata: {")
            ),
        ),
        (
            "ids and retry",
            plain.replace("data: {", "id: 7\nretry: 10\ndata: {"),
        ),
        ("named", plain.replace("data: {", "event: message\ndata: {")),
        ("pings", format!("event: ping\ndata: {{}}\n\n{plain}")),
        ("empty events", format!("\n\n\ndata:\n\n{plain}")),
        (
            "two lines",
            plain.replacen(
                &hel,
                &format!("{}\ndata: {}", &hel[..split], &hel[split..]),
                1,
            ),
        ),
        ("no [DONE]", event(&hel) + &event(&lo) + &event(&stop)),
        (
            "no last blank line",
            event(&hel) + &event(&lo) + "data: " + &stop,
        ),
        ("after [DONE]", format!("{plain}: bye\n\n")),
        (
            "empty choices first",
            event("{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[]}") + &plain,
        ),
    ];
    for (what, stream) in streams {
        let whole = Act::stream().chunk(&stream).last_chunk();
        let pieces = stream
            .as_bytes()
            .chunks(7)
            .fold(Act::stream(), Act::chunk)
            .last_chunk();
        let unframed = Act::bytes(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{stream}"
        ))
        .then(End::Close);
        let dripping = Act::stream().chunk(&stream).last_chunk().drip();
        for (how, act) in [
            ("whole", whole),
            ("pieces", pieces),
            ("unframed", unframed),
            ("dripping", dripping),
        ] {
            let (upstream, proxy) = start("").await;
            upstream.set(act);
            let events = proxy.stream(&ask_stream("q")).await.all().await;
            assert_eq!(text_of(&events), "Hello.", "{what}, {how}: {events:?}");
            assert_eq!(events.last().unwrap(), "[DONE]", "{what}, {how}");
            let again = proxy.stream(&ask_stream("q")).await;
            assert_eq!(again.header("x-cache"), "HIT", "{what}, {how}");
            assert_eq!(text_of(&again.all().await), "Hello.");
        }
    }
}

#[tokio::test]
async fn characters_cut_in_two_come_out_whole() {
    let text = "h\u{e9}llo \u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{4f60}\u{597d}";
    let (upstream, proxy) = start("").await;
    let stream = event(&delta(text)) + &event(&finish("stop")) + &event("[DONE]");
    let act = stream
        .as_bytes()
        .chunks(1)
        .fold(Act::stream(), Act::chunk)
        .last_chunk();
    upstream.set(act);
    let events = proxy.stream(&ask_stream("q")).await.all().await;
    assert_eq!(text_of(&events), text);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_without_done() {
    let begun = || Act::stream().chunk(event(&delta("Once")));
    let acts = [
        ("cut", begun().then(End::Close)),
        ("reset", begun().then(End::Reset)),
        ("half closed", begun().then(End::HalfClose)),
        ("ended early", begun().last_chunk()),
        ("done too early", begun().chunk(event("[DONE]")).last_chunk()),
        ("cut in an event", begun().chunk("data: {\"id\":\"x\",\"cho").last_chunk()),
        ("error event", begun().chunk(event("{\"error\":{\"message\":\"overloaded\",\"code\":529}}")).chunk(event("[DONE]")).last_chunk()),
        ("error event by name", begun().chunk("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n").last_chunk()),
        ("error as ending", begun().chunk(event(&finish("error")) + &event("[DONE]")).last_chunk()),
        ("no JSON", begun().chunk(event("oops")).last_chunk()),
        ("bad chunk", begun().send("zz\r\n").then(End::Close)),
        ("two choices, one ended", begun()
            .chunk(event("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}"))
            .chunk(event(&finish("stop")) + &event("[DONE]"))
            .last_chunk()),
    ];
    for (what, act) in acts {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        let answer = proxy.stream(&ask_stream("q")).await;
        assert_eq!(answer.status, 200, "{what}");
        let events = answer.all().await;
        assert_eq!(events.first().unwrap(), &delta("Once"), "{what}");
        let last: serde_json::Value = serde_json::from_str(events.last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "{what}: {events:?}");
        assert!(!events.contains(&"[DONE]".to_owned()), "{what}");
        assert_eq!(upstream.calls(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_stream_without_a_single_event_is_no_answer() {
    for act in [
        Act::stream().last_chunk(),
        Act::stream().chunk(event("[DONE]")).last_chunk(),
        Act::stream().chunk(": hello\n\n").last_chunk(),
    ] {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        let events = proxy.stream(&ask_stream("q")).await;
        let status = events.status;
        let all = events.all().await;
        let told = status >= 500 || all.iter().any(|event| event.contains("\"error\""));
        assert!(
            told && !all.contains(&"[DONE]".to_owned()),
            "{status} {all:?}"
        );
        assert!(proxy.chat(&super::ask("q")).await.status >= 500);
    }
}
