//! One question of a batch: asked through the stack, and told to all who asked it, one after another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::vec;

use futures_util::FutureExt as _;
use http::HeaderMap;

use super::super::form::Completion;
use super::super::outcome::Outcome;
use super::super::{completion, gather};
use super::question::{Asker, Question};
use super::told::{Told, fail, give};
use crate::edge::Edge;
use crate::edge::access::{Context, Line};
use crate::edge::auth::Caller;
use crate::edge::exchange::Exchange;
use crate::edge::headers::IDEMPOTENCY_KEY;
use crate::error::ProxyError;
use crate::reply::Worth;
use crate::request::{CacheControl, Route};

/// What the requests of a batch have in common.
pub(super) struct Batch {
    pub(super) edge: Edge,
    pub(super) context: Context,
    /// The headers, which are for all of them.
    pub(super) incoming: HeaderMap,
    pub(super) caller: Caller,
}

/// An answer, and whose exchange brought it.
pub(super) struct Brought {
    pub(super) exchange: Exchange,
    pub(super) outcome: Outcome,
    pub(super) text: String,
    pub(super) worth: Worth,
}

/// What became of a question, for all who ask it. Each is told when it is its turn: the answer is here once, however many
/// get it.
pub(super) struct Answers {
    batch: Arc<Batch>,
    /// Those who were not let in.
    refused: vec::IntoIter<Told>,
    admitted: vec::IntoIter<(Asker, Line)>,
    /// `None` where nobody was let in.
    result: Option<Result<Brought, ProxyError>>,
    /// The first who was.
    first: usize,
    /// Whether the question could be asked at all.
    is_asked: bool,
}

// === impl Batch ===

impl Batch {
    /// Asks a question for all who ask it: the first of them pays.
    pub(super) async fn answer(self: Arc<Self>, question: Question) -> Answers {
        let mut refused = Vec::new();
        let mut admitted = Vec::with_capacity(question.askers.len());
        let mut payer = None;
        for asker in question.askers {
            let line = Line::of_part(&self.context, asker.index, &self.edge.shared.stack);
            match self.admit(line.context(), &asker) {
                Ok(caller) => {
                    payer.get_or_insert(caller);
                    admitted.push((asker, line));
                }
                Err(error) => refused.push(fail(line, asker.index, &error)),
            }
        }
        let first = admitted.first().map_or(0, |(first, _)| first.index);
        let is_asked = question.asked.is_ok();
        let result = match (question.asked, admitted.first(), payer) {
            (Ok(completion), Some((_, line)), Some(payer)) => {
                let asking = self.ask(first, line.context(), payer, completion);
                let caught = AssertUnwindSafe(asking).catch_unwind().await;
                Some(caught.unwrap_or(Err(ProxyError::DEFECT)))
            }
            (Err(error), Some(_), _) => Some(Err(error)),
            _ => None,
        };
        Answers {
            batch: self,
            refused: refused.into_iter(),
            admitted: admitted.into_iter(),
            result,
            first,
            is_asked,
        }
    }

    /// Sends all away who ask a question that is not asked any more, because the process is about to end.
    pub(super) fn turn_away(self: &Arc<Self>, question: Question) -> Answers {
        let error = question.asked.err().unwrap_or_else(|| {
            let message = "the proxy is shutting down and begins no more requests of this batch; send it again";
            ProxyError::reject_for_now("shutting_down", message, 1)
        });
        let refused = question.askers.into_iter().map(|asker| {
            let line = Line::of_part(&self.context, asker.index, &self.edge.shared.stack);
            // It is in the books, and counts against no limit: nothing was done for it.
            let _ = self
                .caller
                .again()
                .with_account(line.context(), Route::CreateBatch);
            line.context().note_user(asker.user.as_ref());
            fail(line, asker.index, &error)
        });
        Answers {
            batch: Arc::clone(self),
            refused: refused.collect::<Vec<_>>().into_iter(),
            admitted: Vec::new().into_iter(),
            result: None,
            first: 0,
            is_asked: false,
        }
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

// === impl Answers ===

impl Answers {
    /// Tells the next of those who asked, in no more than so many bytes where it is an answer; `None` after the last.
    pub(super) fn next(&mut self, room: usize) -> Option<Told> {
        if let Some(told) = self.refused.next() {
            return Some(told);
        }
        let result = self.result.as_ref()?;
        let (asker, line) = self.admitted.next()?;
        let of = (asker.index != self.first).then_some(self.first);
        Some(match result {
            Ok(brought) => give(line, asker, brought, of, room),
            Err(error) => {
                if self.is_asked && of.is_some() {
                    self.batch.count_failure(error);
                }
                fail(line, asker.index, error)
            }
        })
    }
}
