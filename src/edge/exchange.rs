//! One request and its reply at the edge: what every dialect does with them, the same way.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::Edge;
use super::access::Context;
use super::headers;
use crate::error::ProxyError;
use crate::metering::{Bill, Metrics};
use crate::reply::{Provenance, Reply, Worth};
use crate::request::{ProxyRequest, Saved, Stage};
use crate::tuning::learn::Outcome;

/// A request whose reply has begun. Cheap to clone.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) context: Context,
    pub(super) request: ProxyRequest,
    pub(super) provenance: Provenance,
    edge: Edge,
}

/// Counts what a complete answer cost and saved, and tells the log.
pub(super) fn settle(
    metrics: &Metrics,
    context: &Context,
    model: &str,
    provenance: Provenance,
    worth: &Worth,
    saved: &Saved,
) -> Bill {
    let bill = metrics.bill(context.account(), model, provenance, worth, saved);
    context.note_saved(bill.tokens_saved);
    bill
}

/// Whether an upstream's answer with this status may have to do with what was asked.
fn is_failure(status: StatusCode) -> bool {
    const OTHERS: [StatusCode; 5] = [
        StatusCode::UNAUTHORIZED,
        StatusCode::PAYMENT_REQUIRED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    (status.is_client_error() || status.is_server_error()) && !OTHERS.contains(&status)
}

impl Exchange {
    /// Sends a request through the stack.
    pub(super) async fn begin(
        edge: &Edge,
        context: &Context,
        mut request: ProxyRequest,
    ) -> Result<(Self, Reply), ProxyError> {
        request.trace = context.trace().cloned();
        context.note_model(request.model_name());
        let reply = edge.ask(&request).await.inspect_err(|error| {
            if error.is_upstream_failure() {
                request.tell(Outcome::Failed, || 0);
            }
        })?;
        if is_failure(reply.head().status) {
            request.tell(Outcome::Failed, || 0);
        }
        let provenance = reply.head().provenance;
        let upstream = request.timings().of(Stage::Upstream);
        context.note_reply(request.model_name(), provenance, upstream, Instant::now());
        let exchange = Self {
            edge: edge.clone(),
            context: context.clone(),
            request,
            provenance,
        };
        Ok((exchange, reply))
    }

    /// The same for another request of the batch, which asks the same and is given the same answer.
    pub(super) fn shared_with(&self, context: &Context) -> Self {
        let provenance = Provenance::Coalesced { across: false };
        let metrics = &self.edge.shared.stack.metrics;
        metrics.requests.add(1);
        metrics.replied(provenance);
        context.note_model(self.request.model_name());
        let now = Instant::now();
        context.note_reply(self.request.model_name(), provenance, Duration::ZERO, now);
        Self {
            context: context.clone(),
            provenance,
            ..self.clone()
        }
    }

    /// The most bytes of an answer (`upstream.max_response_bytes`).
    pub(super) fn max_response_bytes(&self) -> usize {
        self.edge.shared.config.upstream.max_response_bytes
    }

    /// Counts what a complete answer cost and saved.
    pub(super) fn settle(&self, worth: &Worth) -> Bill {
        settle(
            &self.edge.shared.stack.metrics,
            &self.context,
            self.request.model().unwrap_or_default(),
            self.provenance,
            worth,
            &self.request.saved(),
        )
    }

    /// The tokens of what the layers below gave it that nobody paid for again.
    pub(super) fn spared(&self) -> u64 {
        if self.request.embeddings().is_none() {
            return 0;
        }
        let mut given = None;
        self.context.account().note(|row| given = row.given);
        let tokens = given.map_or(0, |usage| usage.total_tokens);
        self.context.note_saved(tokens);
        tokens
    }

    /// The reply's headers and the proxy's own.
    pub(super) fn headers(&self, mut head: HeaderMap, tokens_saved: u64) -> HeaderMap {
        headers::tell(
            &mut head,
            self.request.timings(),
            self.provenance,
            tokens_saved,
            self.context.begun().elapsed(),
        );
        head
    }

    /// The same for a reply whose end, and so its whole saving, is not known yet.
    pub(super) fn early_headers(&self, head: HeaderMap) -> HeaderMap {
        self.headers(head, self.request.saved().tokens)
    }
}
