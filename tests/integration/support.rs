//! What every behaviour needs: an upstream that does as it is told, a proxy in front of it, and clients.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::timeout;

pub(crate) use self::redis::RedisServer;
pub(crate) use act::{Act, End, gzip};
pub(crate) use client::{Answer, Client, Events, raw, text_of};
pub(crate) use gate::Gate;
pub(crate) use postgres::{PASSWORD, PostgresServer};
pub(crate) use proxy::Proxy;
pub(crate) use upstream::{Recorded, Upstream};
pub(crate) use wire::{Reading, Wire};

// With their paths, because `tests/programs/soak.rs` takes this file by its path.
#[path = "support/act.rs"]
mod act;
#[path = "support/client.rs"]
mod client;
#[path = "support/connection.rs"]
mod connection;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/upstream.rs"]
mod upstream;
#[path = "support/wire.rs"]
mod wire;

/// Far beyond what any step of a test takes, so that a hang fails with a message. `PEGASUS_TEST_PATIENCE` has other
/// seconds, for tests that are meant to hang.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("PEGASUS_TEST_PATIENCE");
    let seconds = seconds.ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Waits for a step of a test; fails with its name if it hangs.
pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = timeout(patience(), Box::pin(step)).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing happened for {:?}", patience()))
}

/// A chat request with this prompt.
pub(crate) fn ask(prompt: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": prompt}]})
}

/// The same, streaming.
pub(crate) fn ask_stream(prompt: &str) -> Value {
    let mut request = ask(prompt);
    request["stream"] = true.into();
    request
}

/// A complete chat completion that says `text`.
pub(crate) fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })
}

/// One chunk of a streamed completion.
pub(crate) fn delta(text: &str) -> String {
    chunk(&json!({"content": text}), None)
}

/// The last chunk of a streamed completion.
pub(crate) fn finish(reason: &str) -> String {
    chunk(&json!({}), Some(reason))
}

fn chunk(delta: &Value, finish_reason: Option<&str>) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    })
    .to_string()
}

/// An address that refuses connections for as long as its socket is kept. A port that is merely free may be another
/// test's in a moment.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// One server-sent event.
pub(crate) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}
