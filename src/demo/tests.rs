//! The simulated model as a client sees it: through its router, and once over a real socket.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Handle,
    time::Instant,
};
use tower::ServiceExt as _;

use super::*;
use crate::sse::Decoder;

const CHAT: &str = "/v1/chat/completions";
const WORD: Duration = Duration::from_millis(15);

async fn send(method: Method, path: &str, body: &str) -> (StatusCode, Vec<u8>) {
    let request = Request::builder().method(method).uri(path);
    let reply = router()
        .oneshot(request.body(Body::from(body.to_owned())).unwrap())
        .await
        .unwrap();
    (
        reply.status(),
        reply
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
}

async fn post_json(path: &str, body: Value) -> (StatusCode, Value) {
    let (status, body) = send(Method::POST, path, &body.to_string()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

async fn ask(more: Value) -> Value {
    let mut body = json!({
        "model": "some/model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": [{"type": "text", "text": "What is a nest?"}]},
        ],
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let (status, answer) = post_json(CHAT, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn ask_streaming(mut more: Value) -> Vec<Value> {
    more["stream"] = json!(true);
    more["model"] = json!("some/model");
    more["messages"] = json!([{"role": "user", "content": "What is a nest?"}]);
    let (status, body) = send(Method::POST, CHAT, &more.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let (mut decoder, mut events) = (Decoder::new(1 << 16), Vec::new());
    decoder.feed(&body, &mut events).unwrap();
    assert_eq!(decoder.finish(), None);
    assert_eq!(events.pop().unwrap().data, "[DONE]");
    events
        .iter()
        .map(|event| serde_json::from_slice(&event.data).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_shaped_like_openais_and_always_the_same() {
    let start = Instant::now();
    let answer = ask(json!({})).await;
    assert_eq!(start.elapsed(), Duration::from_millis(150));
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        text.starts_with("[simulated answer] You asked: “What is a nest?”."),
        "{text}"
    );
    assert!(text.contains("after 2 earlier turns"), "{text}");
    let tokens = answer::count_tokens(text);
    assert!(answer["created"].as_u64().unwrap() > MODELS_CREATED);
    let expected = json!({
        "id": answer["id"],
        "object": "chat.completion",
        "created": answer["created"],
        "model": "some/model",
        "system_fingerprint": "fp_simulated",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens},
    });
    assert_eq!(answer, expected);
    let again = ask(json!({})).await;
    assert_eq!(
        (&again["id"], &again["choices"]),
        (&answer["id"], &answer["choices"])
    );
}

#[tokio::test(start_paused = true)]
async fn choices_stops_and_limits_are_honoured() {
    let answer = ask(json!({"n": 3, "max_tokens": 9, "max_completion_tokens": 5})).await;
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"]["content"], "[simulated answer] You");
        assert_eq!(choice["finish_reason"], "length");
    }
    assert_eq!(answer["usage"]["completion_tokens"], 15);
    for stop in [json!("You"), json!(["none such", "You"])] {
        let answer = ask(json!({"stop": stop, "max_tokens": null})).await;
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "[simulated answer] "
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test(start_paused = true)]
async fn json_is_answered_with_an_object_that_says_it_is_simulated() {
    let answer = ask(json!({"response_format": {"type": "json_object"}})).await;
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    assert_eq!(content["simulated"], true);
    assert_eq!(content["question"], "What is a nest?");
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_the_same_answer_word_by_word() {
    let start = Instant::now();
    let chunks = ask_streaming(json!({"n": 2, "stream_options": {"include_usage": true}})).await;
    let took = start.elapsed();
    let whole = ask(json!({"n": 2, "messages": [{"role": "user", "content": "What is a nest?"}]}));
    let whole = whole.await;

    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!(
        (&usage["choices"], &usage["usage"]),
        (&json!([]), &whole["usage"])
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["usage"].is_null() && chunk["id"] == whole["id"])
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    for index in 0..2 {
        let mine: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|c| c["index"] == index)
            .collect();
        let (first, last) = (mine[0], mine[mine.len() - 1]);
        assert_eq!(first["delta"]["role"], "assistant");
        assert_eq!(
            (&last["delta"], &last["finish_reason"]),
            (&json!({}), &json!("stop"))
        );
        let words: Vec<&str> = mine
            .iter()
            .filter_map(|c| c["delta"]["content"].as_str())
            .collect();
        assert_eq!(
            words.concat(),
            whole["choices"][index]["message"]["content"]
                .as_str()
                .unwrap()
        );
        assert!(words.len() > 50 && took >= WORD * u32::try_from(words.len() - 1).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_usage_only_where_it_was_asked_for() {
    for more in [
        json!({}),
        json!({"stream_options": {"include_usage": false}}),
    ] {
        let chunks = ask_streaming(more).await;
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        assert_eq!(
            chunks.last().unwrap()["choices"][0]["finish_reason"],
            "stop"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_in_openais_shape() {
    let one = json!([{"role": "user", "content": "a"}]);
    for (body, param) in [
        (json!([]), Value::Null),
        (json!({}), json!("messages")),
        (json!({"messages": []}), json!("messages")),
        (json!({"messages": ["a"]}), json!("messages")),
        (json!({"messages": one, "model": 1}), json!("model")),
        (json!({"messages": one, "n": 5}), json!("n")),
        (json!({"messages": one, "n": 0}), json!("n")),
        (
            json!({"messages": one, "max_tokens": -1}),
            json!("max_tokens"),
        ),
        (
            json!({"messages": one, "max_completion_tokens": "9"}),
            json!("max_completion_tokens"),
        ),
        (json!({"messages": one, "stop": [1]}), json!("stop")),
        (json!({"messages": one, "stream": "yes"}), json!("stream")),
    ] {
        let (status, answer) = post_json(CHAT, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
        assert_eq!(answer["error"]["param"], param, "{body}");
    }
    let (status, body) = send(Method::POST, CHAT, "{\"messages\": [").await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_json"))
    );
}

#[tokio::test]
async fn models_are_listed_and_others_are_unknown() {
    let (status, body) = send(Method::GET, "/v1/models", "").await;
    let list: Value = serde_json::from_slice(&body).unwrap();
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!((status, &ids[..]), (StatusCode::OK, &MODELS[..]));
    for (method, path, status, code) in [
        (
            Method::GET,
            "/v1/models/google/gemini-flash-1.5",
            200,
            Value::Null,
        ),
        (
            Method::GET,
            "/v1/models/google%2Fgemini-flash-1.5",
            200,
            Value::Null,
        ),
        (
            Method::GET,
            "/v1/models/none",
            404,
            json!("model_not_found"),
        ),
        (Method::GET, "/v1/files", 404, json!("unknown_url")),
        (Method::POST, "/", 404, json!("unknown_url")),
        (Method::GET, CHAT, 405, json!("method_not_allowed")),
    ] {
        let (found, body) = send(method, path, "").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (found.as_u16(), &body["error"]["code"]),
            (status, &code),
            "{path}"
        );
    }
}

#[tokio::test]
async fn it_answers_on_its_socket_until_it_is_dropped() {
    let demo = start().await.unwrap();
    let address = demo
        .base_url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/v1")
        .unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket
        .write_all(b"GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 15];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let silent = TcpStream::connect(address).await;
    drop(demo);
    // The connections end, kept alive or never used; without that, this would wait for ever.
    for mut socket in [socket, silent.unwrap()] {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_running() {
    let body = json!({"stream": true, "messages": [{"role": "user", "content": "a"}]}).to_string();
    let request = Request::post(CHAT).body(Body::from(body)).unwrap();
    let mut body = router().oneshot(request).await.unwrap().into_body();
    assert!(body.frame().await.is_some());
    // The words come from the body itself: dropping it is all there is to stop.
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
