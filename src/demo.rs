//! The built-in simulated model: an OpenAI-compatible upstream on a loopback port, so that a
//! request can travel the whole way, sockets included, with no key and no network.
//!
//! Every answer says that it is simulated, and the same request always gets the same one.

mod answer;
mod chat;
mod embeddings;
mod refusal;

use std::{io, net::Ipv4Addr, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path},
    http::{Method, Uri},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use refusal::Refusal;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// The default models of `/create` and `/create/chat`, and one that is only ever simulated.
const MODELS: [&str; 3] = [
    "anthropic/claude-sonnet-4",
    "google/gemini-flash-1.5",
    "pegasus-demo",
];
/// The model of a request that names none.
const DEFAULT_MODEL: &str = "pegasus-demo";
/// 2025-01-01, in seconds of Unix time: the list of models is the same on every start.
const MODELS_CREATED: u64 = 1_735_689_600;
/// How long accepting pauses after an error: out of descriptors, it would spin otherwise.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running simulated model; dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Demo {
    /// What `upstream.base_url` is set to: `http://127.0.0.1:PORT/v1`.
    pub base_url: String,
    server: AbortHandle,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Starts the simulated model on a free loopback port; fails when none can be bound.
pub async fn start() -> io::Result<Demo> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let base_url = format!("http://{}/v1", listener.local_addr()?);
    #[expect(
        clippy::disallowed_methods,
        reason = "the server lives as long as its `Demo`"
    )]
    let server = tokio::spawn(serve(listener)).abort_handle();
    Ok(Demo { base_url, server })
}

/// Serves for ever. Its connections are in a set of its own, so that aborting this ends them too.
async fn serve(listener: TcpListener) {
    let router = router();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    // Words of a stream are small: none should wait for the next one.
                    let _ = socket.set_nodelay(true);
                    let service = TowerToHyperService::new(router.clone());
                    connections.spawn(
                        http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "the simulated model cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            // Finished connections are taken out; how they ended is the client's affair.
            Some(_) = connections.join_next() => {}
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/models", get(models))
        // Model names contain slashes.
        .route("/v1/models/{*id}", get(model))
        .fallback(async |method: Method, uri: Uri| Refusal::unknown_url(&method, uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Refusal::wrong_method(&method, uri.path())
        })
        // The proxy in front has its own limit, which may be set higher than axum's.
        .layer(DefaultBodyLimit::disable())
}

async fn models() -> Json<Value> {
    let data: Vec<Value> = MODELS.iter().map(|id| card(id)).collect();
    Json(json!({"object": "list", "data": data, "simulated": true}))
}

async fn model(Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    if MODELS.contains(&id.as_str()) {
        Ok(Json(card(&id)))
    } else {
        Err(Refusal::no_model(&id))
    }
}

fn card(id: &str) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": MODELS_CREATED,
        "owned_by": "pegasus-nest (simulated)",
    })
}

/// A number that stands for these parts, the same on every start and every machine (FNV-1a).
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        let length = (part.len() as u64).to_le_bytes();
        length
            .iter()
            .chain(part)
            .fold(hash, |hash, &byte| step(hash, byte))
    });
    mix(sum)
}

/// Spreads a number's bits over all 64 (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
