//! The answer to a request whose bytes came before, given without reading them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::time::Instant;

use super::Edge;
use super::access::Context;
use super::encoding::{self, COMPRESS_ABOVE, takes_gzip};
use super::exchange::settle;
use super::headers;
use super::outgoing::{Answer, Outgoing};
use crate::fingerprint::Fingerprint;
use crate::layers::cache::{LookUp, Repeat};
use crate::request::{Route, Stage, Timings};

impl Edge {
    /// The answer to a repeat, counted and told as if it had gone through the stack.
    pub(super) fn repeat(
        &self,
        context: &Context,
        route: Route,
        alias: Fingerprint,
        incoming: &HeaderMap,
    ) -> Option<Answer> {
        let stack = &self.shared.stack;
        let begun = Instant::now();
        let repeat = stack.repeats.as_ref()?.find(alias, route, begun)?;
        // What is kept in gzip costs such a client's hit no more than any other's.
        let is_wanted = repeat.whole.body.len() >= COMPRESS_ABOVE.into() && takes_gzip(incoming);
        let gzip = is_wanted.then(|| repeat.gzip()).flatten();
        let Repeat {
            whole,
            model,
            saved,
            user,
            ..
        } = repeat;
        let now = Instant::now();
        let timings = Timings::default();
        timings.add(Stage::Cache, now.saturating_duration_since(begun));
        let provenance = whole.head.provenance;
        LookUp::since(begun, context.trace()).found(provenance);
        stack.metrics.requests.add(1);
        stack.metrics.replied(provenance);
        context.note_reply(Some(Arc::clone(&model)), provenance, Duration::ZERO, now);
        context.note_user(user.as_ref());
        let worth = whole.answer.unwrap_or_default();
        let bill = settle(&stack.metrics, context, &model, provenance, &worth, &saved);

        let mut head = whole.head.headers;
        headers::tell(
            &mut head,
            &timings,
            provenance,
            bill.tokens_saved,
            now.saturating_duration_since(context.begun()),
        );
        if gzip.is_some() {
            encoding::label(&mut head);
        }
        let mut response = Response::new(Outgoing::from(gzip.unwrap_or(whole.body)));
        *response.headers_mut() = head;
        Some(response)
    }
}
