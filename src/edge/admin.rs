//! `/api/optimization-stats`: what happened, and what it saved.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::compressor::Saving;
use crate::config::Config;
use crate::metering::tally::usd;
use crate::metering::{Metrics, ProviderCache};
use crate::tuning::learn::{Arm, Estimate, Harm, Known};
use crate::tuning::prefetch::Prefetch;

use super::Edge;
use super::dialect::failure;
use super::document::Guarded;
use super::figures::{percent, timestamp};
use super::health::{CircuitBreaker, circuits};

/// What happened, and what it saved
///
/// Sums of what was really counted since the start.
#[utoipa::path(get, path = "/api/optimization-stats", tag = "savings", operation_id = "optimization_stats",
    responses((status = 200, description = "The statistics.", body = Report), Guarded))]
pub(super) async fn stats(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    match edge.shared.guard.caller(&headers) {
        Ok(_) => Json(report(&edge)).into_response(),
        Err(error) => failure(&error),
    }
}

/// The statistics: first what dashboards have always read, in the order in which people do.
#[derive(Serialize, ToSchema)]
#[schema(as = Statistics)]
struct Report {
    message: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    performance: Performance,
    savings: Savings,
    /// `Waiting for requests` or `Optimization Active`
    status: &'static str,
    #[serde(flatten)]
    more: More,
}

/// How much came.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Performance {
    total_requests: u64,
    total_tokens: u64,
    average_tokens_per_request: u64,
    #[schema(example = "23.5%")]
    cache_hit_rate: String,
    cache_size: u64,
    #[schema(example = "3420 characters saved")]
    compression_savings: String,
}

/// What the cache saved.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheSavings)]
#[serde(rename_all = "camelCase")]
struct Savings {
    cache_hits: u64,
    cache_misses: u64,
    estimated_tokens_saved: u64,
    #[serde(rename = "estimatedCostSavings")]
    #[schema(example = "$0.0008")]
    estimated_cost_saved: String,
}

/// The sections that stand beside them.
#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsMore)]
#[serde(rename_all = "camelCase")]
struct More {
    /// Tokens of answers, and tokens that were saved.
    #[schema(value_type = Object)]
    tokens: Value,
    /// Dollars spent and saved.
    #[schema(value_type = Object)]
    cost: Value,
    unpriced_models: Vec<String>,
    /// What compression took out, by rule and kind.
    #[schema(value_type = Object)]
    compression: Value,
    /// What the cache holds, gave, took and turned away.
    #[schema(value_type = Object)]
    cache: Value,
    /// Calls that several requests shared.
    #[schema(value_type = Object)]
    dedup: Value,
    /// Calls upstream.
    #[schema(value_type = Object)]
    upstream: Value,
    circuit_breakers: Vec<CircuitBreaker>,
    /// Calls that were made before anybody asked.
    #[schema(value_type = Object)]
    prefetch: Value,
}

fn report(edge: &Edge) -> Report {
    let m = &edge.shared.stack.metrics;
    let requests = m.requests.get();
    let tokens = m.prompt_tokens.get() + m.completion_tokens.get();
    let hits = m.hits.get() + m.stale_hits.get();
    let misses = m.misses.get();
    let tokens_saved =
        m.cache_tokens_saved.get() + m.dedup_tokens_saved.get() + m.compression_tokens_saved.get();
    Report {
        message: "🚀 Pegasus Nest API Optimization Statistics",
        timestamp: timestamp(SystemTime::now()),
        performance: Performance {
            total_requests: requests,
            total_tokens: tokens,
            average_tokens_per_request: (tokens + requests / 2).checked_div(requests).unwrap_or(0),
            cache_hit_rate: percent(hits, hits + misses),
            cache_size: edge.shared.stack.store.memory.len(),
            compression_savings: format!("{} characters saved", m.compression_chars_saved.get()),
        },
        savings: Savings {
            cache_hits: hits,
            cache_misses: misses,
            estimated_tokens_saved: tokens_saved,
            estimated_cost_saved: format!("${:.4}", usd(saved(edge))),
        },
        status: if requests == 0 {
            "Waiting for requests"
        } else {
            "Optimization Active"
        },
        more: more(edge),
    }
}

/// Savings by rule or kind: in how many places, characters and tokens.
fn by(savings: &[Saving], name: fn(&Saving) -> &'static str) -> Value {
    let mut sums: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for saving in savings {
        let [edits, chars, tokens] = sums.entry(name(saving)).or_default();
        *edits += saving.edits;
        *chars += saving.chars;
        *tokens += saving.tokens;
    }
    let sums = sums.into_iter().map(|(name, [edits, chars, tokens])| {
        let sum = json!({"edits": edits, "characters": chars, "tokens": tokens});
        (name.to_owned(), sum)
    });
    Value::Object(sums.collect())
}

/// Why answers were not kept: only what has come.
fn refused_by_reason(metrics: &Metrics) -> Value {
    let reasons = metrics.refused.by_reason().filter(|(_, count)| *count > 0);
    Value::Object(
        reasons
            .map(|(reason, count)| (reason.to_owned(), json!(count)))
            .collect(),
    )
}

/// What was saved, in nano-dollars, less what was paid for answers that nobody had asked for yet.
fn saved(edge: &Edge) -> u64 {
    let stack = &edge.shared.stack;
    let ahead = stack.prefetch.as_ref();
    let ahead = ahead.map_or(0, |prefetch| prefetch.stats().figures().spent_nano_usd);
    stack.metrics.saved_nano_usd.get().saturating_sub(ahead)
}

fn more(edge: &Edge) -> More {
    let (config, stack) = (&edge.shared.config, &edge.shared.stack);
    let m = &stack.metrics;
    More {
        tokens: json!({
            "prompt": m.prompt_tokens.get(),
            "completion": m.completion_tokens.get(),
            "answers": m.answers.get(),
            "answersWithEstimatedTokens": m.estimated_answers.get(),
            "savedByCache": m.cache_tokens_saved.get(),
            "savedByDedup": m.dedup_tokens_saved.get(),
        }),
        cost: json!({
            "spentUsd": usd(m.cost_nano_usd.get()),
            "savedUsd": usd(saved(edge)),
        }),
        unpriced_models: m.unpriced_models(),
        compression: json!({
            "level": config.compression.level.to_string(),
            "charactersSaved": m.compression_chars_saved.get(),
            "tokensSaved": m.compression_tokens_saved.get(),
            "vocabulary": "o200k_base",
            "byRule": by(&m.compression(), |saving| saving.rule.as_str()),
            "byKind": by(&m.compression(), |saving| saving.kind.as_str()),
            "learned": stack.learning.as_ref().map(|learning| learned(config, &learning.known())),
        }),
        cache: cache(edge),
        dedup: json!({
            "joined": m.joined.get(),
            "joinedAcrossInstances": m.joined_across.get(),
            "inFlight": stack.flights.len(),
            "callers": stack.flights.callers(),
        }),
        upstream: json!({
            "attempts": m.attempts.get(),
            "retries": m.retries.get(),
            "reconnects": m.reconnects.get(),
            "failures": m.failures.get(),
            "clientsGone": m.departed.get(),
            "promptCache": prompt_cache(&m.provider_cache),
        }),
        circuit_breakers: circuits(edge),
        prefetch: prefetch(stack.prefetch.as_ref()),
    }
}

/// What compression has learned, and how that does against the hold-out.
fn learned(config: &Config, known: &Known) -> Value {
    let trial = &known.trial;
    let arm = |arm: &Arm| {
        json!({
            "conversations": arm.requests,
            "failed": arm.failed,
            "askedAgain": arm.again,
            "ended": arm.ended,
            "cutOff": arm.cut,
            "promptTokens": arm.prompt.mean(),
            "answerTokens": arm.answer.mean(),
        })
    };
    let estimate = |estimate: Option<Estimate>| {
        estimate.map(|estimate| json!({"value": estimate.value, "plusMinus": estimate.give}))
    };
    json!({
        "mode": config.compression.learning.mode.as_str(),
        "version": known.version,
        "texts": known.rules,
        "rulesLeftOut": known.skips,
        "requestsLookedAt": known.heard.0,
        "requestsMissed": known.heard.1,
        "shortened": arm(&trial.treated),
        "heldOut": arm(&trial.held),
        "shareOfPromptTokensSaved": estimate(trial.saving()),
        "longerAnswers": estimate(trial.longer_answers()),
        "harm": trial.harm().map(Harm::as_str),
    })
}

/// What fetching ahead did, and what that brought.
fn prefetch(prefetch: Option<&Prefetch>) -> Value {
    let Some(prefetch) = prefetch else {
        return json!({"enabled": false});
    };
    let figures = prefetch.stats().figures();
    let calls = figures
        .begun
        .iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), json!(count)));
    let held = figures.held.iter().filter(|(_, count)| *count > 0);
    let held = held.map(|(why, count)| (why.as_str().to_owned(), json!(count)));
    json!({
        "enabled": true,
        "stopped": figures.is_stopped,
        "calls": Value::Object(calls.collect()),
        "used": figures.used,
        "unused": figures.unused,
        "precision": figures.precision(),
        "failed": figures.failed,
        "wasThere": figures.was_there,
        "heldBack": Value::Object(held.collect()),
        "overlooked": prefetch.overlooked(),
        "spentUsd": usd(figures.spent_nano_usd),
        "spentTodayUsd": usd(figures.spent_today_nano_usd),
        "wastedUsd": usd(figures.wasted_nano_usd),
        "waitsSavedMs": figures.waits_saved_ms,
        "questions": figures.questions,
        "bytes": figures.bytes,
    })
}

/// What marks for the provider's own cache came to.
fn prompt_cache(marks: &ProviderCache) -> Value {
    json!({
        "marked": marks.marked.get(),
        "refused": marks.refused.get(),
        "readTokens": marks.read_tokens.get(),
        "writtenTokens": marks.written_tokens.get(),
        "savedUsd": usd(marks.saved_nano_usd.get()),
        "surchargeUsd": usd(marks.surcharge_nano_usd.get()),
    })
}

/// What the cache holds, gave, took and turned away.
fn cache(edge: &Edge) -> Value {
    let (config, stack) = (&edge.shared.config.cache, &edge.shared.stack);
    let m = &stack.metrics;
    let memory = &stack.store.memory;
    let evicted = memory.evictions();
    // In this order: hits come meanwhile, and are counted in the other.
    let from_redis = m.redis_hits.get();
    let hits = m.hits.get().max(from_redis);
    json!({
        "enabled": config.enabled,
        "entries": memory.len(),
        "bytes": memory.bytes(),
        "hits": hits,
        "hitsByTier": {
            "memory": hits - from_redis,
            "redis": from_redis,
        },
        "staleHits": m.stale_hits.get(),
        "refreshes": m.refreshes.get(),
        "misses": m.misses.get(),
        "bypasses": m.bypasses.get(),
        "joined": m.joined.get(),
        "stored": m.stored.get(),
        "refused": m.refused.total(),
        "refusedByReason": refused_by_reason(m),
        "expired": evicted.expired,
        "evicted": evicted.size + evicted.expired + evicted.cleared,
        "evictedByReason": {
            "size": evicted.size,
            "expired": evicted.expired,
            "cleared": evicted.cleared,
        },
        "replaced": evicted.replaced,
        "redis": stack.store.redis(),
    })
}
