//! What the store has for the inputs of a call, and the answers that it makes, alone or with what was asked for.

use bytes::Bytes;

use crate::embeddings::{Answer, Piece, put_together};
use crate::fingerprint::Fingerprint;
use crate::reply::{Excuse, Provenance, Tier};
use crate::request::{LONG, ProxyRequest, Verdict, aside};
use crate::store::{Entry, SharedEntry};

/// What the store has for the inputs of a call, each by its place among them.
pub(super) struct Known {
    pub(super) names: Vec<Fingerprint>,
    pub(super) entries: Vec<Option<SharedEntry>>,
    /// The furthest one that was asked.
    pub(super) tier: Tier,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(names: Vec<Fingerprint>) -> Self {
        Self {
            entries: vec![None; names.len()],
            names,
            tier: Tier::Memory,
        }
    }

    /// The inputs for which there is nothing.
    pub(super) fn missing(&self) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries
            .filter_map(|(at, entry)| entry.is_none().then_some(at))
            .collect()
    }

    /// What there is.
    pub(super) fn given(&self) -> impl Iterator<Item = &SharedEntry> {
        self.entries.iter().flatten()
    }

    /// The answer to a call of which all inputs are known.
    pub(super) fn answer(&self) -> Option<Bytes> {
        if let [Some(entry)] = &self.entries[..] {
            return Some(entry.body.clone());
        }
        if self.entries.iter().any(Option::is_none) {
            return None;
        }
        let length: usize = self.given().map(|entry| entry.body.len()).sum();
        aside(length >= LONG, || {
            let answers = self.answers()?;
            let pieces: Vec<_> = answers.iter().map(Answer::only).collect::<Option<_>>()?;
            let pieces: Vec<_> = pieces.iter().collect();
            Some(put_together(answers.first()?, &pieces))
        })
    }

    /// The answer to a call of which this answer, in these pieces, brought what was missing.
    pub(super) fn complete(&self, answer: &Answer<'_>, fresh: &[Piece<'_, '_>]) -> Option<Bytes> {
        let answers = self.answers()?;
        let old: Vec<_> = answers.iter().map(Answer::only).collect::<Option<_>>()?;
        let (mut old, mut fresh) = (old.iter(), fresh.iter());
        let pieces = self.entries.iter().map(|entry| match entry {
            Some(_) => old.next(),
            None => fresh.next(),
        });
        Some(put_together(answer, &pieces.collect::<Option<Vec<_>>>()?))
    }

    fn answers(&self) -> Option<Vec<Answer<'_>>> {
        self.given()
            .map(|entry| Answer::read(&entry.body, 1))
            .collect()
    }

    /// Where the answer comes from to a call of which all inputs are known: it is as old as the oldest of them.
    pub(super) fn provenance(&self, request: &ProxyRequest) -> Provenance {
        let parts = request.parts();
        let age = self.given().map(|entry| entry.age()).max();
        let age = age.unwrap_or_default();
        match parts.cache_control.judge(age, parts.ttl) {
            Verdict::Stale { expired_for, .. } => Provenance::Stale {
                age,
                expired_for,
                excuse: Excuse::Accepted,
            },
            Verdict::Fresh { .. } | Verdict::Unacceptable => Provenance::Hit {
                age,
                ttl: parts.ttl.saturating_sub(age),
                tier: self.tier,
            },
        }
    }
}

/// Whether a client takes an entry as it is.
pub(super) fn is_welcome(request: &ProxyRequest, entry: &Entry) -> bool {
    let parts = request.parts();
    match parts.cache_control.judge(entry.age(), parts.ttl) {
        Verdict::Fresh { .. } => true,
        Verdict::Stale { allowed, .. } => allowed,
        Verdict::Unacceptable => false,
    }
}
