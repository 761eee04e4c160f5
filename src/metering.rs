//! Counts what happened: beside the way of a request, never in it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::chat::Usage;
use crate::compressor::Saving;
use crate::reply::{Provenance, Tier, Worth};
use crate::request::{ProxyRequest, Saved};

use account::Account;
use prices::{Fetched, PriceTable, Tokens};

pub(crate) use decimal::{exact_nano_usd, nano_usd};
pub use provider_cache::ProviderCache;
pub use refusals::{Refusal, Refusals};

pub mod account;
pub mod books;
pub mod budget;
mod decimal;
pub mod exposition;
pub mod fetch;
pub mod gathered;
pub mod hand;
pub mod histogram;
pub mod ledger;
pub mod overview;
pub mod prices;
mod provider_cache;
mod refusals;
pub mod tally;
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
    /// Of these, the ones that the upstream failed: without an answer, or with one whose status says so.
    pub failed_attempts: Counter,
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
    /// What hits, joined calls, compression and the provider's cache saved, in nano-dollars.
    pub saved_nano_usd: Counter,
    /// What marking prompts for the provider's own cache came to.
    pub provider_cache: ProviderCache,
    /// What each compression rule saved, by kind of content.
    compression: Mutex<Vec<Saving>>,
    prices: RwLock<PriceTable>,
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
            prices: RwLock::new(prices),
            ..Self::default()
        }
    }

    /// The upstream has given an answer, or as much of one as came: once for each call, however many callers share
    /// it. The account of the request that began the call pays. Gives the usage with what it cost, so that whoever is
    /// given the same answer need not ask the table again, nor another one.
    pub fn answered(
        &self,
        request: &ProxyRequest,
        usage: Usage,
        served: Option<&Arc<str>>,
    ) -> Usage {
        self.answers.add(1);
        self.estimated_answers.add(u64::from(usage.is_estimated()));
        self.prompt_tokens.add(usage.prompt_tokens);
        self.completion_tokens.add(usage.completion_tokens);
        let model = request.model().unwrap_or_default();
        let cost = self.price(model, served.map(|name| &**name), usage);
        self.cost_nano_usd.add(cost.unwrap_or(0));
        let discount = self.discount(model, served.map(|name| &**name), usage);
        self.saved_nano_usd.add(discount);
        request.parts().account.paid(usage, served, cost, discount);
        let usage = Usage {
            cost_nano_usd: cost,
            ..usage
        };
        if let Some(trace) = &request.trace {
            trace.note_usage(usage, served.map(|name| &**name));
        }
        usage
    }

    /// What a thousand tokens more of a request's prompt would have cost, in nano-dollars.
    pub fn price_of_thousand(
        &self,
        request: &ProxyRequest,
        served: Option<&Arc<str>>,
        usage: Usage,
    ) -> u64 {
        let model = request.model().unwrap_or_default();
        self.price_of_more(model, served.map(|name| &**name), usage, 1_000)
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
    pub fn bill(
        &self,
        account: &Account,
        model: &str,
        provenance: Provenance,
        worth: &Worth,
        saved: &Saved,
    ) -> Bill {
        let (usage, served) = (worth.usage, worth.served.as_deref());
        let total_tokens = usage.total_tokens;
        let price = self.price(model, served, usage);
        let not_sent = self.price_of_more(model, served, usage, saved.tokens);
        self.compression_tokens_saved.add(saved.tokens);
        self.compression_chars_saved.add(saved.chars);
        self.compression_chars_before.add(saved.chars_before);
        if !saved.savings.is_empty() {
            let mut all = self.compression.lock();
            for saving in saved.savings.iter() {
                Saving::add(&mut all, *saving);
            }
        }
        let is_joined = matches!(provenance, Provenance::Coalesced { .. });
        let bill = if provenance.is_paid() {
            Bill {
                tokens_used: total_tokens,
                tokens_saved: saved.tokens,
                cost_nano_usd: price.unwrap_or(0),
                saved_nano_usd: not_sent,
            }
        } else {
            let counter = if is_joined {
                &self.dedup_tokens_saved
            } else {
                &self.cache_tokens_saved
            };
            counter.add(total_tokens);
            Bill {
                tokens_used: 0,
                tokens_saved: total_tokens + saved.tokens,
                cost_nano_usd: 0,
                saved_nano_usd: price.unwrap_or(0).saturating_add(not_sent),
            }
        };
        self.saved_nano_usd.add(bill.saved_nano_usd);
        account.note(|row| {
            row.compressed_tokens = saved.tokens;
            row.saved.compression = not_sent;
            if !provenance.is_paid() {
                let saving = if is_joined {
                    &mut row.saved.dedup
                } else {
                    &mut row.saved.cache
                };
                *saving = price.unwrap_or(0);
                row.given = Some(usage);
                row.served.clone_from(&worth.served);
                row.is_priced = price.is_some() && (row.is_priced || row.bought.is_none());
            }
        });
        bill
    }

    /// A request has been given a part of its answer, or all of it, that is not paid for again: from the cache, or by a
    /// call that was made for others, too.
    pub fn spared(
        &self,
        request: &ProxyRequest,
        usage: Usage,
        served: Option<&Arc<str>>,
        is_joined: bool,
    ) {
        let model = request.model().unwrap_or_default();
        let price = self.price(model, served.map(|name| &**name), usage);
        let tokens = if is_joined {
            &self.dedup_tokens_saved
        } else {
            &self.cache_tokens_saved
        };
        tokens.add(usage.total_tokens);
        self.saved_nano_usd.add(price.unwrap_or(0));
        request.parts().account.note(|row| {
            let saving = if is_joined {
                &mut row.saved.dedup
            } else {
                &mut row.saved.cache
            };
            *saving = saving.saturating_add(price.unwrap_or(0));
            row.given = Some(row.given.map_or(usage, |before| before.plus(usage)));
            row.served = served.cloned();
            row.is_priced = price.is_some() && (row.is_priced || row.bought.is_none());
        });
    }

    /// What compression saved, by rule and kind of content.
    pub fn compression(&self) -> Vec<Saving> {
        self.compression.lock().clone()
    }

    /// Models that were used and have no price.
    pub fn unpriced_models(&self) -> Vec<String> {
        self.unpriced.lock().iter().cloned().collect()
    }

    /// What a call cost, as its provider said or as was worked out when it was made, else what the table says; `None` for a
    /// model without a price.
    pub(crate) fn price(&self, model: &str, served: Option<&str>, usage: Usage) -> Option<u64> {
        usage
            .cost_nano_usd
            .or_else(|| self.list_price(model, served, usage))
    }

    /// What a call costs by the table.
    fn list_price(&self, model: &str, served: Option<&str>, usage: Usage) -> Option<u64> {
        let priced = self.prices.read().cost(model, served, &tokens_of(usage));
        if priced.is_none() {
            let mut unpriced = self.unpriced.lock();
            if unpriced.len() < MAX_UNPRICED && !unpriced.contains(model) {
                unpriced.insert(model.to_owned());
            }
        }
        priced
    }

    /// What a call would have cost more with so many tokens more in its prompt.
    pub(crate) fn price_of_more(
        &self,
        model: &str,
        served: Option<&str>,
        usage: Usage,
        tokens: u64,
    ) -> u64 {
        if tokens == 0 {
            return 0;
        }
        let prices = self.prices.read();
        let more = prices.cost_of_more_input(model, served, &tokens_of(usage), tokens);
        more.unwrap_or(0)
    }

    /// By how much the provider's own cache made a prompt cheaper.
    fn discount(&self, model: &str, served: Option<&str>, usage: Usage) -> u64 {
        if usage.cached_tokens == 0 {
            return 0;
        }
        let prices = self.prices.read();
        let discount = prices.cached_discount(model, served, &tokens_of(usage));
        discount.unwrap_or(0)
    }

    /// From which share of second comings on it pays to put the beginning of a model's prompt into its provider's cache.
    pub fn cache_break_even(&self, model: &str) -> Option<f64> {
        self.prices.read().cache_break_even(model)
    }

    /// A prompt that was marked for the provider's cache has brought an answer with this usage: by how much the cache made
    /// it cheaper and dearer, in nano-dollars.
    pub fn marked(&self, model: &str, served: Option<&str>, usage: Usage) -> (u64, u64) {
        let tokens = tokens_of(usage);
        let prices = self.prices.read();
        let saved = prices.cached_discount(model, served, &tokens);
        let dearer = prices.write_surcharge(model, served, &tokens);
        let (saved, dearer) = (saved.unwrap_or(0), dearer.unwrap_or(0));
        self.provider_cache.note(&tokens, saved, dearer);
        (saved, dearer)
    }

    /// The most tokens that a model reads and writes together, where that is known.
    pub fn context_window(&self, model: &str) -> Option<u64> {
        self.prices.read().context_window(model, None)
    }

    /// Takes over the prices that the upstream itself tells.
    pub fn learn_prices(&self, fetched: &Fetched) {
        let learned = self.prices.read().clone().with_fetched(fetched);
        *self.prices.write() = learned;
    }
}

fn tokens_of(usage: Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt_tokens,
        completion: usage.completion_tokens,
        cached: usage.cached_tokens,
        cache_write: usage.cache_write_tokens,
        reasoning: usage.reasoning_tokens,
    }
}
