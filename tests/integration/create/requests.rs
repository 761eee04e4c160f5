//! What `/create` and `/create/chat` make of a request, as the upstream sees it.

use serde_json::json;

use super::{assert_shape, create};
use crate::support::{Proxy, Upstream};

#[tokio::test]
async fn defaults_of_the_settings_go_up_where_the_client_gives_none() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    create(&proxy, &json!({"prompt": "hi"})).await;
    let sent = upstream.last();
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(sent.header("content-type"), "application/json");
    let expected = json!({
        "model": "anthropic/claude-sonnet-4", "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.7, "presence_penalty": 0.1, "frequency_penalty": 0.1, "max_tokens": 2000,
    });
    assert_eq!(sent.json(), expected);
    proxy
        .post("/create/chat", &json!({"message": "hi"}), &[])
        .await;
    assert_eq!(upstream.last().json()["model"], "google/gemini-flash-1.5");

    let settings = "[create]\nmodel = \"a\"\nsystem_prompt = \"Be brief.\"\ntemperature = 0.25\n\
        presence_penalty = -1\nfrequency_penalty = 0\n\
        [chat]\nmodel = \"b\"\nsystem_prompt = \"Be kind.\"\n[max_tokens]\nsimple = 5";
    let proxy = Proxy::start(settings, &upstream).await;
    create(&proxy, &json!({"prompt": "hi"})).await;
    let sent = upstream.last().json();
    assert_eq!(
        sent["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
    assert_eq!(
        (&sent["model"], &sent["temperature"]),
        (&json!("a"), &json!(0.25))
    );
    assert_eq!(sent["presence_penalty"].as_f64(), Some(-1.0));
    assert_eq!(sent["frequency_penalty"].as_f64(), Some(0.0));
    assert_eq!(sent["max_tokens"], 5);
    proxy
        .post(
            "/create/chat",
            &json!({"message": "hi", "system": "Be rude."}),
            &[],
        )
        .await;
    let sent = upstream.last().json();
    assert_eq!(sent["model"], "b");
    assert_eq!(
        sent["messages"][0]["content"], "Be rude.",
        "the client's own counts"
    );
}

#[tokio::test]
async fn what_the_client_gives_goes_up() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let given = json!({
        "model": "x/y", "temperature": 0, "top_p": 0.5, "max_tokens": 9, "stop": ["a", "b"], "seed": 7,
        "response_format": {"type": "json_object"}, "presence_penalty": -2, "frequency_penalty": 2,
    });
    let mut body = given.clone();
    for (key, value) in [
        ("prompt", "hi"),
        ("name", "n"),
        ("pluginName", "p"),
        ("userId", "u"),
    ] {
        body[key] = value.into();
    }
    body["system"] = "s".into();
    let answer = create(&proxy, &body).await.json();
    assert_eq!(answer["ignored"], json!([]));
    let mut expected = given;
    expected["messages"] =
        json!([{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]);
    assert_eq!(upstream.last().json(), expected);
    // Null is the same as not given.
    let nulls = json!({"prompt": "hi", "model": null, "temperature": null, "stop": null,
        "max_tokens": null, "stream": null, "system": null, "name": null});
    assert_eq!(create(&proxy, &nulls).await.status, 200);
    assert_eq!(upstream.last().json()["max_tokens"], 2000);
}

#[tokio::test]
async fn max_tokens_follow_the_length_of_the_prompt() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (chars, expected) in [
        (1, 2000),
        (499, 2000),
        (500, 3000),
        (1499, 3000),
        (1500, 4000),
    ] {
        let text = "é".repeat(chars);
        create(&proxy, &json!({"prompt": text})).await;
        assert_eq!(upstream.last().json()["max_tokens"], expected, "{chars}");
        proxy
            .post("/create/chat", &json!({"message": text}), &[])
            .await;
        assert_eq!(upstream.last().json()["max_tokens"], expected, "{chars}");
        create(&proxy, &json!({"prompt": text, "max_tokens": 17})).await;
        assert_eq!(upstream.last().json()["max_tokens"], 17);
    }
}

#[tokio::test]
async fn older_clients_are_understood() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let old = json!({"type": "plugin", "name": "Shop", "description": "A small shop.",
        "features": ["a cart", "a till"]});
    let answer = create(&proxy, &old).await.json();
    assert_eq!(answer["ignored"], json!([]));
    let messages = &upstream.last().json()["messages"];
    let expected = json!([{"role": "user", "content": "A small shop.\na cart\na till"}]);
    assert_eq!(messages, &expected);
    // A prompt outranks the older form.
    let both = json!({"prompt": "hi", "description": "d", "features": ["f"]});
    create(&proxy, &both).await;
    assert_eq!(upstream.last().prompt(), "hi");
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_named() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let odd = json!({"prompt": "hi", "colour": "red", "tempreature": 0.1});
    let answer = create(&proxy, &odd).await.json();
    assert_eq!(answer["ignored"], json!(["colour", "tempreature"]));
    let sent = upstream.last().json();
    assert!(
        sent.get("colour").is_none() && sent.get("tempreature").is_none(),
        "{sent}"
    );
}

#[tokio::test]
async fn a_turn_follows_its_history() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let turn = json!({"message": "And then?", "system": "s", "history": [
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]});
    let answer = proxy.post("/create/chat", &turn, &[]).await;
    assert_shape(&answer.json(), true);
    let expected = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "And then?"},
    ]);
    assert_eq!(upstream.last().json()["messages"], expected);
    // Another history is another question.
    let mut other = turn;
    other["history"][0]["content"] = "uno".into();
    let answer = proxy.post("/create/chat", &other, &[]).await;
    assert_eq!(answer.header("x-cache"), "MISS");
}
