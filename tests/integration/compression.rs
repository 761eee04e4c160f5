//! What decides how much of a prompt is taken out: settings, endpoint, role, and the client's own wish.

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};

/// A text in which every level finds a space too much, and `balanced` finds a wordy phrase and a frame.
fn wordy() -> String {
    let lines = (0..9).map(|line| format!("let value_{line} = read({line});\n"));
    let code: String = lines.collect();
    let asked =
        "I would like you to list the rooms  of the house that we built in order to see them all.";
    format!("{asked}\n\n```\n{code}```")
}

fn safe() -> String {
    wordy().replace("rooms  of", "rooms of")
}

fn balanced() -> String {
    safe()
        .replace("in order to", "to")
        .replace("I would like you to list", "List")
}

fn conversation(text: &str) -> Value {
    json!({"model": "m", "messages": [
        {"role": "system", "content": text},
        {"role": "assistant", "content": text},
        {"role": "user", "content": text},
    ]})
}

/// What goes upstream for each role when all three say the same.
async fn sent(proxy: &Proxy, upstream: &Upstream, headers: &[(&str, &str)]) -> [String; 3] {
    assert_eq!(
        proxy
            .chat_with(&conversation(&wordy()), headers)
            .await
            .status,
        200
    );
    let sent = upstream.last().json();
    [0, 1, 2].map(|at| sent["messages"][at]["content"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_clients_wish_comes_before_the_roles_level_and_that_before_the_endpoints() {
    let upstream = Upstream::start().await;
    let settings = r#"
        [compression]
        level = "aggressive"
        routes = ["/v1/chat/completions=safe", "/create=off"]
        roles = ["system", "user=balanced"]
        rules.deny = ["repeated-content", "request-frames"]
    "#;
    let proxy = Proxy::start(settings, &upstream).await;
    let balanced = balanced().replace("List", "I would like you to list");
    assert_eq!(
        sent(&proxy, &upstream, &[]).await,
        [safe(), wordy(), balanced.clone()]
    );
    let wish = [("x-pegasus-compression", "off")];
    assert_eq!(
        sent(&proxy, &upstream, &wish).await,
        [wordy(), wordy(), wordy()]
    );
    let wish = [("x-pegasus-compression", "balanced")];
    assert_eq!(
        sent(&proxy, &upstream, &wish).await,
        [balanced.clone(), wordy(), balanced.clone()]
    );

    proxy
        .post("/create", &json!({"prompt": wordy()}), &[])
        .await;
    assert_eq!(upstream.last().prompt(), wordy());
    proxy
        .post("/create/chat", &json!({"message": wordy()}), &[])
        .await;
    assert_eq!(upstream.last().prompt(), balanced);
}

#[tokio::test]
async fn by_default_the_models_own_turns_stay() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("compression.rules.deny = [\"repeated-content\"]", &upstream).await;
    let [system, assistant, user] = sent(&proxy, &upstream, &[]).await;
    assert_eq!(system, balanced());
    assert_eq!(assistant, wordy());
    assert_eq!(user, balanced());
}

#[tokio::test]
async fn a_file_sent_again_becomes_a_reference() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let lines: Vec<_> = (0..40)
        .map(|line| format!("let value_{line} = read({line});"))
        .collect();
    let file = lines.join("\n") + "\n";
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": format!("Here is main.rs.\n```rust\n{file}```")},
        {"role": "assistant", "content": "Go on."},
        {"role": "user", "content": format!("Once more, what is wrong with it?\n```rust\n{file}```\nIt does not compile.")},
    ]});
    assert_eq!(proxy.chat(&request).await.status, 200);
    let sent = upstream.last().json();
    assert_eq!(sent["messages"][0], request["messages"][0]);
    assert_eq!(
        sent["messages"][2]["content"],
        "Once more, what is wrong with it?\n[42 lines identical to earlier, from the fence before: let value_0 =]\nIt does not compile."
    );
}
