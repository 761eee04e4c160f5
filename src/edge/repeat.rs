//! The answer to a request whose bytes came before, given without reading them.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, header};
use tokio::time::Instant;

use super::Edge;
use super::access::Context;
use super::headers;
use super::outgoing::{Answer, Outgoing};
use crate::chat::Quality;
use crate::fingerprint::Fingerprint;
use crate::layers::cache::Repeat;
use crate::reply::Worth;
use crate::request::{Route, Stage, Timings};

/// Content-Type, those of [`headers::tell`], and what each response gets at its end.
const HEADERS: usize = 10;

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
            entry,
            saved,
            provenance,
        } = stack.repeats.as_ref()?.find(alias, route)?;
        let timings = Timings::default();
        timings.add(Stage::Cache, begun.elapsed());
        let metrics = &stack.metrics;
        metrics.requests.add(1);
        metrics.replied(provenance);
        context.note_reply(Some(Arc::clone(&entry.model)), provenance.x_cache());
        let worth = Worth {
            usage: entry.usage,
            quality: Quality::Stop,
        };
        let bill = metrics.bill(&entry.model, provenance, worth, &saved);
        context.note_saved(bill.tokens_saved);

        let mut response = Response::new(Outgoing::from(entry.body.clone()));
        let mut head = HeaderMap::with_capacity(HEADERS);
        let json = HeaderValue::from_static("application/json");
        head.insert(header::CONTENT_TYPE, json);
        headers::tell(
            &mut head,
            &timings,
            provenance,
            bill.tokens_saved,
            context.begun(),
        );
        *response.headers_mut() = head;
        Some(response)
    }
}
