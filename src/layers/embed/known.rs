//! What the store has for the inputs of a call, and the answers that it makes, alone or with what was asked for.

use std::time::Duration;

use bytes::Bytes;

use crate::embeddings::{Answer, Piece, put_together};
use crate::fingerprint::Fingerprint;
use crate::reply::{Excuse, Provenance, Tier};
use crate::request::{LONG, ProxyRequest, Verdict, aside};
use crate::store::SharedEntry;

/// What the store has for the inputs of a call, each by its place among them.
pub(super) struct Known {
    pub(super) names: Vec<Fingerprint>,
    pub(super) entries: Vec<Option<SharedEntry>>,
    /// Those that are given only while the upstream fails.
    reserve: Vec<Option<SharedEntry>>,
    /// The furthest one that was asked.
    pub(super) tier: Tier,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(names: Vec<Fingerprint>) -> Self {
        Self {
            entries: vec![None; names.len()],
            reserve: vec![None; names.len()],
            names,
            tier: Tier::Memory,
        }
    }

    /// Takes what a tier has for an input, as far as its client takes it. What ended no longer than `stale_if_error` ago is
    /// kept in reserve.
    pub(super) fn take(
        &mut self,
        at: usize,
        entry: SharedEntry,
        tier: Tier,
        request: &ProxyRequest,
        stale_if_error: Duration,
    ) {
        let parts = request.parts();
        match parts.cache_control.judge(entry.age(), parts.ttl) {
            Verdict::Fresh { .. } | Verdict::Stale { allowed: true, .. } => {
                self.entries[at] = Some(entry);
                if matches!(tier, Tier::Redis) {
                    self.tier = tier;
                }
            }
            Verdict::Stale { expired_for, .. } if expired_for < stale_if_error => {
                self.reserve[at] = Some(entry);
            }
            Verdict::Stale { .. } | Verdict::Unacceptable => {}
        }
    }

    /// The same with what is in reserve in the places of what is missing.
    pub(super) fn with_reserve(self) -> Self {
        let both = self.entries.into_iter().zip(&self.reserve);
        Self {
            entries: both
                .map(|(entry, reserve)| entry.or_else(|| reserve.clone()))
                .collect(),
            ..self
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

    /// Where the answer comes from to a call of which all inputs are known: it is as old as the oldest of them. What is past
    /// its life is given because of `excuse`, or because the client takes it.
    pub(super) fn provenance(&self, request: &ProxyRequest, excuse: Option<Excuse>) -> Provenance {
        let parts = request.parts();
        let age = self.given().map(|entry| entry.age()).max();
        let age = age.unwrap_or_default();
        match parts.cache_control.judge(age, parts.ttl) {
            Verdict::Stale { expired_for, .. } => Provenance::Stale {
                age,
                expired_for,
                excuse: excuse.unwrap_or(Excuse::Accepted),
            },
            Verdict::Fresh { .. } | Verdict::Unacceptable => Provenance::Hit {
                age,
                ttl: parts.ttl.saturating_sub(age),
                tier: self.tier,
            },
        }
    }
}
