//! Calls that go together: what they ask as one, and what becomes of each.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{StatusCode, header};
use opentelemetry::trace::SpanContext;
use tokio::sync::oneshot;
use tower::{Service, ServiceExt as _};

use super::super::ReplyResult;
use super::super::dedup::OF_THE_TRACE;
use super::super::embed::is_about_inputs;
use super::Parcel;
use super::load::{Load, Part, split, split_usage};
use crate::chat::{Usage, usage_of};
use crate::embeddings::{Answer, put_together};
use crate::error::ProxyError;
use crate::metering::Metrics;
use crate::metering::account::{Account, Row};
use crate::reply::{Provenance, Reply, Whole};
use crate::request::{LONG, ProxyRequest, aside};

/// One who waits.
pub(super) struct Member {
    pub(super) request: ProxyRequest,
    /// Closed when its client has left.
    pub(super) reply: oneshot::Sender<Parcel>,
}

/// Those who go together.
pub(super) struct Crew {
    members: Vec<Member>,
    load: Load,
    metrics: Arc<Metrics>,
}

// === impl Crew ===

impl Crew {
    /// Those who are still there.
    pub(super) fn new(mut members: Vec<Member>, metrics: Arc<Metrics>) -> Self {
        members.retain(|member| !member.reply.is_closed());
        let load = Load::of(
            members
                .iter()
                .filter_map(|member| member.request.embeddings()),
        );
        Self {
            members,
            load,
            metrics,
        }
    }

    /// Asks for all of them, until the last one has left.
    pub(super) async fn ask<S>(mut self, inner: S)
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone,
    {
        let account = Arc::default();
        let Some(request) = self.merge(&account) else {
            // Nobody, or one alone: its call goes as it came.
            for member in self.members {
                member.ask(inner.clone()).await;
            }
            return;
        };
        let result = {
            let everybody = self.members.iter_mut().map(|member| member.reply.closed());
            let all_left = join_all(everybody);
            tokio::select! {
                biased;
                result = inner.clone().oneshot(request) => result,
                _ = all_left => return self.share_out(&account, None),
            }
        };
        if let Ok(Reply::Whole(whole)) = &result
            && let Some(bodies) = self.take_apart(whole)
        {
            return self.deal(&account, whole, bodies);
        }
        self.share_out(&account, None);
        match result {
            Ok(Reply::Whole(whole)) if is_everybodys(whole.head.status) => {
                self.tell(|| Ok(Reply::Whole(whole.clone())));
            }
            // One by one they may be short enough.
            Ok(_) | Err(ProxyError::AnswerTooLarge(_)) => {
                let each = self.members.into_iter();
                join_all(each.map(|member| member.ask(inner.clone()))).await;
            }
            Err(error) => self.tell(|| Err(error.clone())),
        }
    }

    /// The one call, which this account pays for the time being.
    fn merge(&self, account: &Arc<Account>) -> Option<ProxyRequest> {
        let [first, _, ..] = &self.members[..] else {
            return None;
        };
        let ask = first.request.embeddings()?;
        let is_its_own = self.load.inputs.len() == ask.inputs().len();
        let ask = if is_its_own {
            ask.clone()
        } else {
            ask.asking(self.load.inputs.clone())
        };
        Some(first.request.with_embeddings(ask, Arc::clone(account)))
    }

    /// What each member gets of an answer; `None` where that cannot be told.
    fn take_apart(&self, whole: &Whole) -> Option<Vec<Bytes>> {
        let ask = self.members.first()?.request.embeddings()?;
        if whole.head.status != StatusCode::OK {
            return None;
        }
        let Load { inputs, parts } = &self.load;
        aside(whole.body.len() >= LONG, || {
            let answer = Answer::read(&whole.body, inputs.len())?;
            let weights: Vec<_> = inputs.iter().map(|input| ask.tokens(input)).collect();
            let pieces = answer.pieces(&weights);
            let bodies = parts.iter().map(|part| {
                let own = part.numbers.iter().filter_map(|number| pieces.get(*number));
                put_together(&answer, &own.collect::<Vec<_>>())
            });
            Some(bodies.collect())
        })
    }

    /// Gives each member its answer, and its share of what that cost.
    fn deal(self, account: &Account, whole: &Whole, bodies: Vec<Bytes>) {
        let told: Vec<_> = bodies.iter().map(|body| usage_of(body)).collect();
        let tokens =
            |told: &Option<(Usage, _)>| told.as_ref().map_or(0, |(usage, _)| usage.total_tokens);
        let weights: Vec<_> = told.iter().map(tokens).collect();
        self.share_out(account, Some(&weights));
        let (calls, leader) = (self.members.len(), self.leader());
        for (at, ((member, part), (body, told))) in self
            .members
            .into_iter()
            .zip(self.load.parts)
            .zip(bodies.into_iter().zip(told))
            .enumerate()
        {
            let mut head = whole.head.clone();
            // What can be taken apart is not encoded, whatever it says.
            head.headers.remove(header::CONTENT_ENCODING);
            if at > 0 {
                for name in OF_THE_TRACE {
                    head.headers.remove(name);
                }
            }
            if !part.pays {
                head.provenance = Provenance::Coalesced { across: false };
                let (usage, served) = told.unwrap_or_default();
                self.metrics
                    .spared(&member.request, usage, served.as_ref(), true);
            }
            let reply = Reply::Whole(Whole {
                head,
                body,
                answer: None,
            });
            member.give(Ok(reply), calls, leader.clone());
        }
    }

    /// Gives all the same.
    fn tell(self, result: impl Fn() -> ReplyResult) {
        let (calls, leader) = (self.members.len(), self.leader());
        for member in self.members {
            member.give(result(), calls, leader.clone());
        }
    }

    fn leader(&self) -> Option<SpanContext> {
        let trace = self.members.first()?.request.trace.as_ref()?;
        Some(trace.context().clone())
    }

    /// Shares out what the one call cost among those who pay, by the tokens of each, or by their inputs where these are
    /// not known: to the last token and nano-dollar.
    fn share_out(&self, account: &Account, tokens: Option<&[u64]>) {
        let mut sum = Row::default();
        account.note(|row| sum = std::mem::take(row));
        if let Some(first) = self.members.first() {
            let own = &first.request.parts().account;
            own.note(|row| row.attempts = row.attempts.saturating_add(sum.attempts));
        }
        let Some(bought) = sum.bought else { return };
        let members = self.members.iter().zip(&self.load.parts).enumerate();
        let payers: Vec<_> = members.filter(|(_, (_, part))| part.pays).collect();
        let weigh = |(at, (_, part)): &(usize, (_, &Part))| match tokens {
            Some(tokens) => tokens.get(*at).copied().unwrap_or(0),
            None => part.numbers.len() as u64,
        };
        let weights: Vec<_> = payers.iter().map(weigh).collect();
        let costs = split(sum.cost, &weights);
        let discounts = split(sum.saved.provider_cache, &weights);
        let usages = split_usage(bought, &weights);
        let shares = usages.into_iter().zip(costs).zip(discounts);
        for ((_, (member, _)), ((usage, cost), discount)) in payers.into_iter().zip(shares) {
            let account = &member.request.parts().account;
            let cost = sum.is_priced.then_some(cost);
            account.paid(usage, sum.served.as_ref(), cost, discount);
        }
    }
}

// === impl Member ===

impl Member {
    /// Asks for this one alone, until it leaves.
    async fn ask<S>(mut self, inner: S)
    where
        S: Service<ProxyRequest, Response = Reply, Error = ProxyError>,
    {
        let call = inner.oneshot(self.request.clone());
        let result = tokio::select! {
            biased;
            result = call => result,
            () = self.reply.closed() => return,
        };
        self.give(result, 1, None);
    }

    fn give(self, result: ReplyResult, calls: usize, leader: Option<SpanContext>) {
        // Who has left in this moment needs nothing.
        let _ = self.reply.send(Parcel {
            result,
            calls,
            leader,
        });
    }
}

/// Whether a status that no answer has would be that of each call by itself.
fn is_everybodys(status: StatusCode) -> bool {
    status.is_server_error() || (status.is_client_error() && !is_about_inputs(status))
}
