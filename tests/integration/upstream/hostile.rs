//! All that a real upstream gets wrong: it never looks like a good answer.

use super::{Act, End, Gate, ask, ask_stream, completion, json, start, text_of};

#[tokio::test]
async fn a_wrong_answer_with_200_is_never_a_200() {
    let json = [("content-type", "application/json")];
    let ok = |body: &[u8]| Act::response(200, &json, body);
    let mut no_choices = completion("x");
    no_choices["choices"] = json!([]);
    let mut content_number = completion("x");
    content_number["choices"][0]["message"]["content"] = json!(5);
    let mut null_content = completion("x");
    null_content["choices"][0]["message"]["content"] = json!(null);
    let whole = completion("whole").to_string();
    let acts = [
        ("empty", ok(b"")),
        ("null", ok(b"null")),
        ("object", ok(b"{}")),
        ("array", ok(b"[]")),
        ("string", ok(b"\"hello\"")),
        ("truncated", ok(&whole.as_bytes()[..whole.len() - 9])),
        ("html", Act::response(200, &[("content-type", "text/html")], "<html>busy</html>")),
        ("html as JSON", ok(b"<html>busy</html>")),
        ("error in 200", ok(b"{\"error\":{\"message\":\"overloaded\",\"code\":529}}")),
        ("no choices", Act::json(200, &no_choices)),
        ("number", Act::json(200, &content_number)),
        ("null content", Act::json(200, &null_content)),
        ("bad gzip", Act::encoded("gzip", b"this is no gzip")),
        ("cut gzip", Act::encoded("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab])),
        ("garbage", Act::bytes("ILY/9 hello\r\n\r\n").then(End::Close)),
        ("no HTTP", Act::bytes("\0\x01\x02\r\n\r\n").then(End::Close)),
        ("head only", Act::bytes("HTTP/1.1 200 OK\r\n").then(End::Close)),
        ("two lengths", Act::bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: {}\r\n\r\n{whole}", whole.len())).then(End::Close)),
        ("short body", Act::bytes(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{whole}")).then(End::Close)),
        ("short body, half closed", Act::bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{whole}")).then(End::HalfClose)),
        ("reset amid", Act::bytes("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{").then(End::Reset)),
        ("chunked and cut", Act::chunked(200, &json).chunk(&whole[..20]).then(End::Close)),
        ("bad chunk size", Act::chunked(200, &json).send("zz\r\n{}\r\n").then(End::Close)),
        ("huge headers", Act::response(200, &[("x-huge", &"h".repeat(1 << 20))], &whole)),
        ("no answer", Act::only(End::Close)),
        ("half close", Act::only(End::HalfClose)),
        ("reset", Act::only(End::Reset)),
        ("101", Act::bytes("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")),
        ("999", Act::response(999, &json, &whole)),
        ("204", Act::bytes("HTTP/1.1 204 No Content\r\n\r\n")),
    ];
    for (what, act) in acts {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        for request in [ask("q"), ask_stream("q")] {
            let answer = proxy.chat(&request).await;
            assert!((500..=599).contains(&answer.status), "{what}: {answer:?}");
            let error = &answer.json()["error"];
            assert!(
                error["message"].is_string() && error["code"].is_string(),
                "{what}: {answer:?}"
            );
        }
        let stats = proxy.get("/api/optimization-stats").await.json();
        assert_eq!(stats["performance"]["cacheSize"], 0, "{what}");
    }
}

#[tokio::test]
async fn error_pages_become_errors_that_clients_understand() {
    for status in [500, 502, 503, 520] {
        let (upstream, proxy) = start("").await;
        upstream.set(Act::response(
            status,
            &[("content-type", "text/html")],
            "<html>down</html>",
        ));
        let answer = proxy.chat(&ask("q")).await;
        assert!(answer.status >= 500);
        assert!(answer.json()["error"]["message"].is_string());
        assert!(!String::from_utf8_lossy(&answer.body).contains("<html>"));
    }
}

#[tokio::test]
async fn odd_but_good_answers_are_good() {
    let body = completion("fine").to_string();
    let gate = Gate::new();
    gate.open();
    let acts = [
        Act::bytes(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .drip(),
        Act::bytes("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )),
        Act::bytes(format!("HTTP/1.0 200 OK\r\n\r\n{body}")).then(End::Close),
        Act::bytes(format!(
            "HTTP/1.1 200\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n{body}"
        ))
        .then(End::Close),
        Act::chunked(200, &[])
            .chunk(&body[..7])
            .wait(&gate)
            .chunk(&body[7..])
            .last_chunk(),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "fine"),
            "act {at}"
        );
    }
}

#[tokio::test]
async fn a_whole_answer_to_a_streaming_caller_and_the_reverse() {
    let (upstream, proxy) = start("").await;
    upstream.once(Act::says("Hi."));
    let events = proxy.stream(&ask_stream("a")).await.all().await;
    assert_eq!(
        (text_of(&events).as_str(), events.last().unwrap().as_str()),
        ("Hi.", "[DONE]")
    );
    upstream.once(Act::streams(&["H", "i."]));
    let answer = proxy.chat(&ask("b")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hi."));
    assert_eq!(answer.json()["object"], "chat.completion");
}

#[tokio::test]
async fn invalid_utf_8_never_breaks_the_json() {
    let (upstream, proxy) = start("").await;
    let mut body = completion("a?b").to_string().into_bytes();
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xff;
    upstream.set(Act::response(
        200,
        &[("content-type", "application/json")],
        &body,
    ));
    let answer = proxy.chat(&ask("q")).await;
    assert!(answer.status == 200 || answer.status >= 500);
    answer.json();
    assert_ne!(proxy.chat(&ask("q")).await.header("x-cache"), "HIT");
}

#[tokio::test]
async fn a_whole_answer_without_an_ending_does_not_look_finished() {
    let (upstream, proxy) = start("").await;
    let mut unfinished = completion("Half a");
    unfinished["choices"][0]["finish_reason"] = json!(null);
    upstream.set(Act::json(200, &unfinished));
    for calls in 1..=2 {
        let events = proxy.stream(&ask_stream("q")).await;
        assert_eq!(events.status, 200);
        let all = events.all().await;
        assert_eq!(text_of(&all), "Half a");
        let last: serde_json::Value = serde_json::from_str(all.last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "{all:?}");
        assert!(!all.contains(&"[DONE]".to_owned()), "{all:?}");
        assert_eq!(upstream.calls(), calls, "it is not kept");
    }
}
