//! What a replay came to, as people and machines read it.

use std::time::Duration;

use serde::Serialize;

use super::draws::{ASSUMED_TOKENS, EACH_TOKEN, FIRST_TOKEN};
use super::repeated::Count;
use super::sums::{Part, Series};
use super::sweep::{Figures as Lane, Setting};
use super::{Options, Pass};
use crate::config::Config;
use crate::fingerprint::Fingerprint;
use crate::metering::tally::{Figure, Figures, usd};

use context::{Log, Settings};

pub use swept::Swept;
pub use text::show;

mod assumptions;
mod chart;
mod context;
pub mod html;
mod swept;
mod text;

/// So many of the requests that came again are listed.
const LISTED: usize = 10;

/// All of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    log: Log,
    settings: Settings,
    /// All requests, as the ledger would have had them.
    total: Sum,
    layers: Vec<Layer>,
    by_source: Vec<Named>,
    by_model: Vec<Named>,
    by_endpoint: Vec<Named>,
    over_time: OverTime,
    repeated: Vec<Repeat>,
    /// By how much each count of a repeated request may be too low.
    repeated_at_most_more: u64,
    /// Answers that were kept at the end, and the bytes that they took.
    kept: u64,
    kept_bytes: u64,
    /// What the figures rest on beside the log, in words.
    assumptions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Swept>,
}

/// Some requests.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sum {
    #[serde(flatten)]
    pub(super) figures: Figures,
    #[serde(skip)]
    pub(super) part: Part,
    /// Answered from the cache, and by another request's call.
    pub(super) hits: u64,
    pub(super) joined: u64,
    /// The share of requests that needed no call of their own, from 0 to 1.
    pub(super) hit_rate: f64,
    /// What would have been paid without the proxy, what is paid with it, and the difference.
    pub(super) without_nano_usd: u64,
    pub(super) with_nano_usd: u64,
    pub(super) proxy_saved_nano_usd: u64,
    /// The difference as a share of the first, from 0 to 1.
    pub(super) saved_share: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) sum: Sum,
}

/// What one layer saved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    #[serde(rename = "layer")]
    pub(super) name: &'static str,
    /// Requests that it answered; null for those that answer none.
    pub(super) requests: Option<u64>,
    pub(super) tokens: u64,
    pub(super) saved_nano_usd: u64,
    pub(super) saved_usd: f64,
    /// As a share of what would have been paid without the proxy, from 0 to 1.
    pub(super) share: f64,
}

/// The same, slice by slice.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OverTime {
    /// How long a slice is, in milliseconds.
    pub(super) slice_ms: i64,
    /// Whether the log says when its requests came; else times are counted from the first of them.
    pub(super) is_dated: bool,
    pub(super) slices: Vec<Slice>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    /// When it begins, in milliseconds.
    pub(super) from_ms: i64,
    #[serde(flatten)]
    pub(super) sum: Sum,
}

/// A request that came again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Repeat {
    /// The SHA-256 of its body as it stands in the log.
    pub(super) sha256: String,
    pub(super) times: u64,
    pub(super) first_line: u64,
    pub(super) bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
}

// === impl Report ===

impl Report {
    /// Of a pass with the settings in `config`, which are those that were `asked` for less what a replay does not do.
    pub(super) fn new(
        asked: &Config,
        config: &Config,
        options: &Options,
        pass: &Pass<'_>,
        swept: Option<(Vec<(Setting, Lane)>, u64)>,
    ) -> Self {
        let sums = pass.replay.sums();
        let is_dated = pass.order.timed > 0;
        let (kept, kept_bytes) = pass.replay.kept();
        let total = Sum::of(&sums.total);
        let mut by_model: Vec<_> = sums
            .by_model
            .iter()
            .map(|(name, part)| Named::of(name, part))
            .collect();
        by_model.sort_by_key(|named| std::cmp::Reverse(named.sum.without_nano_usd));
        let named = |(name, part): (&&'static str, &Part)| Named::of(name, part);
        Self {
            log: Log::of(&pass.facts, is_dated),
            settings: Settings::of(config),
            layers: layers(&sums.total),
            total,
            by_source: sums.by_source.iter().map(named).collect(),
            by_model,
            by_endpoint: sums.by_endpoint.iter().map(named).collect(),
            over_time: OverTime::of(&sums.over_time, is_dated),
            repeated: pass
                .repeated
                .most(LISTED)
                .into_iter()
                .map(Repeat::of)
                .collect(),
            repeated_at_most_more: pass.repeated.lowered,
            kept,
            kept_bytes,
            assumptions: assumptions::list(asked, options, pass, &sums),
            sweep: swept.map(|(lanes, baseline)| Swept::of(&lanes, baseline, config.cache.enabled)),
        }
    }

    /// How many requests were replayed.
    pub fn requests(&self) -> u64 {
        self.log.requests
    }

    /// The report for machines.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn layers(total: &Part) -> Vec<Layer> {
    let get = |figure| total.tally.get(figure);
    let layer = |name, requests, tokens, saved| Layer {
        name,
        requests,
        tokens: get(tokens),
        saved_nano_usd: get(saved),
        saved_usd: usd(get(saved)),
        share: share(get(saved), total.without()),
    };
    vec![
        layer(
            "cache",
            Some(total.hits),
            Figure::CacheTokensSaved,
            Figure::SavedByCache,
        ),
        layer(
            "dedup",
            Some(total.joined),
            Figure::DedupTokensSaved,
            Figure::SavedByDedup,
        ),
        layer(
            "compression",
            None,
            Figure::CompressionTokensSaved,
            Figure::SavedByCompression,
        ),
        layer(
            "provider_cache",
            None,
            Figure::CachedTokens,
            Figure::SavedByProviderCache,
        ),
    ]
}

/// A part of a whole, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "shares for people")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

// === impl Sum ===

impl Sum {
    fn of(part: &Part) -> Self {
        Self {
            figures: part.tally.figures(),
            part: *part,
            hits: part.hits,
            joined: part.joined,
            hit_rate: share(part.hits + part.joined, part.requests()),
            without_nano_usd: part.without(),
            with_nano_usd: part.cost(),
            proxy_saved_nano_usd: part.saved(),
            saved_share: share(part.saved(), part.without()),
        }
    }
}

impl Named {
    fn of(name: &str, part: &Part) -> Self {
        Self {
            name: name.to_owned(),
            sum: Sum::of(part),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === impl OverTime ===

impl OverTime {
    fn of(series: &Series, is_dated: bool) -> Self {
        let slice = |(at, part): (usize, &Part)| Slice {
            from_ms: series.from + i64::try_from(at).unwrap_or(0) * series.width,
            sum: Sum::of(part),
        };
        Self {
            slice_ms: series.width,
            is_dated,
            slices: series.slices.iter().enumerate().map(slice).collect(),
        }
    }
}

// === impl Repeat ===

impl Repeat {
    fn of((digest, count): (Fingerprint, Count)) -> Self {
        Self {
            sha256: digest.to_string(),
            times: count.times,
            first_line: count.line,
            bytes: count.bytes,
            prompt: count.prompt.map(|prompt| prompt.to_string()),
        }
    }
}
