//! Sums over requests: what reports are made of.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::account::{Row, Source};
use crate::chat::Certainty;

/// Sums over any number of requests. Tokens are counts, money is nano-dollars, times are microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally(pub(super) [u64; Self::FIGURES.len() + 1]);

/// One of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// Requests.
    Requests,
    /// Those that failed: by their status, or after it.
    Errors,
    /// Those whose client left before the end.
    Aborted,
    /// Tokens of prompts of answers that were paid for here.
    PromptTokens,
    /// Tokens of these answers.
    CompletionTokens,
    /// Of the prompts' tokens, those that the provider's cache served.
    CachedTokens,
    /// Of the prompts' tokens, those that went into that cache.
    CacheWriteTokens,
    /// Of the answers' tokens, those of reasoning.
    ReasoningTokens,
    /// Tokens of answers out of the cache.
    CacheTokensSaved,
    /// Tokens of answers that another request's call brought.
    DedupTokensSaved,
    /// Prompt tokens that compression took out.
    CompressionTokensSaved,
    /// What was paid.
    Cost,
    /// What answers out of the cache had cost.
    SavedByCache,
    /// What calls cost whose answers others got, too.
    SavedByDedup,
    /// What the tokens that compression took out would have cost.
    SavedByCompression,
    /// By how much the provider's cache made prompts cheaper.
    SavedByProviderCache,
    /// See [`super::account::Savings::max_tokens`].
    SavedByMaxTokens,
    /// Answers whose tokens the provider counted.
    Reported,
    /// Answers whose tokens were counted here.
    Exact,
    /// Answers whose tokens were estimated.
    Estimated,
    /// Answers of models that have no price.
    Unpriced,
    /// Attempts upstream.
    Attempts,
    /// How long all of them took together.
    Time,
    /// How long the longest took; the one that is no sum.
    Longest,
    /// What answers cost that nobody had asked for yet, and would have cost without the provider's cache. Ledgers keep no
    /// sum of it: it is told by the source.
    Ahead,
}

/// What some requests were, cost and saved.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    requests: u64,
    errors: u64,
    aborted: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    tokens_saved: TokensSaved,
    cost_nano_usd: u64,
    cost_usd: f64,
    would_have_cost_nano_usd: u64,
    would_have_cost_usd: f64,
    saved_nano_usd: u64,
    saved_usd: f64,
    saved: Saved,
    reported_requests: u64,
    exact_requests: u64,
    estimated_requests: u64,
    unpriced_requests: u64,
    attempts: u64,
    latency_ms: Latency,
}

/// Tokens that were saved, by what saved them.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct TokensSaved {
    cache: u64,
    dedup: u64,
    compression: u64,
}

/// Nano-dollars that were saved, by what saved them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "their unit is a part of them")]
struct Saved {
    cache_nano_usd: u64,
    dedup_nano_usd: u64,
    compression_nano_usd: u64,
    provider_cache_nano_usd: u64,
    max_tokens_nano_usd: u64,
}

/// How long requests took, in milliseconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Latency {
    mean: f64,
    max: f64,
}

impl Tally {
    /// Those that ledgers keep, with their names there.
    pub const FIGURES: [(Figure, &'static str); 24] = [
        (Figure::Requests, "requests"),
        (Figure::Errors, "errors"),
        (Figure::Aborted, "aborted"),
        (Figure::PromptTokens, "prompt_tokens"),
        (Figure::CompletionTokens, "completion_tokens"),
        (Figure::CachedTokens, "cached_tokens"),
        (Figure::CacheWriteTokens, "cache_write_tokens"),
        (Figure::ReasoningTokens, "reasoning_tokens"),
        (Figure::CacheTokensSaved, "cache_tokens_saved"),
        (Figure::DedupTokensSaved, "dedup_tokens_saved"),
        (Figure::CompressionTokensSaved, "compression_tokens_saved"),
        (Figure::Cost, "cost_nano_usd"),
        (Figure::SavedByCache, "cache_saved_nano_usd"),
        (Figure::SavedByDedup, "dedup_saved_nano_usd"),
        (Figure::SavedByCompression, "compression_saved_nano_usd"),
        (
            Figure::SavedByProviderCache,
            "provider_cache_saved_nano_usd",
        ),
        (Figure::SavedByMaxTokens, "max_tokens_saved_nano_usd"),
        (Figure::Reported, "reported"),
        (Figure::Exact, "exact"),
        (Figure::Estimated, "estimated"),
        (Figure::Unpriced, "unpriced"),
        (Figure::Attempts, "attempts"),
        (Figure::Time, "time_us"),
        (Figure::Longest, "longest_us"),
    ];

    /// One request, or all that a row stands for.
    pub fn of(row: &Row) -> Self {
        if let Some(sums) = &row.sums {
            return sums.tally;
        }
        let mut tally = Self::default();
        let saved = &row.saved;
        let is_dedup = row.source == Source::Dedup;
        let bought = row.bought.unwrap_or_default();
        let given = row.given.map_or(0, |usage| usage.total_tokens);
        let counted = |certainty| {
            u64::from(
                row.usage()
                    .is_some_and(|usage| usage.certainty == certainty),
            )
        };
        for (figure, amount) in [
            (Figure::Requests, 1),
            (Figure::Errors, u64::from(row.is_failure())),
            (Figure::Aborted, u64::from(row.is_aborted)),
            (Figure::PromptTokens, bought.prompt_tokens),
            (Figure::CompletionTokens, bought.completion_tokens),
            (Figure::CachedTokens, bought.cached_tokens),
            (Figure::CacheWriteTokens, bought.cache_write_tokens),
            (Figure::ReasoningTokens, bought.reasoning_tokens),
            (Figure::CacheTokensSaved, if is_dedup { 0 } else { given }),
            (Figure::DedupTokensSaved, if is_dedup { given } else { 0 }),
            (Figure::CompressionTokensSaved, row.compressed_tokens),
            (Figure::Cost, row.cost),
            (Figure::SavedByCache, saved.cache),
            (Figure::SavedByDedup, saved.dedup),
            (Figure::SavedByCompression, saved.compression),
            (Figure::SavedByProviderCache, saved.provider_cache),
            (Figure::SavedByMaxTokens, saved.max_tokens),
            (Figure::Reported, counted(Certainty::Reported)),
            (Figure::Exact, counted(Certainty::Exact)),
            (Figure::Estimated, counted(Certainty::Estimated)),
            (
                Figure::Unpriced,
                u64::from(row.usage().is_some() && !row.is_priced),
            ),
            (Figure::Attempts, row.attempts.into()),
            (Figure::Time, row.took.total),
            (Figure::Longest, row.took.total),
            (
                Figure::Ahead,
                if row.source == Source::Prefetch {
                    row.cost.saturating_add(saved.provider_cache)
                } else {
                    0
                },
            ),
        ] {
            tally.0[figure as usize] = amount;
        }
        tally
    }

    /// One of the sums.
    pub fn get(&self, figure: Figure) -> u64 {
        self.0[figure as usize]
    }

    /// Adds other requests.
    pub fn add(&mut self, other: &Self) {
        for (at, (sum, more)) in self.0.iter_mut().zip(other.0).enumerate() {
            *sum = if at == Figure::Longest as usize {
                more.max(*sum)
            } else {
                sum.saturating_add(more)
            };
        }
    }

    /// What came after an earlier sum; of the longest nobody knows.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (sum, before) in self.0.iter_mut().zip(earlier.0) {
            *sum = sum.saturating_sub(before);
        }
        self.0[Figure::Longest as usize] = 0;
        self
    }

    /// What was saved, by what saved it.
    pub fn savings(&self) -> [(&'static str, u64); 5] {
        [
            ("cache", self.get(Figure::SavedByCache)),
            ("dedup", self.get(Figure::SavedByDedup)),
            ("compression", self.get(Figure::SavedByCompression)),
            ("provider_cache", self.get(Figure::SavedByProviderCache)),
            ("max_tokens", self.get(Figure::SavedByMaxTokens)),
        ]
    }

    /// Those that ledgers keep.
    pub(super) fn kept(&self) -> impl Iterator<Item = u64> {
        self.0.into_iter().take(Self::FIGURES.len())
    }

    /// All savings together, less what was paid before anybody asked: the first answer that this gave was saved with it.
    pub fn saved(&self) -> u64 {
        self.by_layers().saturating_sub(self.get(Figure::Ahead))
    }

    /// What all of it would have cost without the proxy and the provider's cache. Nobody would have fetched ahead.
    pub fn would_have_cost(&self) -> u64 {
        let all = self.get(Figure::Cost).saturating_add(self.by_layers());
        all.saturating_sub(self.get(Figure::Ahead))
    }

    fn by_layers(&self) -> u64 {
        self.savings()
            .iter()
            .fold(0, |sum, (_, saved)| sum.saturating_add(*saved))
    }

    /// The figures as reports show them.
    pub fn figures(&self) -> Figures {
        let get = |figure| self.get(figure);
        let (cost, would, saved) = (get(Figure::Cost), self.would_have_cost(), self.saved());
        let ms = |micros: f64| micros.round() / 1e3;
        #[expect(clippy::cast_precision_loss, reason = "times for people")]
        let mean = get(Figure::Time) as f64 / get(Figure::Requests).max(1) as f64;
        #[expect(clippy::cast_precision_loss, reason = "times for people")]
        let longest = get(Figure::Longest) as f64;
        Figures {
            requests: get(Figure::Requests),
            errors: get(Figure::Errors),
            aborted: get(Figure::Aborted),
            prompt_tokens: get(Figure::PromptTokens),
            completion_tokens: get(Figure::CompletionTokens),
            cached_tokens: get(Figure::CachedTokens),
            cache_write_tokens: get(Figure::CacheWriteTokens),
            reasoning_tokens: get(Figure::ReasoningTokens),
            tokens_saved: TokensSaved {
                cache: get(Figure::CacheTokensSaved),
                dedup: get(Figure::DedupTokensSaved),
                compression: get(Figure::CompressionTokensSaved),
            },
            cost_nano_usd: cost,
            cost_usd: usd(cost),
            would_have_cost_nano_usd: would,
            would_have_cost_usd: usd(would),
            saved_nano_usd: saved,
            saved_usd: usd(saved),
            saved: Saved {
                cache_nano_usd: get(Figure::SavedByCache),
                dedup_nano_usd: get(Figure::SavedByDedup),
                compression_nano_usd: get(Figure::SavedByCompression),
                provider_cache_nano_usd: get(Figure::SavedByProviderCache),
                max_tokens_nano_usd: get(Figure::SavedByMaxTokens),
            },
            reported_requests: get(Figure::Reported),
            exact_requests: get(Figure::Exact),
            estimated_requests: get(Figure::Estimated),
            unpriced_requests: get(Figure::Unpriced),
            attempts: get(Figure::Attempts),
            latency_ms: Latency {
                mean: ms(mean),
                max: ms(longest),
            },
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        json!(self.figures())
    }
}

/// Nano-dollars as dollars, for people.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to nine million dollars"
)]
pub fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Usage;
    use crate::metering::account::{Savings, Took};

    fn row(source: Source) -> Row {
        Row {
            source,
            bought: Some(Usage {
                prompt_tokens: 10,
                completion_tokens: 5,
                total_tokens: 15,
                ..Usage::default()
            }),
            cost: 7,
            saved: Savings {
                cache: 1,
                dedup: 2,
                compression: 3,
                provider_cache: 4,
                max_tokens: 0,
            },
            took: Took {
                total: 1_500,
                ..Took::default()
            },
            ..Row::default()
        }
    }

    #[test]
    fn each_figure_stands_where_its_name_does() {
        for (at, (figure, _)) in Tally::FIGURES.into_iter().enumerate() {
            assert_eq!(figure as usize, at);
        }
    }

    #[test]
    fn tokens_are_bought_or_saved_and_never_both() {
        for (source, bought, cache, dedup) in [
            (Source::Upstream, 10, 0, 0),
            (Source::Bypass, 10, 0, 0),
            (Source::None, 10, 0, 0),
            (Source::Cache, 0, 15, 0),
            (Source::Stale, 0, 15, 0),
            (Source::Dedup, 0, 0, 15),
        ] {
            let mut row = row(source);
            if cache + dedup > 0 {
                row.given = row.bought.take();
            }
            let tally = Tally::of(&row);
            let figures = [
                Figure::PromptTokens,
                Figure::CacheTokensSaved,
                Figure::DedupTokensSaved,
            ];
            assert_eq!(
                figures.map(|figure| tally.get(figure)),
                [bought, cache, dedup],
                "{source:?}"
            );
        }
    }

    #[test]
    fn what_was_paid_before_anybody_asked_is_no_saving_and_would_not_have_been_paid() {
        let mut sum = Tally::of(&row(Source::Upstream));
        let (would, saved) = (sum.would_have_cost(), sum.saved());
        let mut ahead = row(Source::Prefetch);
        // The provider's cache made it cheaper.
        ahead.saved = Savings {
            provider_cache: 2,
            ..Savings::default()
        };
        sum.add(&Tally::of(&ahead));
        assert_eq!((sum.get(Figure::Cost), sum.get(Figure::Ahead)), (14, 9));
        assert_eq!((sum.would_have_cost(), sum.saved()), (would, saved - 7));
        // What was fetched for nobody is a loss: more was paid than it would have cost.
        let alone = Tally::of(&ahead);
        assert_eq!((alone.would_have_cost(), alone.saved()), (0, 0));
    }

    #[test]
    fn sums_are_sums_and_the_longest_is_the_longest() {
        let mut sum = Tally::of(&row(Source::Upstream));
        let mut slow = row(Source::Cache);
        slow.took.total = 2_500;
        sum.add(&Tally::of(&slow));
        assert_eq!((sum.get(Figure::Cost), sum.saved()), (14, 20));
        assert_eq!(sum.would_have_cost(), 34);
        let json = sum.to_json();
        assert_eq!(json["latencyMs"]["mean"], 2.0);
        assert_eq!(json["latencyMs"]["max"], 2.5);
        assert_eq!(json["reportedRequests"], 2);
        let since = sum.since(&Tally::of(&row(Source::Upstream)));
        assert_eq!((since.get(Figure::Cost), since.saved()), (7, 10));
        assert_eq!(since.get(Figure::Longest), 0);
    }
}
