//! Counts what happened: beside the way of a request, never in it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::chat::Usage;
use crate::compressor::Saving;
use crate::json::Node;
use crate::reply::{Provenance, Tier, Worth};
use crate::request::{ProxyRequest, Saved};

use prices::PriceTable;

pub use refusals::{Refusal, Refusals};

pub mod prices;
mod refusals;
pub mod tokens;

/// Model names come from clients; so many unpriced ones are remembered.
const MAX_UNPRICED: usize = 50;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The tokens of a request's messages, for upstreams that report none: their texts, and four a message for
/// its frame, as `OpenAI`'s chat format has it.
pub fn estimate_prompt(request: &ProxyRequest) -> u64 {
    let messages = request
        .outgoing()
        .and_then(|json| json.root().get("messages")?.as_array());
    messages
        .unwrap_or_default()
        .iter()
        .map(|message| 4 + message.get("content").map_or(0, estimate_content))
        .sum()
}

fn estimate_content(content: &Node) -> u64 {
    match content {
        Node::String(text) => tokens::estimate(&text.value),
        Node::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .map(tokens::estimate)
            .sum(),
        _ => 0,
    }
}

/// Everything that is counted. Every request that reaches the stack counts once in `requests` and, when its
/// reply is there, once in exactly one of `hits`, `stale_hits`, `misses`, `bypasses` or `departed`.
#[derive(Default)]
pub struct Metrics {
    /// Requests that reached the stack.
    pub requests: Counter,
    /// Answered from the cache.
    pub hits: Counter,
    /// Of the hits, those that only the tier had which the instances share.
    pub redis_hits: Counter,
    /// Answered from the cache past its life.
    pub stale_hits: Counter,
    /// Calls behind stale answers that were to bring new ones.
    pub refreshes: Counter,
    /// Looked up in vain: calls of their own, joined calls and failures.
    pub misses: Counter,
    /// Of the misses, those that another caller's call answered.
    pub joined: Counter,
    /// Of those, the ones whose call another instance made.
    pub joined_across: Counter,
    /// Not looked up.
    pub bypasses: Counter,
    /// The client left before the head of its reply.
    pub departed: Counter,
    /// Requests that the upstream failed: without a reply to pass on, after all retries.
    pub failures: Counter,
    /// Attempts that were sent upstream.
    pub attempts: Counter,
    /// Attempts after the first, after a backoff.
    pub retries: Counter,
    /// Attempts on a fresh socket because a pooled one was dead.
    pub reconnects: Counter,
    /// Answers put into the cache.
    pub stored: Counter,
    /// Answers that the cache was offered and did not keep.
    pub refused: Refusals,
    /// Complete chat answers from the upstream.
    pub answers: Counter,
    /// Of these, the ones whose tokens had to be estimated.
    pub estimated_answers: Counter,
    /// Prompt tokens of the answers.
    pub prompt_tokens: Counter,
    /// Completion tokens of the answers.
    pub completion_tokens: Counter,
    /// What the answers cost, in nano-dollars.
    pub cost_nano_usd: Counter,
    /// Characters that compression was given.
    pub compression_chars_before: Counter,
    /// Characters that compression took out.
    pub compression_chars_saved: Counter,
    /// Tokens that compression took out, in `o200k_base`.
    pub compression_tokens_saved: Counter,
    /// Tokens of answers from the cache, as counted when they were made.
    pub cache_tokens_saved: Counter,
    /// Tokens of answers that a joined call brought.
    pub dedup_tokens_saved: Counter,
    /// What hits, joined calls and compression saved, in nano-dollars.
    pub saved_nano_usd: Counter,
    /// What each compression rule saved, by kind of content.
    compression: Mutex<Vec<Saving>>,
    prices: PriceTable,
    unpriced: Mutex<BTreeSet<String>>,
}

/// What one reply cost and saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bill {
    /// Tokens paid for.
    pub tokens_used: u64,
    /// Tokens not paid for.
    pub tokens_saved: u64,
    /// Nano-dollars paid.
    pub cost_nano_usd: u64,
    /// Nano-dollars not paid.
    pub saved_nano_usd: u64,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(prices: PriceTable) -> Self {
        Self {
            prices,
            ..Self::default()
        }
    }

    /// The upstream has given a complete answer: once for each call, however many callers share it.
    pub fn answered(&self, model: &str, usage: Usage) {
        self.answers.add(1);
        self.estimated_answers.add(u64::from(usage.estimated));
        self.prompt_tokens.add(usage.prompt_tokens);
        self.completion_tokens.add(usage.completion_tokens);
        self.cost_nano_usd
            .add(self.price(model, usage.prompt_tokens, usage.completion_tokens));
    }

    /// A request has got the head of its reply.
    pub fn replied(&self, provenance: Provenance) {
        match provenance {
            Provenance::Hit { tier, .. } => {
                self.hits.add(1);
                if tier == Tier::Redis {
                    self.redis_hits.add(1);
                }
            }
            Provenance::Stale { .. } => self.stale_hits.add(1),
            Provenance::Miss { .. } => self.misses.add(1),
            Provenance::Coalesced { across } => {
                self.misses.add(1);
                self.joined.add(1);
                self.joined_across.add(u64::from(across));
            }
            Provenance::Bypass { .. } => self.bypasses.add(1),
        }
    }

    /// A request has got no reply, after a look-up in vain or without one.
    pub fn failed(&self, looked_up: bool, by_upstream: bool) {
        self.failures.add(u64::from(by_upstream));
        let counter = if looked_up {
            &self.misses
        } else {
            &self.bypasses
        };
        counter.add(1);
    }

    /// A request has got a complete answer: what it cost and what it saved.
    pub fn bill(&self, model: &str, provenance: Provenance, worth: Worth, saved: &Saved) -> Bill {
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            ..
        } = worth.usage;
        let price = self.price(model, prompt_tokens, completion_tokens);
        let not_sent = self.price(model, saved.tokens, 0);
        self.compression_tokens_saved.add(saved.tokens);
        self.compression_chars_saved.add(saved.chars);
        self.compression_chars_before.add(saved.chars_before);
        if !saved.savings.is_empty() {
            let mut all = self.compression.lock();
            for saving in saved.savings.iter() {
                Saving::add(&mut all, *saving);
            }
        }
        let bill = if provenance.is_paid() {
            Bill {
                tokens_used: total_tokens,
                tokens_saved: saved.tokens,
                cost_nano_usd: price,
                saved_nano_usd: not_sent,
            }
        } else {
            let counter = match provenance {
                Provenance::Coalesced { .. } => &self.dedup_tokens_saved,
                _ => &self.cache_tokens_saved,
            };
            counter.add(total_tokens);
            Bill {
                tokens_used: 0,
                tokens_saved: total_tokens + saved.tokens,
                cost_nano_usd: 0,
                saved_nano_usd: price + not_sent,
            }
        };
        self.saved_nano_usd.add(bill.saved_nano_usd);
        bill
    }

    /// What compression saved, by rule and kind of content.
    pub fn compression(&self) -> Vec<Saving> {
        self.compression.lock().clone()
    }

    /// Models that were used and have no price.
    pub fn unpriced_models(&self) -> Vec<String> {
        self.unpriced.lock().iter().cloned().collect()
    }

    fn price(&self, model: &str, prompt_tokens: u64, completion_tokens: u64) -> u64 {
        self.prices
            .nano_usd(model, prompt_tokens, completion_tokens)
            .unwrap_or_else(|| {
                let mut unpriced = self.unpriced.lock();
                if unpriced.len() < MAX_UNPRICED && !unpriced.contains(model) {
                    unpriced.insert(model.to_owned());
                }
                0
            })
    }
}
