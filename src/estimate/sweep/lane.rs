//! One combination of settings: the service's own store, the calls under way, and what they come to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Setting;
use super::call::{Blank, Call, Came, Sold};
use crate::chat::{Admit, Quality, Usage};
use crate::config::{self, Config};
use crate::fingerprint::Fingerprint;
use crate::metering::Metrics;
use crate::reply::Worth;
use crate::request::{CacheControl, ProxyRequest, Verdict};
use crate::store::{Entry, Limits, Memory, SharedEntry};

/// What a lane comes to; money in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::estimate) struct Figures {
    pub(in crate::estimate) requests: u64,
    pub(in crate::estimate) hits: u64,
    pub(in crate::estimate) joined: u64,
    pub(in crate::estimate) cost: u64,
    pub(in crate::estimate) saved_by_cache: u64,
    pub(in crate::estimate) saved_by_dedup: u64,
    pub(in crate::estimate) saved_by_compression: u64,
}

pub(super) struct Lane {
    pub(super) setting: Setting,
    /// Which of the levels it has.
    pub(super) level: usize,
    pub(super) figures: Figures,
    cache: config::Cache,
    joins: bool,
    admit: Admit,
    memory: Memory,
    blank: Blank,
    /// The calls under way by their ends, and the numbers of those that others may join.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    calls: HashMap<u64, Flight>,
    in_air: HashMap<Fingerprint, u64>,
    begun: u64,
}

/// A call and who waits for it.
struct Flight {
    call: Call,
    /// What stands in for the one who began it, if it fails.
    reserve: Option<SharedEntry>,
    is_kept: bool,
    followers: Vec<Follower>,
}

struct Follower {
    model: Arc<str>,
    saved: u64,
    reserve: Option<SharedEntry>,
}

// === impl Lane ===

impl Lane {
    pub(super) fn new(config: &Config, setting: Setting, level: usize) -> Self {
        let cache = config::Cache {
            max_entries: setting.max_entries,
            ttl: setting.ttl,
            // What is tried beside the settings as they are is a cache, whether there is one or not.
            enabled: config.cache.enabled || level > 0,
            ..config.cache.clone()
        };
        Self {
            setting,
            level,
            figures: Figures::default(),
            joins: config.dedup.enabled,
            admit: cache.admit,
            memory: Memory::new(Limits::from(&cache)),
            cache,
            blank: Blank::new(),
            ends: BinaryHeap::new(),
            calls: HashMap::new(),
            in_air: HashMap::new(),
            begun: 0,
        }
    }

    /// A request comes, and would begin this call.
    pub(super) fn ask(&mut self, request: &ProxyRequest, call: &Call, metrics: &Metrics) {
        self.figures.requests += 1;
        let parts = request.parts();
        let is_kept = self.cache.enabled && !parts.cache_control.no_store;
        let mut reserve = None;
        if is_kept && let Some(entry) = self.memory.find(call.question) {
            let ttl = self.cache.ttl_of(parts.route);
            match CacheControl::default().judge(entry.age(), ttl) {
                Verdict::Fresh { .. } => {
                    self.give(&entry, &call.model, call.saved, metrics);
                    return;
                }
                Verdict::Stale { expired_for, .. } if expired_for < self.cache.stale_if_error => {
                    reserve = Some(entry);
                }
                _ => {}
            }
        }
        let is_shared = self.joins && !parts.cache_control.no_store;
        if is_shared && let Some(flight) = self.in_air.get(&call.question) {
            if let Some(flight) = self.calls.get_mut(flight) {
                flight.followers.push(Follower {
                    model: Arc::clone(&call.model),
                    saved: call.saved,
                    reserve,
                });
            }
            return;
        }
        if is_kept {
            // As the service does when a call takes off; a look is a use.
            let _ = self.memory.find(call.question);
        }
        self.begun += 1;
        self.ends.push(Reverse((call.end, self.begun)));
        if is_shared {
            self.in_air.insert(call.question, self.begun);
        }
        let flight = Flight {
            call: call.clone(),
            reserve,
            is_kept,
            followers: Vec::new(),
        };
        self.calls.insert(self.begun, flight);
    }

    /// Ends the calls that end until then.
    pub(super) fn pass_until(&mut self, now: u64, begun: Instant, metrics: &Metrics) {
        while let Some(Reverse((end, number))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            let Some(flight) = self.calls.remove(&number) else {
                continue;
            };
            if self.in_air.get(&flight.call.question) == Some(&number) {
                self.in_air.remove(&flight.call.question);
            }
            self.land(flight, begun + Duration::from_millis(end), metrics);
        }
    }

    fn land(&mut self, flight: Flight, at: Instant, metrics: &Metrics) {
        let Flight {
            call,
            reserve,
            is_kept,
            followers,
        } = flight;
        match &call.came {
            Came::Answer(sold) => {
                let cost = sold.usage.cost_nano_usd.unwrap_or(0);
                self.figures.cost += cost;
                self.figures.saved_by_compression += not_sent(
                    metrics,
                    &call.model,
                    sold.served.as_deref(),
                    sold.usage,
                    call.saved,
                );
                if is_kept {
                    self.keep(&call, sold, at);
                }
                for Follower { model, saved, .. } in &followers {
                    self.figures.joined += 1;
                    self.figures.saved_by_dedup += cost;
                    self.figures.saved_by_compression +=
                        not_sent(metrics, model, sold.served.as_deref(), sold.usage, *saved);
                }
            }
            Came::Failure {
                is_excuse,
                is_reply,
            } => {
                let leader = Follower {
                    model: Arc::clone(&call.model),
                    saved: call.saved,
                    reserve,
                };
                for (number, waiting) in std::iter::once(leader).chain(followers).enumerate() {
                    match waiting.reserve.filter(|_| *is_excuse) {
                        Some(entry) => self.give(&entry, &waiting.model, waiting.saved, metrics),
                        None => self.figures.joined += u64::from(number > 0 && *is_reply),
                    }
                }
            }
        }
    }

    /// A request is answered from the store.
    fn give(&mut self, entry: &Entry, model: &str, saved: u64, metrics: &Metrics) {
        self.figures.hits += 1;
        self.figures.saved_by_cache += entry.usage.cost_nano_usd.unwrap_or(0);
        self.figures.saved_by_compression +=
            not_sent(metrics, model, entry.served.as_deref(), entry.usage, saved);
    }

    /// Keeps an answer if it is good, as the service does.
    fn keep(&mut self, call: &Call, sold: &Sold, at: Instant) {
        let is_cut_by_us = sold.quality == Quality::Length && call.is_limited;
        if !self.admit.has(sold.quality) || is_cut_by_us {
            return;
        }
        let worth = Worth {
            usage: sold.usage,
            served: sold.served.clone(),
            quality: sold.quality,
        };
        let body = self.blank.of(sold.length);
        let mut entry = Entry::new(body, worth, &call.model, call.owner);
        entry.arrived = at;
        let generation = self.memory.generation();
        // One that is larger than all the store is not kept there either.
        let _ = self
            .memory
            .store(call.question, Arc::new(entry), generation);
    }

    /// Removes what is past its life.
    pub(super) fn tidy(&self) {
        self.memory.sweep();
    }
}

/// What the tokens would have cost that compression took out.
fn not_sent(metrics: &Metrics, model: &str, served: Option<&str>, usage: Usage, saved: u64) -> u64 {
    metrics.price_of_more(model, served, usage, saved)
}
