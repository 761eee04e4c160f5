//! Repeats: requests whose very bytes came before, and whose answer is in this process.
//!
//! A repeat asks what it asked then, so that nothing of it need be read, checked or compressed again, and no layer has
//! anything to do: the edge gives its answer from here. Whatever else there is to decide (other wishes of the client's,
//! a stream, an answer that is not fresh, one of several answers) is left to [`super::Cache`], as if nobody had looked.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::answers::{Answers, Look, whole};
use crate::compressor::Level;
use crate::config::{self, Compression};
use crate::fingerprint::{self, Fingerprint, Scope};
use crate::reply::{Tier, Whole};
use crate::request::{CacheControl, Route, Saved};

/// Finds the answers to repeats.
#[derive(Clone)]
pub struct Repeats {
    answers: Arc<Answers>,
    compression: Arc<Compression>,
    cache: Arc<config::Cache>,
}

/// What is known of a chat completion before its body is read.
pub struct Asked<'a, H> {
    /// The endpoint.
    pub route: Route,
    /// Who shares answers with its caller.
    pub scope: Scope,
    /// Path and query below `upstream.base_url`.
    pub path: &'a str,
    /// The headers that go upstream.
    pub headers: H,
    /// The compression level that it asks for.
    pub level: Option<Level>,
    /// The body.
    pub body: &'a [u8],
}

/// The answer to a repeat.
pub struct Repeat {
    /// The answer.
    pub whole: Whole,
    /// The model that was asked.
    pub model: Arc<str>,
    /// What compression saved when the same bytes came first.
    pub saved: Saved,
    /// Whom its client attributes it to.
    pub user: Option<Arc<str>>,
}

impl Repeats {
    pub(super) fn new(
        answers: Arc<Answers>,
        compression: Compression,
        cache: config::Cache,
    ) -> Self {
        Self {
            answers,
            compression: Arc::new(compression),
            cache: Arc::new(cache),
        }
    }

    /// The identity of a request's bytes, as [`crate::request::ProxyRequest::alias`] has it.
    pub fn alias<'h, H>(&self, asked: Asked<'_, H>) -> Fingerprint
    where
        H: Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    {
        let plan = self.compression.plan(asked.route, asked.level);
        fingerprint::alias(
            asked.scope,
            asked.path,
            asked.headers,
            &plan.name(),
            &[],
            asked.body,
        )
    }

    /// The answer to a repeat of a request that made no demands of the cache, and wants it whole.
    pub fn find(&self, alias: Fingerprint, route: Route) -> Option<Repeat> {
        let ttl = self.cache.ttl_of(route);
        if ttl.is_zero() || self.answers.deals() {
            return None;
        }
        let memory = &self.answers.store.memory;
        let known = memory.resolve(alias).filter(|known| !known.wants_stream)?;
        let entry = memory.find(known.question)?;
        let look = self
            .answers
            .weigh(CacheControl::default(), ttl, &entry, Tier::Memory);
        match look {
            Look::Answer(provenance) => Some(Repeat {
                whole: whole(&entry, provenance),
                model: Arc::clone(&entry.model),
                saved: known.saved,
                user: known.user,
            }),
            _ => None,
        }
    }
}
