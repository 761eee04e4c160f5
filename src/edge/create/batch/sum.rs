//! What a batch came to: all answers, or what they cost and saved together.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::report::{seconds, to_json};
use super::told::{Answered, Failed, Given, Told};
use crate::edge::figures::percent;
use crate::metering::Bill;
use crate::metering::tally::usd;
use crate::reply::Provenance;

/// The sums over the requests that are done.
#[derive(Default)]
pub(super) struct Sum {
    succeeded: u64,
    failed: u64,
    cache_hits: u64,
    shared: u64,
    bill: Bill,
    saved_chars: (u64, u64),
    took: [Duration; 3],
}

/// What became of a batch; its fields in the order in which people read them.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchAnswer<'a> {
    /// Whether all requests were answered.
    success: bool,
    /// What happened, in one line.
    #[schema(example = "255 of 256 requests answered, 812 tokens saved")]
    message: String,
    succeeded: u64,
    failed: u64,
    /// In the order of the requests; not at the end of a stream, which has sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Response>>)]
    responses: Option<&'a [Box<RawValue>]>,
    #[serde(rename = "optimizationStats")]
    stats: Stats,
    /// Fields beside the requests that mean nothing here.
    ignored: &'a [String],
}

/// What became of one request.
#[derive(ToSchema)]
#[schema(as = BatchedResponse)]
#[expect(
    dead_code,
    reason = "it is the description of what is written one by one"
)]
#[serde(untagged)]
enum Response {
    Answered(Answered<'static>),
    Failed(Failed<'static>),
}

/// What the requests cost, and what was saved, together.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchStats)]
#[serde(rename_all = "camelCase")]
struct Stats {
    tokens_used: u64,
    tokens_saved: u64,
    #[schema(example = "14.2%")]
    compression_savings: String,
    /// Answered from the cache.
    cache_hits: u64,
    /// Answered by another request, of the same batch or another one.
    coalesced: u64,
    cost_usd: f64,
    cost_saved_usd: f64,
    /// From the first to the last of them.
    #[schema(example = "3.2s")]
    processing_time: String,
}

impl Sum {
    /// Adds what became of one more request.
    pub(super) fn add(&mut self, told: &Told) {
        if told.is_answered {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
        // What was paid for counts, whether there was room for it or not.
        let Some(Given {
            bill,
            saved_chars: (saved, before),
            provenance,
            took,
        }) = &told.given
        else {
            return;
        };
        match provenance {
            _ if !told.is_answered => {}
            Provenance::Hit { .. } | Provenance::Stale { .. } => self.cache_hits += 1,
            Provenance::Coalesced { .. } => self.shared += 1,
            Provenance::Miss { .. } | Provenance::Bypass { .. } => {}
        }
        let sum = &mut self.bill;
        for (sum, more) in [
            (&mut sum.tokens_used, bill.tokens_used),
            (&mut sum.tokens_saved, bill.tokens_saved),
            (&mut sum.cost_nano_usd, bill.cost_nano_usd),
            (&mut sum.saved_nano_usd, bill.saved_nano_usd),
            (&mut self.saved_chars.0, *saved),
            (&mut self.saved_chars.1, *before),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.took.iter_mut().zip(took) {
            *sum = sum.saturating_add(*more);
        }
    }

    pub(super) fn tokens_saved(&self) -> u64 {
        self.bill.tokens_saved
    }

    /// How long the stages took, all requests together.
    pub(super) fn took(&self) -> &[Duration; 3] {
        &self.took
    }

    /// The same for the client; with the answers, if it does not have them already.
    pub(super) fn to_json(
        &self,
        responses: Option<&[Box<RawValue>]>,
        ignored: &[String],
        begun: Instant,
    ) -> String {
        let Self {
            succeeded,
            failed,
            bill,
            saved_chars: (saved, before),
            ..
        } = self;
        let all = succeeded + failed;
        let answer = BatchAnswer {
            success: *failed == 0,
            message: format!(
                "{succeeded} of {all} requests answered, {} tokens saved",
                bill.tokens_saved
            ),
            succeeded: *succeeded,
            failed: *failed,
            responses,
            stats: Stats {
                tokens_used: bill.tokens_used,
                tokens_saved: bill.tokens_saved,
                compression_savings: percent(*saved, *before),
                cache_hits: self.cache_hits,
                coalesced: self.shared,
                cost_usd: usd(bill.cost_nano_usd),
                cost_saved_usd: usd(bill.saved_nano_usd),
                processing_time: seconds(begun),
            },
            ignored,
        };
        to_json(&answer)
    }
}
