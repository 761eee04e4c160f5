//! The answer to a request whose bytes came before, given without reading them.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::time::Instant;

use super::Edge;
use super::access::Context;
use super::exchange::settle;
use super::headers;
use super::outgoing::{Answer, Outgoing};
use crate::fingerprint::Fingerprint;
use crate::layers::cache::Repeat;
use crate::request::{Route, Stage, Timings};

impl Edge {
    /// The answer to a repeat, counted and told as if it had gone through the stack.
    pub(super) fn repeat(
        &self,
        context: &Context,
        route: Route,
        alias: Fingerprint,
    ) -> Option<Answer> {
        let stack = &self.shared.stack;
        let begun = Instant::now();
        let Repeat {
            whole,
            model,
            saved,
            user,
        } = stack.repeats.as_ref()?.find(alias, route)?;
        let timings = Timings::default();
        timings.add(Stage::Cache, begun.elapsed());
        let provenance = whole.head.provenance;
        stack.metrics.requests.add(1);
        stack.metrics.replied(provenance);
        context.note_reply(Some(Arc::clone(&model)), provenance, Duration::ZERO);
        context.note_user(user.as_ref());
        let worth = whole.answer.unwrap_or_default();
        let bill = settle(&stack.metrics, context, &model, provenance, &worth, &saved);

        let mut head = whole.head.headers;
        headers::tell(
            &mut head,
            &timings,
            provenance,
            bill.tokens_saved,
            context.begun(),
        );
        let mut response = Response::new(Outgoing::from(whole.body));
        *response.headers_mut() = head;
        Some(response)
    }
}
