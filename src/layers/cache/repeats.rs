//! Repeats: requests whose very bytes came before, and whose answer is in this process.
//!
//! A repeat asks what it asked then, so that nothing of it need be read, checked or compressed again, and no layer has
//! anything to do: the edge gives its answer from here. Whatever else there is to decide (other wishes of the client's,
//! a stream, an answer that is not fresh, one of several answers) is left to [`super::Cache`], as if nobody had looked.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::answers::{Answers, Look, whole};
use crate::compressor::{Level, Memo};
use crate::config::{self, Compression};
use crate::fingerprint::{self, Fingerprint, Scope};
use crate::reply::{Tier, Whole};
use crate::request::{CacheControl, Route, Saved};
use crate::store::{Memory, SharedEntry};
use crate::tuning::Times;
use crate::tuning::learn::Learning;
use crate::tuning::prefetch::Question;

/// The longest body that is compressed in one step (bytes): 2 ms.
const MAX_AT_ONCE: usize = 256 * 1024;

/// From so many bytes on a body has blocks that may be known.
const LONG: usize = 8 * 1024;

/// Finds the answers to repeats.
#[derive(Clone)]
pub struct Repeats {
    answers: Arc<Answers>,
    compression: Arc<Compression>,
    cache: Arc<config::Cache>,
    times: Times,
    memo: Arc<Memo>,
    learning: Option<Learning>,
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
pub struct Repeat<'a> {
    /// The answer.
    pub whole: Whole,
    /// The model that was asked.
    pub model: Arc<str>,
    /// What compression saved when the same bytes came first.
    pub saved: Saved,
    /// Whom its client attributes it to.
    pub user: Option<Arc<str>>,
    /// The same answer as it is kept.
    entry: SharedEntry,
    question: Fingerprint,
    memory: &'a Memory,
}

impl Repeats {
    pub(super) fn new(
        answers: Arc<Answers>,
        compression: Compression,
        cache: config::Cache,
        times: Times,
        learning: Option<Learning>,
    ) -> Self {
        Self {
            learning,
            memo: answers.store.memory.memo(),
            answers,
            compression: Arc::new(compression),
            cache: Arc::new(cache),
            times,
        }
    }

    /// The identity of a request's bytes, as [`crate::request::ProxyRequest::alias`] has it.
    pub fn alias<'h, H>(&self, asked: Asked<'_, H>) -> Fingerprint
    where
        H: Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    {
        let plan = self.compression.plan(asked.route, asked.level);
        // What is not to be kept leaves no trace; and few short bodies are worth the owner's name.
        let is_kept = self.cache.takes_all(asked.route) && asked.body.len() >= LONG;
        let known = is_kept.then(|| self.memo.blocks_of(*asked.scope.digest().as_bytes()));
        let by_settings = plan.name();
        let learned = self
            .learning
            .as_ref()
            .map(|learning| learning.name(&plan, asked.level.is_some(), None));
        fingerprint::alias(
            known,
            asked.scope,
            asked.path,
            asked.headers,
            learned.as_ref().map_or(&by_settings[..], |name| &name[..]),
            &[],
            asked.body,
        )
    }

    /// The answer, as it is `now`, to a repeat of a request that made no demands of the cache, and wants it whole.
    pub fn find(&self, alias: Fingerprint, route: Route, now: Instant) -> Option<Repeat<'_>> {
        let ttl = self.times.of(route);
        if ttl.is_zero() || self.answers.deals() {
            return None;
        }
        let memory = &self.answers.store.memory;
        let known = memory.resolve(alias).filter(|known| !known.wants_stream)?;
        let entry = memory.find_at(known.question, now)?;
        let look = self.answers.weigh(
            CacheControl::default(),
            ttl,
            entry.age_at(now),
            Tier::Memory,
        );
        match look {
            Look::Answer(provenance) => Some({
                self.answers.note_asked(known.question, route);
                if let Some(feed) = &self.answers.feed {
                    feed.asked(Question {
                        owner: entry.scope,
                        user: known.user.clone(),
                        question: known.question,
                        variant: 0,
                        ttl,
                        fresh_for: provenance.fresh_for(),
                        again: None,
                    });
                }
                Repeat {
                    whole: whole(&entry, provenance),
                    model: Arc::clone(&entry.model),
                    saved: known.saved,
                    user: known.user,
                    entry,
                    question: known.question,
                    memory,
                }
            }),
            _ => None,
        }
    }
}

impl Repeat<'_> {
    /// The answer's body in gzip, which is made but once; `None` of one so long that to make it at once would keep others
    /// waiting.
    pub fn gzip(&self) -> Option<Bytes> {
        if self.entry.body.len() > MAX_AT_ONCE {
            return None;
        }
        self.memory.gzip(self.question, &self.entry).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::config::Config;
    use crate::layers::cache::CacheLayer;
    use crate::store::{Limits, Memory, Store};

    /// How many blocks are known after the same body has come three times, and after a clear.
    fn blocks(settings: &str, length: usize) -> (usize, usize) {
        let config = Config::from_toml(settings).unwrap();
        let memory = Memory::new(Limits::from(&config.cache));
        let store = Store::new(memory.clone(), None, None);
        let layer = CacheLayer::new(&config, Some(store), Arc::default());
        let repeats = layer
            .repeats(&config, &Times::new(&config.cache), None)
            .unwrap();
        let body = vec![b'x'; length];
        let headers = HeaderMap::new();
        for _ in 0..3 {
            repeats.alias(Asked {
                route: Route::ChatCompletions,
                scope: Scope::Anonymous,
                path: "/chat/completions",
                headers: headers.iter(),
                level: None,
                body: &body,
            });
        }
        let known = memory.memo().blocks();
        memory.memo().clear();
        (known, memory.memo().blocks())
    }

    #[tokio::test]
    async fn blocks_of_what_may_be_kept_are_known_and_no_others() {
        assert_eq!(blocks("", 2 * LONG), (1, 0));
        assert_eq!(blocks("", LONG - 1), (0, 0));
        // Of these nobody knows before the body is read whether they may be kept.
        assert_eq!(blocks("[cache]\nmax_temperature = 0.5", 2 * LONG), (0, 0));
        let off = "[cache]\nroutes = [\"/v1/chat/completions=0s\"]";
        assert_eq!(blocks(off, 2 * LONG), (0, 0));
    }
}
