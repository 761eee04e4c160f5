//! Who makes something of the requests that were heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::again::Questions;
use super::book::pair;
use super::compared::Compared;
use super::decide::Told;
use super::kinds::Kinds;
use super::listener::{Heard, Lot};
use super::passages::{Passages, Said};
use super::shelf::{Shelf, Stamp};
use super::statistics::Statistics;
use super::trial::{Outcome, Trial};
use super::versions::Versions;
use super::word::Word;
use super::{Known, Mode, is_learned_from};
use crate::compressor::{MIN_TOKENS, Role, Survey, Unit, paragraphs};
use crate::config;
use crate::json::Json;
use crate::layers::compress::editable;
use crate::tokens::Vocabulary;
use crate::tuning::journal::Journal;

/// How often decisions are made and figures written, in looks at the clock.
const MINUTE: u32 = 60;

/// What a comparison is about: all requests under a version, or those with the text of a rule under any (zero).
pub(super) type About = (u32, Option<String>);

/// What was counted, and what is decided by it.
pub(super) struct Student {
    pub(super) settings: config::Learning,
    pub(super) shelf: Shelf,
    pub(super) versions: Arc<Versions>,
    pub(super) journal: Journal,
    /// The content of the rule file that was read last.
    pub(super) stamp: Option<Stamp>,
    pub(super) kinds: Kinds,
    pub(super) trials: BTreeMap<About, Trial>,
    pub(super) passages: Passages,
    pub(super) since: Timestamp,
    pub(super) told: Told,
    questions: Questions<(BTreeSet<About>, bool)>,
    compared: Compared,
    heard: (u64, u64),
    ticks: u32,
    /// Something was counted that is not written.
    is_new: bool,
}

impl Student {
    /// Goes on from what was counted before.
    pub(super) fn new(
        settings: config::Learning,
        shelf: Shelf,
        known: Statistics,
        versions: Arc<Versions>,
        journal: Journal,
    ) -> Self {
        let trials = known.trials.into_iter();
        let mut student = Self {
            stamp: shelf.stamp(),
            kinds: Kinds::new(known.kinds),
            trials: trials
                .map(|(version, rule, trial)| ((version, rule), trial))
                .collect(),
            passages: Passages::new(settings.callers, known.passages),
            since: known.since.map_or_else(super::now, |Word(since)| since),
            heard: (known.heard, known.missed),
            told: Told::default(),
            questions: Questions::default(),
            compared: Compared::default(),
            ticks: 0,
            is_new: false,
            settings,
            shelf,
            versions,
            journal,
        };
        student.begin();
        student
    }

    /// So many requests could not be looked at.
    pub(super) fn missed(&mut self, missed: u64) {
        self.heard.1 += missed;
        self.is_new |= missed > 0;
    }

    /// Looks at a request.
    pub(super) fn listen(&mut self, heard: &Heard, at: Instant, now: Timestamp) {
        self.heard.0 += 1;
        self.is_new = true;
        // Whatever was answered could be read.
        let Ok(json) = Json::parse(heard.body.clone()) else {
            return;
        };
        let (texts, new) = editable(json.root());
        let known = texts.len() - new;
        let is_held = heard.lot.as_ref().is_some_and(|lot| lot.is_held);
        let is_answered = matches!(heard.outcome, Outcome::Answered { .. });
        for (at, (role, text)) in texts.iter().enumerate().filter(|_| is_answered) {
            let (role, text) = (*role, *text);
            let survey = Survey::of(text, role);
            // What comes again each turn is one text, and shorter ones are never edited.
            if !is_held && at >= known && Vocabulary::O200k.has_at_least(text, MIN_TOKENS) {
                self.kinds.tried(&survey, &heard.plan, role, now);
            }
            if is_learned_from(role) {
                self.count(role, text, &survey, heard);
            }
        }
        if !is_held && is_answered {
            self.kinds.saved(&heard.saved.savings, now);
        }
        let about = heard.lot.as_ref().filter(|lot| lot.is_new);
        let about = about.map(|lot| {
            let mut about = about_of(lot, &texts);
            about.retain(|about| self.compared.is_first(about, lot.conversation));
            (about, lot.is_held)
        });
        for key in about.iter().flat_map(|(keys, _)| keys) {
            let trial = self.trials.entry(key.clone()).or_default();
            trial.note(is_held, heard.saved.tokens, heard.outcome);
        }
        let question = texts.iter().rev().find(|(role, _)| *role == Role::User);
        if let Some((_, question)) = question
            && let Some((keys, is_held)) = self.questions.ask(heard.caller, question, at, about)
        {
            for key in keys {
                self.trials.entry(key).or_default().asked_again(is_held);
            }
        }
    }

    /// Counts what may come again.
    fn count(&mut self, role: Role, text: &str, survey: &Survey, heard: &Heard) {
        let said = |unit, text| Said {
            role,
            unit,
            text,
            caller: heard.caller,
            price: heard.price,
        };
        if role == Role::System {
            self.passages.count(said(Unit::Text, text));
        }
        let parts = paragraphs(text);
        if parts.len() > 1 {
            for part in parts {
                self.passages.count(said(Unit::Paragraph, &text[part]));
            }
        }
        for sentence in &survey.empty_sentences {
            self.passages
                .count(said(Unit::Phrase, &text[sentence.clone()]));
        }
    }

    /// A second has passed.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.settings.mode == Mode::Act {
            self.follow(now);
        }
        let is_time = self.looks_closer();
        self.ticks = self.ticks.wrapping_add(1);
        if is_time {
            self.decide(now);
            self.write(now);
        }
    }

    /// Whether a minute has passed, or nothing yet.
    pub(super) fn looks_closer(&self) -> bool {
        self.ticks.is_multiple_of(MINUTE)
    }

    /// Nothing more will be heard.
    pub(super) fn close(&mut self, now: Timestamp) {
        self.write(now);
    }

    /// What is known.
    pub(super) fn known(&self) -> Known {
        let live = self.versions.live();
        let trial = self.trials.get(&(live.version, None));
        Known {
            version: live.version,
            rules: live.lessons.len(),
            skips: live.lessons.skipped(),
            heard: self.heard,
            trial: trial.copied().unwrap_or_default(),
        }
    }

    /// All that was counted.
    pub(super) fn statistics(&self, now: Timestamp) -> Statistics {
        let trials = self.trials.iter();
        Statistics {
            since: Some(Word(self.since)),
            until: Some(Word(now)),
            heard: self.heard.0,
            missed: self.heard.1,
            passages: self.passages.repeated(),
            kinds: self.kinds.all(),
            trials: trials
                .map(|((version, rule), trial)| (*version, rule.clone(), *trial))
                .collect(),
        }
    }

    fn write(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.is_new)
            && let Err(error) = self.shelf.keep(&self.statistics(now))
        {
            tracing::warn!(%error, "what was learned cannot be written");
        }
    }
}

/// What a first request counts for.
fn about_of(lot: &Lot, texts: &[(Role, &str)]) -> BTreeSet<About> {
    let mut about = BTreeSet::from([(lot.version, None)]);
    for (role, text) in texts {
        for (unit, text, with) in lot.lessons.known(text, *role) {
            about.insert((0, Some(pair(*role, unit, text, with))));
        }
    }
    about
}
