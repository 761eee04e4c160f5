use super::*;

fn read(line: &str) -> Logged {
    Logged::read(&Bytes::from(line.to_owned())).unwrap()
}

fn body(line: &str) -> (String, String) {
    let logged = read(line);
    let body = String::from_utf8(logged.body.to_vec()).unwrap();
    (logged.path.into_owned(), body)
}

const CHATS: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;

#[test]
fn requests_are_found_in_all_the_shapes_of_logs() {
    let quoted = serde_json::to_string(CHATS).unwrap();
    for line in [
        CHATS.to_owned(),
        format!(r#"{{"time":1,"request":{CHATS}}}"#),
        format!(r#"{{"request":{quoted},"response":null}}"#),
        format!(r#"{{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{CHATS}}}"#),
        format!(r#"{{"request":{{"method":"POST","url":"https://api.openai.com/v1/chat/completions?x=1","body":{CHATS}}}}}"#),
        format!(r#"{{"request_body":{CHATS},"response_body":{{}},"delay_ms":7}}"#),
        r#"{"id":"7","timestamp":"2025-06-01T10:12:01Z","model":"m","messages":[{"role":"user","content":"Hi"}],"response":"Hello.","session":"x"}"#.to_owned(),
    ] {
        assert_eq!(body(&line), (CHAT.to_owned(), CHATS.to_owned()), "{line}");
    }
    let prompt = r#"{"prompt":"Hi"}"#;
    assert_eq!(body(prompt), (CREATE.to_owned(), prompt.to_owned()));
    assert_eq!(
        body(r#"{"ts":5,"prompt":"Hi","userId":"a"}"#),
        (
            CREATE.to_owned(),
            r#"{"prompt":"Hi","userId":"a"}"#.to_owned()
        )
    );
    assert_eq!(body(r#"{"message":"Hi"}"#).0, TURN);
    let other = r#"{"url":"/v1/embeddings","body":{"model":"m","input":"a"}}"#;
    assert_eq!(body(other).0, "/v1/embeddings");
    // What LiteLLM logs beside the messages.
    let lite = r#"{"id":"7","model":"m","messages":[],"model_parameters":{"temperature":0.5,"extra_body":{}},"startTime":1.5,"endTime":3.0}"#;
    let (_, body) = body(lite);
    assert_eq!(body, r#"{"model":"m","messages":[],"temperature":0.5}"#);
    assert_eq!(read(lite).latency, Some(Duration::from_millis(1_500)));
}

#[test]
fn what_is_no_request_says_what_would_be_right() {
    for (line, why) in [
        ("{\"messages\":[", "it is cut off"),
        ("hello", "no JSON object"),
        ("[1]", "expected a JSON object"),
        ("{}", "expected an OpenAI body with messages"),
        (r#"{"level":"info"}"#, "there is no request in it"),
        (r#"{"request":7}"#, "put the body there"),
        (r#"{"request":{"input":"x"}}"#, "names no endpoint"),
    ] {
        let error = Logged::read(&Bytes::from_static(line.as_bytes())).unwrap_err();
        assert!(error.to_string().contains(why), "{line}: {error}");
    }
}

#[test]
fn answers_are_read_whole_or_as_far_as_they_are_told() {
    let of = |more: &str| read(&format!(r#"{{"request":{CHATS},{more}}}"#)).recorded;
    let usage = |recorded: &Recorded| match recorded {
        Recorded::Usage(usage)
        | Recorded::Text(_, Some(usage))
        | Recorded::Whole(_, Some(usage)) => Some((usage.prompt_tokens, usage.completion_tokens)),
        _ => None,
    };
    let whole = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hello."}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    for more in [
        format!(r#""response":{whole}"#),
        format!(r#""response":{}"#, serde_json::to_string(whole).unwrap()),
        format!(r#""response":{{"status_code":200,"request_id":"r","body":{whole}}}"#),
    ] {
        let recorded = of(&more);
        assert!(
            matches!(&recorded, Recorded::Whole(body, _) if body == whole),
            "{more}"
        );
        assert_eq!(usage(&recorded), Some((3, 2)));
    }
    let counts = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
    assert_eq!(usage(&of(counts)), Some((3, 2)));
    assert_eq!(
        usage(&of(r#""prompt_tokens":"3","completion_tokens":2"#)),
        Some((3, 2))
    );
    assert_eq!(
        usage(&of(&format!(r#""response":{{{counts}}}"#))),
        Some((3, 2))
    );
    let said = of(&format!(
        r#""response":{{"role":"assistant","content":"Hi."}},{counts}"#
    ));
    assert!(matches!(&said, Recorded::Text(text, Some(_)) if text == "Hi."));
    assert_eq!(
        of(r#""response":"Hello.""#),
        Recorded::Text("Hello.".to_owned(), None)
    );
    assert_eq!(of(r#""response":null"#), Recorded::Nothing);
    assert!(matches!(of(r#""status":429"#), Recorded::Error(429, _)));
    assert!(matches!(
        of(r#""response":{"error":{"message":"x"}}"#),
        Recorded::Error(500, _)
    ));
    assert!(matches!(
        of(r#""response":{"status_code":503,"body":{}}"#),
        Recorded::Error(503, _)
    ));
}

#[test]
fn recorded_streams_are_put_together() {
    let chunk = |delta: &str, end: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":{end}}}]}}"#
        )
    };
    let (first, last) = (
        chunk(r#"{"content":"Hello."}"#, "null"),
        chunk("{}", "\"stop\""),
    );
    let events = format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n");
    for response in [
        format!("[{first},{last}]"),
        serde_json::to_string(&events).unwrap(),
    ] {
        let recorded = read(&format!(r#"{{"request":{CHATS},"response":{response}}}"#)).recorded;
        let Recorded::Whole(body, None) = recorded else {
            panic!("{recorded:?}");
        };
        assert!(String::from_utf8_lossy(&body).contains("\"content\":\"Hello.\""));
    }
}
