//! What a request of a batch is told: its answer, or what is wrong.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::super::report::{Answer, Report};
use super::one::Brought;
use super::question::Asker;
use crate::edge::access::Line;
use crate::edge::dialect::Fault;
use crate::edge::headers::STAGES;
use crate::error::ProxyError;
use crate::metering::Bill;
use crate::reply::Provenance;

/// What became of one request.
pub(super) struct Told {
    /// Its place in the batch, from zero.
    pub(super) index: usize,
    /// What its client reads, as JSON.
    pub(super) text: Box<RawValue>,
    /// Whether it was answered.
    pub(super) is_answered: bool,
    /// What it cost and saved; `None` where nothing was brought for it.
    pub(super) given: Option<Given>,
}

/// What one answer cost, saved and took.
pub(super) struct Given {
    pub(super) bill: Bill,
    /// Characters that compression took out, and how many there were.
    pub(super) saved_chars: (u64, u64),
    pub(super) provenance: Provenance,
    /// By [`STAGES`].
    pub(super) took: [Duration; 3],
}

/// A request that was answered.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchedAnswer)]
pub(super) struct Answered<'a> {
    /// Its place among the requests, from zero.
    index: usize,
    #[schema(example = 200)]
    status: u16,
    /// Its own, as in the log and the ledger.
    request_id: &'a str,
    #[serde(flatten)]
    answer: Answer<'a>,
}

/// A request that was not.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchedError)]
pub(super) struct Failed<'a> {
    /// Its place among the requests, from zero.
    index: usize,
    #[schema(example = 429)]
    status: u16,
    #[serde(flatten)]
    fault: Fault<'a>,
    /// When to come back: seconds, or the upstream's own date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<String>,
}

// === impl Told ===

impl Told {
    fn with(index: usize, id: &str, error: &ProxyError) -> Self {
        let failed = Failed {
            index,
            status: error.status().as_u16(),
            fault: Fault::of(error, id),
            retry_after: error.retry_after(),
        };
        Self {
            index,
            text: to_text(&failed),
            is_answered: false,
            given: None,
        }
    }
}

/// Tells a request that it has failed.
pub(super) fn fail(line: Line, index: usize, error: &ProxyError) -> Told {
    line.context().note_error(error);
    let told = Told::with(index, line.context().id(), error);
    line.answered(error.status());
    told
}

/// Gives a request its answer, which the request at the index `of` has brought, if not it itself. An answer of more than
/// `room` bytes is not given, although it is paid for.
pub(super) fn give(
    line: Line,
    asker: Asker,
    brought: &Brought,
    of: Option<usize>,
    room: usize,
) -> Told {
    let Brought {
        exchange,
        outcome,
        text,
        worth,
    } = brought;
    let exchange = match of {
        None => exchange.clone(),
        Some(_) => exchange.shared_with(line.context()),
    };
    let took = match of {
        None => STAGES.map(|stage| exchange.request.timings().of(stage)),
        Some(_) => [Duration::ZERO; 3],
    };
    let (provenance, saved) = (exchange.provenance, exchange.request.saved());
    let most = exchange.max_response_bytes();
    let report = Report::new(exchange, asker.ignored);
    let (mut answer, bill) = report.settled(outcome, text, worth);
    if let Some(of) = of {
        answer.say(format!(
            "Answered by request {of} of this batch, which asks the same, {} tokens saved",
            bill.tokens_saved
        ));
    }
    let given = Some(Given {
        bill,
        saved_chars: (saved.chars, saved.chars_before),
        provenance,
        took,
    });
    let index = asker.index;
    let answered = Answered {
        index,
        status: StatusCode::OK.as_u16(),
        request_id: line.context().id(),
        answer,
    };
    // It is not written at all where its words alone are too many.
    let written = (text.len() <= room).then(|| to_text(&answered));
    let Some(text) = written.filter(|written| written.get().len() <= room) else {
        let told = fail(line, index, &too_long(most));
        return Told { given, ..told };
    };
    line.answered(StatusCode::OK);
    Told {
        index,
        text,
        is_answered: true,
        given,
    }
}

/// What is said in place of an answer for which there is no room.
fn too_long(most: usize) -> ProxyError {
    let message = format!(
        "the answers of this batch are together larger than upstream.max_response_bytes = {most}; send fewer requests \
         at once, or set \"stream\": true"
    );
    let status = StatusCode::BAD_GATEWAY;
    ProxyError::reject(status, "upstream_answer_too_large", message)
}

fn to_text(value: &impl Serialize) -> Box<RawValue> {
    // Nothing in these structs can fail to be written: string keys, finite numbers.
    to_raw_value(value).unwrap_or_default()
}
