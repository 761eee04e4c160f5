//! Brings answers for which nobody waits yet.

use std::sync::Arc;

use tower::{Service, ServiceExt as _};

use super::answers::{Answers, Look};
use super::refresh::came;
use crate::error::ProxyError;
use crate::reply::{Reply, Tier};
use crate::request::ProxyRequest;
use crate::tuning::prefetch::{Bring, Brought};

/// The way of a miss, without a client.
#[derive(Clone)]
pub struct Ahead<S> {
    answers: Arc<Answers>,
    inner: S,
}

// === impl Ahead ===

impl<S> Ahead<S> {
    pub(super) fn new(answers: Arc<Answers>, inner: S) -> Self {
        Self { answers, inner }
    }
}

impl<S> Bring for Ahead<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn bring(&self, request: ProxyRequest) -> Brought {
        let answers = &self.answers;
        let is_good =
            |entry: &_, tier| matches!(answers.weigh_for(&request, entry, tier), Look::Answer(_));
        let is_there = || {
            let entry = answers.look_up_ahead(&request);
            entry.is_some_and(|entry| is_good(&entry, Tier::Memory))
        };
        if is_there() {
            return Brought::WasThere;
        }
        // Another instance may have brought one already.
        let found = answers.consult(&request).await;
        if found.is_some_and(|entry| is_good(&entry, Tier::Redis)) {
            return Brought::WasThere;
        }
        let result = self.inner.clone().oneshot(request.clone()).await;
        let is_refused = match &result {
            Ok(reply) => reply.head().status.is_client_error() && reply.head().status != 429,
            Err(error) => !error.is_upstream_failure() && error.status().is_client_error(),
        };
        // Whoever has it: another caller, or another instance.
        if matches!(&result, Ok(reply) if !reply.head().provenance.is_paid()) {
            came(Some(result)).await;
            return Brought::WasThere;
        }
        // What came is not always kept: it may have been cut off, or cleared meanwhile.
        if came(Some(result)).await && is_there() {
            Brought::Came
        } else {
            Brought::Failed { is_refused }
        }
    }
}
