//! Breakpoints for the provider's own prompt cache, set where a prompt's beginning is likely to come again.
//!
//! Anthropic keeps a prompt up to each breakpoint for five minutes: what it keeps costs a quarter more when it is put there
//! and a tenth when it is used. So a mark pays only where the beginning comes again in time with a likelihood above the one
//! by the other, which is worked out from the table of prices. How likely that is is learned, for each model, from how
//! often beginnings of the same kind came again (`recurrence.rs`); and whatever was expected, what came of it is measured in
//! the usage that answers tell (`worth.rs`), and marking stops where it costs more than it saves.
//!
//! An answer does not depend on the marks, so that they are no part of a request's identity. Nothing is kept but digests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::chat::Usage;
use crate::config::{self, PromptCache as Mode};
use crate::json::Json;
use crate::metering::Metrics;
use crate::metering::fetch::is_openrouter;
use crate::request::{LONG, Marking, ProxyRequest, aside};
use crate::tuning::journal::Journal;

use prompt::{Beginning, Prompt};
use recurrence::{Kind, Memory, Past, Recurrence};
use worth::{State, Sums, Verdict, Worth};

mod model;
mod prompt;
mod recurrence;
mod report;
mod worth;

/// Names of models come from clients; so many are told apart, those that were asked last.
const MODELS: usize = 64;
/// After so many prompts that were refused without their marks, too, refusals are taken for what they say,
const FRUITLESS: u32 = 3;
/// for so long.
const TRUST: Duration = Duration::from_hours(1);

/// Marks prompts, and learns where that pays.
pub(super) struct PromptCache {
    memory: Memory,
    models: Mutex<HashMap<Arc<str>, Model>>,
    metrics: Arc<Metrics>,
    journal: Journal,
}

/// What is known of one model's prompts.
struct Model {
    /// When it was asked last.
    used: Instant,
    recurrence: Recurrence,
    worth: Worth,
    /// Whether its provider tells what it puts into its cache. Not every upstream passes that on.
    tells_writes: bool,
    /// Whether the journal says that its prompts are marked.
    is_announced: bool,
    /// So many prompts were refused without their marks, too,
    fruitless: u32,
    /// and until then none is sent again without.
    trusts_refusals: Option<Instant>,
}

/// A beginning that may be marked.
struct Candidate<'p> {
    beginning: &'p Beginning,
    kind: Kind,
    past: Past,
}

// === impl PromptCache ===

impl PromptCache {
    /// What marks prompts for this upstream; `None` where nothing is to be marked.
    pub(super) fn new(
        config: &config::Upstream,
        metrics: Arc<Metrics>,
        journal: Journal,
    ) -> Option<Self> {
        let is_wanted = match config.prompt_cache {
            Mode::Off => false,
            // Anthropic's own API of this dialect knows no prompt caching, and OpenAI's needs no marks.
            Mode::Auto => is_openrouter(&config.base_url),
            Mode::On => true,
        };
        is_wanted.then(|| Self {
            memory: Memory::new(),
            models: Mutex::default(),
            metrics,
            journal,
        })
    }

    /// Marks what goes upstream where that pays, once for all attempts.
    pub(super) fn mark(&self, request: &ProxyRequest) {
        let Some(model) = request.model_name() else {
            return;
        };
        if model::wants_marks(&model) {
            request.mark(|json| self.choose(request, &model, json));
        }
    }

    /// The marks that pay.
    fn choose(&self, request: &ProxyRequest, model: &Arc<str>, json: &Json) -> Option<Marking> {
        let least = model::least_tokens(model);
        // A token is a byte at least.
        if (json.text().len() as u64) < least {
            return None;
        }
        let break_even = self.metrics.cache_break_even(model)?;
        let now = Instant::now();
        match known(&mut self.models.lock(), model, now).worth.state(now) {
            State::On => {}
            State::OnAgain => report::on_again(&self.journal, model),
            State::Off => return None,
        }
        let prompt = aside(json.text().len() >= LONG, || {
            Prompt::read(request.owner(), model, json.root())
        })?;
        let mut models = self.models.lock();
        let known = known(&mut models, model, now);
        let candidates = self.candidates(&prompt, least, now);
        let pays = |candidate: &Candidate<'_>| {
            let likelihood = known.recurrence.likelihood(candidate.kind);
            candidate.past.is_kept || likelihood > break_even
        };
        let chosen: Vec<_> = candidates.iter().map(pays).collect();
        let mut marked = Vec::with_capacity(chosen.len());
        for (candidate, is_marked) in candidates.iter().zip(chosen) {
            let id = candidate.beginning.id;
            let kind = Some(candidate.kind);
            self.memory.note(id, kind, now, &mut known.recurrence);
            if is_marked {
                marked.push(candidate.beginning);
            }
        }
        for other in &prompt.beginnings {
            let is_candidate = |it: &Candidate<'_>| it.beginning.id == other.id;
            if other.tokens >= least && !candidates.iter().any(is_candidate) {
                self.memory.note(other.id, None, now, &mut known.recurrence);
            }
        }
        let tokens = marked.last()?.tokens;
        if !std::mem::replace(&mut known.is_announced, true) {
            report::begun(&self.journal, model, break_even);
        }
        let places = marked.iter().filter_map(|it| it.place.clone());
        let ids = marked.iter().map(|it| it.id).collect();
        Some(Marking::new(places.collect(), ids, tokens))
    }

    /// The beginnings that may be marked, the shortest first: the instructions, the longest that came before, and the whole.
    /// Three are fewer than the four that Anthropic allows.
    fn candidates<'p>(&self, prompt: &'p Prompt, least: u64, now: Instant) -> Vec<Candidate<'p>> {
        let whole = prompt.beginnings.len() - 1;
        let of = |at: usize| {
            let beginning = &prompt.beginnings[at];
            let is_one = beginning.place.is_some() && beginning.tokens >= least;
            is_one.then(|| {
                let past = self.memory.past(beginning.id, now);
                let kind = match (prompt.head == Some(at), past.is_known) {
                    (true, false) => Kind::NewHead,
                    (true, true) => Kind::KnownHead,
                    (false, false) => Kind::NewEnd,
                    (false, true) => Kind::KnownEnd,
                };
                Candidate {
                    beginning,
                    kind,
                    past,
                }
            })
        };
        let begin = prompt.head.map_or(0, |head| head + 1);
        let head = prompt.head.filter(|head| *head < whole).and_then(of);
        let longest = (begin..whole)
            .rev()
            .filter_map(of)
            .find(|it| it.past.is_known);
        head.into_iter().chain(longest).chain(of(whole)).collect()
    }

    /// A call that went out marked has brought an answer with this usage.
    pub(super) fn settle(&self, request: &ProxyRequest, usage: Usage, served: Option<&Arc<str>>) {
        let (Some(marking), Some(model)) = (request.marking(), request.model_name()) else {
            return;
        };
        let now = Instant::now();
        for id in marking.beginnings() {
            self.memory.keep(*id, now);
        }
        if usage.is_estimated() {
            return;
        }
        let mut models = self.models.lock();
        let Some(known) = models.get_mut(&model) else {
            return;
        };
        known.tells_writes |= usage.cache_write_tokens > 0;
        let written = if known.tells_writes {
            usage.cache_write_tokens
        } else {
            // In doubt it is all that was not there.
            let marked = marking.tokens().min(usage.prompt_tokens);
            marked.saturating_sub(usage.cached_tokens)
        };
        let usage = Usage {
            cache_write_tokens: written,
            ..usage
        };
        let served = served.map(|served| &**served);
        let (saved, dearer) = self.metrics.marked(&model, served, usage);
        let call = Sums {
            calls: 1,
            read_tokens: usage.cached_tokens,
            written_tokens: written,
            saved,
            dearer,
            ..Sums::default()
        };
        match known.worth.note(call, now) {
            Some(Verdict::Stop(sums, pause)) => report::stopped(&self.journal, &model, sums, pause),
            Some(Verdict::Pays(sums)) => report::pays(&self.journal, &model, sums),
            None => {}
        }
    }

    /// Whether a prompt that was refused with marks is to be sent again without them.
    pub(super) fn doubts_refusals(&self, request: &ProxyRequest) -> bool {
        let Some(model) = request.model_name() else {
            return false;
        };
        let models = self.models.lock();
        let until = models.get(&model).and_then(|known| known.trusts_refusals);
        until.is_none_or(|until| until <= Instant::now())
    }

    /// The upstream has refused a prompt without its marks, too: they were not what was wrong with it.
    pub(super) fn refused_anyway(&self, request: &ProxyRequest) {
        let Some(model) = request.model_name() else {
            return;
        };
        let mut models = self.models.lock();
        if let Some(known) = models.get_mut(&model) {
            known.fruitless += 1;
            if known.fruitless >= FRUITLESS {
                known.fruitless = 0;
                known.trusts_refusals = Some(Instant::now() + TRUST);
            }
        }
    }

    /// The upstream took a prompt without its marks, and had refused it with them.
    pub(super) fn refused(&self, request: &ProxyRequest) {
        let Some(model) = request.model_name() else {
            return;
        };
        self.metrics.provider_cache.refused.add(1);
        let mut models = self.models.lock();
        if let Some(known) = models.get_mut(&model) {
            known.fruitless = 0;
            known.worth.stop(Instant::now(), worth::LONGEST_PAUSE);
            report::refused(&self.journal, &model);
        }
    }
}

// === impl Model ===

impl Model {
    fn new(now: Instant) -> Self {
        Self {
            used: now,
            recurrence: Recurrence::default(),
            worth: Worth::default(),
            tells_writes: false,
            is_announced: false,
            fruitless: 0,
            trusts_refusals: None,
        }
    }
}

/// What is known of a model that is asked; where there are too many, the one that was not for the longest time goes.
fn known<'m>(
    models: &'m mut HashMap<Arc<str>, Model>,
    model: &Arc<str>,
    now: Instant,
) -> &'m mut Model {
    if models.len() >= MODELS
        && !models.contains_key(model)
        && let Some(oldest) = models.iter().min_by_key(|(_, known)| known.used)
    {
        let oldest = Arc::clone(oldest.0);
        models.remove(&oldest);
    }
    let known = (models.entry(Arc::clone(model))).or_insert_with(|| Model::new(now));
    known.used = now;
    known
}

#[cfg(test)]
mod tests;
