//! One question of a batch: asked through the stack, and told to all who asked it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::super::form::Completion;
use super::super::outcome::Outcome;
use super::super::report::{Answer, Report};
use super::super::{completion, gather};
use super::question::{Asker, Question};
use crate::edge::Edge;
use crate::edge::access::{Context, Line};
use crate::edge::auth::Caller;
use crate::edge::dialect::Fault;
use crate::edge::exchange::Exchange;
use crate::edge::headers::STAGES;
use crate::error::ProxyError;
use crate::metering::Bill;
use crate::reply::{Provenance, Worth};
use crate::request::{CacheControl, Route};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the requests of a batch have in common.
pub(super) struct Batch {
    pub(super) edge: Edge,
    pub(super) context: Context,
    /// The headers, which are for all of them.
    pub(super) incoming: HeaderMap,
    pub(super) caller: Caller,
}

/// What became of one request.
pub(super) struct Told {
    /// Its place in the batch, from zero.
    pub(super) index: usize,
    /// What its client reads, as JSON.
    pub(super) text: Box<RawValue>,
    /// What it cost and saved; `None` where it failed.
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

/// An answer, and whose exchange brought it.
struct Brought {
    exchange: Exchange,
    outcome: Outcome,
    text: String,
    worth: Worth,
}

// === impl Batch ===

impl Batch {
    /// Asks a question for all who ask it: the first of them pays.
    pub(super) async fn answer(self: Arc<Self>, question: Question) -> Vec<Told> {
        let mut told = Vec::with_capacity(question.askers.len());
        let mut admitted = Vec::new();
        let mut payer = None;
        for asker in question.askers {
            let line = Line::of_part(&self.context, asker.index, &self.edge.shared.stack);
            match self.admit(line.context(), &asker) {
                Ok(caller) => {
                    payer.get_or_insert(caller);
                    admitted.push((asker, line));
                }
                Err(error) => told.push(fail(line, asker.index, &error)),
            }
        }
        let (Some((first, line)), Some(payer)) = (admitted.first(), payer) else {
            return told;
        };
        let index = first.index;
        let is_asked = question.asked.is_ok();
        let result = match question.asked {
            Ok(completion) => {
                let asking = self.ask(index, line.context(), payer, completion);
                let caught = AssertUnwindSafe(asking).catch_unwind().await;
                caught.unwrap_or(Err(ProxyError::DEFECT))
            }
            Err(error) => Err(error),
        };
        for (asker, line) in admitted {
            let is_first = asker.index == index;
            told.push(match &result {
                Ok(brought) if is_first => give(line, asker, brought, None),
                Ok(brought) => give(line, asker, brought, Some(index)),
                Err(error) => {
                    if is_asked && !is_first {
                        self.count_failure(error);
                    }
                    fail(line, asker.index, error)
                }
            });
        }
        told
    }

    /// Enters a request as if it had come alone, which counts as any other.
    fn admit(&self, context: &Context, asker: &Asker) -> Result<Caller, ProxyError> {
        let caller = self.caller.again();
        let caller = caller.with_account(context, Route::CreateBatch);
        context.note_user(asker.user.as_ref());
        // The first one was counted when the batch came.
        if asker.index > 0
            && let Some(quota) = &caller.quota
        {
            quota.count()?;
        }
        Ok(caller)
    }

    async fn ask(
        &self,
        index: usize,
        context: &Context,
        caller: Caller,
        asked: Completion,
    ) -> Result<Brought, ProxyError> {
        let edge = &self.edge;
        let chat = asked.into_chat()?;
        let mut incoming = self.incoming.clone();
        // Whoever repeats the batch repeats each of its requests, and none of them is another one.
        if let Some(key) = incoming.get_mut(IDEMPOTENCY_KEY)
            && let Ok(own) = [key.as_bytes(), format!("-{index}").as_bytes()]
                .concat()
                .try_into()
        {
            *key = own;
        }
        let request = completion(edge, Route::CreateBatch, &incoming, caller, chat)?;
        let (exchange, reply) = Exchange::begin(edge, context, request).await?;
        let (_, body, worth) = gather(reply, exchange.request.deadline).await?;
        let (outcome, text) = Outcome::of_whole(&body)?;
        Ok(Brought {
            exchange,
            outcome,
            text,
            worth,
        })
    }

    /// Counts a request that shares the failure of another.
    fn count_failure(&self, error: &ProxyError) {
        let metrics = &self.edge.shared.stack.metrics;
        metrics.requests.add(1);
        let looks_up = !CacheControl::from_headers(&self.incoming).is_bypass();
        metrics.failed(looks_up, error.is_upstream_failure());
    }
}

// === impl Told ===

impl Told {
    /// A request of the batch with this context has failed.
    pub(super) fn failed(batch: &Context, index: usize, error: &ProxyError) -> Self {
        Self::with(index, &format!("{}-{index}", batch.id()), error)
    }

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
            given: None,
        }
    }
}

/// Tells a request that it has failed.
fn fail(line: Line, index: usize, error: &ProxyError) -> Told {
    line.context().note_error(error);
    let told = Told::with(index, line.context().id(), error);
    line.answered(error.status());
    told
}

/// Gives a request its answer, which the request at the index `of` has brought, if not it itself.
fn give(line: Line, asker: Asker, brought: &Brought, of: Option<usize>) -> Told {
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
    let report = Report::new(exchange, asker.ignored);
    let (mut answer, bill) = report.settled(outcome, text, worth);
    if let Some(of) = of {
        answer.say(format!(
            "Answered by request {of} of this batch, which asks the same, {} tokens saved",
            bill.tokens_saved
        ));
    }
    let answered = Answered {
        index: asker.index,
        status: StatusCode::OK.as_u16(),
        request_id: line.context().id(),
        answer,
    };
    let told = Told {
        index: asker.index,
        text: to_text(&answered),
        given: Some(Given {
            bill,
            saved_chars: (saved.chars, saved.chars_before),
            provenance,
            took,
        }),
    };
    line.answered(StatusCode::OK);
    told
}

fn to_text(value: &impl Serialize) -> Box<RawValue> {
    // Nothing in these structs can fail to be written: string keys, finite numbers.
    to_raw_value(value).unwrap_or_default()
}
