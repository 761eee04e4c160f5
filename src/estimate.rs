//! Says what the service would have saved on a log of requests, before anybody deploys it: replays the log through the
//! real edge and the real layers, against the answers that it has or simulated ones.
//!
//! It is offline: no socket is opened, and nothing is written but the report. The log is streamed, so that its length does
//! not matter: what is held is what the cache holds, what is under way, and sums.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;
use parking_lot::Mutex;

use crate::config::Config;
use crate::fingerprint::digest;
use crate::metering::Metrics;
use crate::stack;

use asked::Asked;
use draws::Draws;
use log::{Lines, Logged, Recorded};
use order::{Order, Placed};
use repeated::Repeated;
use replay::{Refused, Replay, offline, on_top};
use sweep::{Sweep, Tap};
use upstream::Upstream;

pub use report::Report;

mod asked;
mod draws;
pub mod log;
mod order;
mod repeated;
mod replay;
pub mod report;
mod sums;
mod sweep;
mod upstream;

/// The path of calls for embeddings.
const EMBEDDINGS: &str = "/v1/embeddings";

/// Lines that are named when something is wrong with them.
const NAMED: usize = 5;

/// How to replay.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// So many requests a second come on lines that tell no time.
    pub rate: f64,
    /// So many requests are replayed at most.
    pub limit: Option<u64>,
    /// Whether other settings are tried, too.
    pub sweep: bool,
    /// Whether the report may show how prompts begin.
    pub show_prompts: bool,
}

/// How far a replay is, and whether it is to end early.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the log that have been read.
    pub bytes: AtomicU64,
    /// Requests that have been sent.
    pub requests: AtomicU64,
    /// Set from outside: no further line is read, and the report is about what there is.
    pub stop: AtomicBool,
}

/// A line that is not in the figures, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its number.
    pub line: u64,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

/// A pass over a log.
struct Pass<'p> {
    replay: Replay,
    upstream: Upstream,
    draws: Draws,
    repeated: Repeated,
    order: Order,
    facts: Facts,
    limit: u64,
    progress: &'p Progress,
}

/// What there is to be said of a log beside its sums.
#[derive(Default)]
struct Facts {
    lines: u64,
    requests: u64,
    unreadable: u64,
    refused: u64,
    problems: Vec<Problem>,
    /// When the first request came and when the last one did.
    from: Option<i64>,
    until: i64,
    /// Requests whose answer the log tells in some way, and those that tell how long it took.
    answered: u64,
    clocked: u64,
    /// Answers that took longer than the service waits.
    too_slow: u64,
    forwarded: u64,
    /// Calls for embeddings among them.
    embeddings: u64,
    is_interrupted: bool,
}

/// Replays a log through a service with these settings. Fails if it cannot be read.
pub fn run(
    config: &Config,
    source: impl BufRead,
    options: &Options,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(replay(config, source, options, progress))
}

async fn replay(
    config: &Config,
    source: impl BufRead,
    options: &Options,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let (asked, config) = (config, offline(config));
    let metrics = Arc::new(Metrics::new(config.metering.prices.clone()));
    let upstream = Upstream::new(Arc::clone(&metrics));
    let sweep = options.sweep.then(|| {
        let prices = Metrics::new(config.metering.prices.clone());
        Arc::new(Mutex::new(Sweep::new(&config, prices, upstream.begun())))
    });
    let replay = Replay::new(config.clone(), &metrics, upstream.clone(), |stack| {
        if let Some(sweep) = &sweep {
            let (sweep, upstream) = (Arc::clone(sweep), upstream.clone());
            on_top(stack, |layers| {
                stack::Service::new(Tap::new(layers, sweep, upstream))
            });
        }
    });
    let mut pass = Pass {
        replay,
        upstream,
        draws: Draws::default(),
        repeated: Repeated::new(options.show_prompts),
        order: Order::new(options.rate),
        facts: Facts::default(),
        limit: options.limit.unwrap_or(u64::MAX),
        progress,
    };
    pass.read(&mut Lines::new(source), config.upstream.total_timeout)
        .await?;
    let swept = sweep.map(|sweep| sweep.lock().finish());
    Ok(Report::new(asked, &config, options, &pass, swept))
}

impl Pass<'_> {
    /// Replays all lines.
    async fn read(
        &mut self,
        lines: &mut Lines<impl BufRead>,
        patience: std::time::Duration,
    ) -> anyhow::Result<()> {
        let mut taken = 0;
        while taken < self.limit {
            if self.progress.stop.load(Ordering::Relaxed) {
                self.facts.is_interrupted = true;
                break;
            }
            let Some(line) = lines.read().context("cannot read the log")? else {
                break;
            };
            self.progress.bytes.store(lines.bytes(), Ordering::Relaxed);
            self.facts.lines += 1;
            let read = match &line.text {
                Some(text) => Logged::read(text).map_err(|unreadable| unreadable.0),
                None => Err("it is longer than 64 MiB".to_owned()),
            };
            match read {
                Ok(logged) => {
                    taken += 1;
                    if let Some(placed) = self.order.push(line.number, logged) {
                        self.send(placed, patience).await;
                    }
                }
                Err(why) => {
                    self.facts.unreadable += 1;
                    self.name(line.number, why);
                }
            }
        }
        while let Some(placed) = self.order.pop() {
            self.send(placed, patience).await;
        }
        self.replay.finish().await;
        Ok(())
    }

    async fn send(&mut self, placed: Placed, patience: std::time::Duration) {
        let Placed { at, line, logged } = placed;
        let digest = digest(&logged.body);
        let seed = seed_of(digest.as_bytes());
        let Logged {
            path,
            body,
            caller,
            recorded,
            latency,
            ..
        } = logged;
        if let Some(tokens) = tokens_of(&recorded) {
            self.draws.observe_tokens(tokens);
        }
        if let Some(latency) = latency {
            self.draws.observe_latency(latency);
            self.facts.clocked += 1;
            self.facts.too_slow += u64::from(latency > patience);
        }
        let drawn = self.draws.tokens(seed);
        let tokens = tokens_of(&recorded).unwrap_or(drawn);
        let asked = Asked {
            at,
            line,
            path,
            body,
            caller,
            latency: latency.unwrap_or_else(|| self.draws.latency(seed, tokens)),
            drawn,
            recorded,
        };
        let is_answered = asked.is_recorded();
        let is_forwarded = is_forwarded(&asked.path);
        let is_embedding = asked.path.split('?').next() == Some(EMBEDDINGS);
        self.repeated.count(digest, &asked);
        let refused = self.replay.send(asked).await;
        self.progress.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(Refused { status, body }) = refused {
            self.facts.refused += 1;
            self.name(
                line,
                format!("the service would answer {status}: {}", words_of(&body)),
            );
            return;
        }
        let facts = &mut self.facts;
        facts.requests += 1;
        facts.answered += u64::from(is_answered);
        facts.forwarded += u64::from(is_forwarded);
        facts.embeddings += u64::from(is_embedding);
        facts.from.get_or_insert(at);
        facts.until = at;
    }

    fn name(&mut self, line: u64, why: String) {
        if self.facts.problems.len() < NAMED {
            self.facts.problems.push(Problem { line, why });
        }
    }
}

/// The tokens of a recorded answer, where its line tells them.
fn tokens_of(recorded: &Recorded) -> Option<u64> {
    match recorded {
        Recorded::Usage(usage) | Recorded::Text(_, Some(usage)) => Some(usage.completion_tokens),
        Recorded::Text(text, None) => Some(text.len().div_ceil(4) as u64),
        Recorded::Whole(body, usage) => {
            let told = crate::chat::usage_of(body).map(|(usage, _)| usage);
            told.or(*usage).map(|usage| usage.completion_tokens)
        }
        Recorded::Nothing | Recorded::Error(..) => None,
    }
}

fn is_forwarded(path: &str) -> bool {
    ![log::CHAT, log::CREATE, log::TURN].contains(&path)
}

fn seed_of(digest: &[u8; 32]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

/// What an error's body says.
fn words_of(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = json["error"]
        .as_str()
        .or_else(|| json["error"]["message"].as_str());
    words.map_or_else(
        || String::from_utf8_lossy(body).into_owned(),
        ToOwned::to_owned,
    )
}
