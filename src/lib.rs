//! A reverse proxy for LLM APIs that makes every call cheaper, faster and safer without changing the model.
//!
//! > A request is **compressed**, answered from the **cache** if it can be, **deduplicated** with identical
//! > ones in flight, admitted by the **circuit breaker**, and sent **upstream with retries**.
//!
//! A walk through the house, in the order in which a request takes it:
//!
//! - [`edge`] accepts connections, checks who is calling and makes a [`request::ProxyRequest`] of what they
//!   say. It is the only part that knows axum.
//! - [`stack`] is the sentence above as one builder; [`layers`] holds a file for each of its verbs. They know
//!   neither axum nor the upstream's client.
//! - [`upstream`] makes one attempt at the API behind us. It is the only part that knows how that is spoken to.
//! - [`reply`] is what comes back, whole or as a stream, and tells where it came from.
//!
//! Beside the way stand the pure parts, which can be read by themselves: [`compressor`], [`fingerprint`],
//! [`json`], [`chat`], [`sse`], [`tokens`]; the answers that are kept in [`store`]; the counters in [`metering`]; the
//! spans of [`telemetry`]; what adjusts itself, in [`tuning`]; [`estimate`], which replays logs through all of this; and
//! what starts it all: [`cli`], [`config`], [`descriptors`], [`logging`], [`demo`].

mod alarm;
pub mod chat;
pub mod cli;
pub mod compressor;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod edge;
pub mod embeddings;
pub mod error;
pub mod estimate;
pub mod fingerprint;
pub mod json;
pub mod layers;
pub mod logging;
pub mod metering;
pub mod reply;
pub mod request;
pub mod sse;
pub mod stack;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod tuning;
pub mod upstream;
mod words;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use telemetry::Telemetry;

/// How long the end waits for calls that are broken off.
const LAST_CALLS: Duration = Duration::from_millis(200);
/// How long the end waits for a collector of traces: what is left of the drain, within these bounds.
const LEAST_SPANS: Duration = Duration::from_millis(200);
const LAST_SPANS: Duration = Duration::from_secs(5);
/// How long the end waits for the ledger.
const LAST_ROWS: Duration = Duration::from_secs(5);
/// How long the end waits for what was learned.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves on `listener` until `shutdown` is ready and what is under way has ended. `ready` is called when nothing can
/// fail any more: before that, only the TLS library can.
pub async fn serve(
    config: config::Config,
    listener: TcpListener,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), upstream::SetupError> {
    let mut stack = stack::build(&config)?;
    stack.telemetry = Telemetry::start(&config)?;
    stack.keep_books(&config.ledger).await;
    ready();
    let store = stack.store.clone();
    let (books, flights) = (stack.books.clone(), stack.flights.clone());
    let ledger = stack.ledger.clone();
    let (budgets, telemetry) = (stack.budgets.clone(), stack.telemetry.clone());
    let learning = stack.learning.clone();
    let grace = config.server.shutdown_grace;
    let mut stopping = None;
    let shutdown = async {
        shutdown.await;
        stopping = Some(Instant::now());
    };
    let prices = metering::fetch::keep_prices(&config, &stack);
    let optimizer = stack.optimizer.clone();
    let tuning = async {
        match &optimizer {
            Some(optimizer) => optimizer.run(books.as_ref()).await,
            None => std::future::pending().await,
        }
    };
    let ahead = stack.fetch_ahead();
    tokio::select! {
        biased;
        // Before anybody is served: a clear must find the answers of an earlier process read, or being read.
        never = store.upkeep() => match never {},
        never = prices => match never {},
        never = tuning => match never {},
        never = ahead => match never {},
        never = budgets.keep_others_informed() => match never {},
        () = edge::run(edge::Edge::new(config, stack), listener, shutdown) => {}
    }
    if let Some(books) = books {
        // Calls that nobody waits for any more are being broken off, and are in the books then.
        let broken_off = async {
            while !flights.is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(LAST_CALLS, broken_off).await;
        let written = async {
            books.settled().await;
            if let Some(ledger) = &ledger {
                ledger.close().await;
            }
        };
        if timeout(LAST_ROWS, written).await.is_err() {
            let lost = ledger.map_or(0, |ledger| ledger.waiting());
            tracing::error!(lost, "the ledger could not be written to the end");
        }
    }
    if let Some(learning) = learning
        && timeout(LAST_WORDS, learning.close()).await.is_err()
    {
        tracing::error!("what was learned could not be written to the end");
    }
    budgets.tell_others().await;
    store.close().await;
    if let Some(telemetry) = telemetry {
        let left = grace.saturating_sub(stopping.map_or(grace, |since| since.elapsed()));
        telemetry.close(left.clamp(LEAST_SPANS, LAST_SPANS)).await;
    }
    Ok(())
}
