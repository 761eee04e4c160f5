//! What is decided by what was counted, and how the rule file is followed.

use jiff::Timestamp;

use super::Mode;
use super::book::{Book, Entry, Skip, Span, State, pair_of};
use super::kinds::REVIEW;
use super::student::Student;
use super::trial::{Harm, Trial};
use super::versions::Live;
use crate::compressor::{Kind, Rule};
use crate::tuning::journal::{Action, Decision, Gain, Id, Unit};

/// What it is all about.
const SUBJECT: &str = "compression.learn";
/// So many of the costliest texts are spoken of.
const COSTLIEST: usize = 5;
/// Less than this, in nano-dollars a day, is not worth anybody's time.
const WORTH: f64 = 1e7;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The version in force, where it stands in the journal.
    version: Option<(u32, Id)>,
    /// The rule file could not be read or written.
    trouble: Option<String>,
}

impl Student {
    /// Follows the rule file: what others decided, and the next version when its time has come.
    pub(super) fn follow(&mut self, now: Timestamp) {
        let stamp = self.shelf.stamp();
        if stamp == self.stamp && !self.looks_closer() {
            return;
        }
        self.change(now, |_| false);
    }

    /// What is in force when the process begins.
    pub(super) fn begin(&mut self) {
        let live = self.versions.live();
        if live.version > 0 {
            let id = self.note_version(
                "the settings alone",
                &live,
                "It was in force, or its time had come, when the process began.",
            );
            self.told.version = Some((live.version, id));
        }
    }

    /// Changes the rules; `change` says whether the next version cannot wait. What is in force then is published.
    fn change(&mut self, now: Timestamp, change: impl FnOnce(&mut Book) -> bool) {
        let live = self.versions.live();
        let changed = self.shelf.change_anyway(|book| {
            let cannot_wait = change(book);
            // A file that was removed or put back has what it has from the next version on.
            if book.version < live.version {
                book.version = live.version;
                book.since = book.since.or(Some(now));
            }
            let is_edited = book.version == live.version
                && book.lessons(live.version).digest() != live.lessons.digest();
            book.advance(now, is_edited, cannot_wait);
        });
        self.stamp = self.shelf.stamp();
        let (book, trouble) = match changed {
            Ok(((), book, trouble)) => (Some(book), trouble),
            Err(trouble) => (None, Some(trouble)),
        };
        let trouble = trouble.map(|trouble| trouble.to_string());
        if let Some(error) = trouble.as_ref().filter(|_| self.told.trouble != trouble) {
            tracing::warn!(
                error,
                is_applied = book.is_some(),
                "the compression rules cannot be read or written"
            );
        }
        self.told.trouble = trouble;
        let Some(book) = book else {
            return;
        };
        if book.version != live.version {
            self.publish(&book);
        }
    }

    /// From now on conversations begin under the version in force. Harm outweighs a prefix that a provider has cached:
    /// what was denied or stopped ends under way.
    fn publish(&mut self, book: &Book) {
        let before = self.versions.live();
        let keeps_before = !book.has_ended_since(before.version);
        self.versions
            .publish(book.version, book.lessons(book.version), keeps_before);
        let after = self.versions.live();
        let evidence = if keeps_before {
            "Conversations that begin from now on have it; those under way keep theirs."
        } else {
            "All conversations have it from now on, also those under way: it does without what was denied or did harm."
        };
        let id = self.note_version(&describe(&before), &after, evidence);
        self.told.version = Some((book.version, id));
        let version = book.version;
        let pairs: Vec<_> = book
            .rules
            .iter()
            .map(|entry| pair_of(&entry.lesson))
            .collect();
        self.trials.retain(|(of, pair), _| match pair {
            Some(pair) => pairs.contains(pair),
            None => of.saturating_add(1) >= version,
        });
        self.begin_trials(book, before.version);
    }

    /// A rule that was approved anew is judged by what comes from now on.
    pub(super) fn begin_trials(&mut self, book: &Book, before: u32) {
        let is_new = |span: &Span| span.has(book.version) && !span.has(before);
        for entry in book.rules.iter().filter(|entry| is_new(&entry.span)) {
            self.trials.remove(&(0, Some(pair_of(&entry.lesson))));
        }
    }

    fn note_version(&self, before: &str, after: &Live, evidence: &str) -> Id {
        self.journal.note(Decision {
            subject: SUBJECT.into(),
            action: Action::Applied,
            before: before.into(),
            after: describe(after).into(),
            evidence: evidence.into(),
            expected: None,
        })
    }

    /// Decides what can be decided by now.
    pub(super) fn decide(&mut self, now: Timestamp) {
        self.leave_out(now);
        self.advise(now);
        if self.settings.mode == Mode::Act {
            self.try_again(now);
            self.stop_what_harms(now);
            self.measure();
        }
    }

    /// Rules that never paid are left out.
    fn leave_out(&mut self, now: Timestamp) {
        let Ok(book) = self.shelf.read() else {
            return;
        };
        let is_open = |rule, kind| {
            let skip = book.skip(rule, kind);
            skip.is_none_or(|skip| skip.state == State::Proposed)
        };
        let vain: Vec<_> = self
            .kinds
            .in_vain(now)
            .filter(|(rule, kind, _)| is_open(*rule, *kind))
            .collect();
        let texts = vain.iter().map(|(.., texts)| *texts);
        let (Some(fewest), Some(most)) = (texts.clone().min(), texts.max()) else {
            return;
        };
        let acts = self.settings.mode == Mode::Act;
        let names: Vec<_> = vain
            .iter()
            .map(|(rule, kind, _)| format!("{rule} in {kind}"))
            .collect();
        self.journal.note(Decision {
            subject: format!("{SUBJECT} (rules that never pay)").into(),
            action: if acts { Action::Applied } else { Action::Proposed },
            before: "tried in every text".into(),
            after: format!("left out from the next version on: {}", names.join(", ")).into(),
            evidence: format!(
                "Each was tried in {fewest} to {most} texts for a day at least and took out no token. It costs time alone. \
                 After a week it is tried again."
            )
            .into(),
            expected: None,
        });
        if acts {
            self.change(now, |book| {
                for (rule, kind, texts) in vain {
                    skip(book, rule, kind, texts, now);
                }
                false
            });
        }
    }

    /// What was left out for a week is tried again.
    fn try_again(&mut self, now: Timestamp) {
        let Ok(book) = self.shelf.read() else {
            return;
        };
        let is_old = |skip: &&Skip| {
            skip.state == State::Approved
                && !skip.is_pinned
                && skip.span.has(book.version)
                && skip
                    .since
                    .is_some_and(|since| now.duration_since(since) >= REVIEW)
        };
        let old: Vec<_> = book
            .skips
            .iter()
            .filter(is_old)
            .map(|skip| (skip.rule, skip.kind))
            .collect();
        if old.is_empty() {
            return;
        }
        for (rule, kind) in &old {
            self.kinds.forget(*rule, *kind);
        }
        let names: Vec<_> = old
            .iter()
            .map(|(rule, kind)| format!("{rule} in {kind}"))
            .collect();
        self.journal.note(Decision {
            subject: format!("{SUBJECT} (rules that never pay)").into(),
            action: Action::Applied,
            before: format!("left out: {}", names.join(", ")).into(),
            after: "tried again from the next version on".into(),
            evidence: "They were left out for a week; what comes may have changed.".into(),
            expected: None,
        });
        self.change(now, |book| {
            for (rule, kind) in old {
                let version = book.version;
                if let Some(skip) = book.skip_mut(rule, kind) {
                    skip.state = State::Proposed;
                    skip.span.end_after(version);
                    skip.since = None;
                }
            }
            false
        });
    }

    /// Rules whose hold-out does better go off at once.
    fn stop_what_harms(&mut self, now: Timestamp) {
        let Ok(book) = self.shelf.read() else {
            return;
        };
        let trial = self.trials.get(&(book.version, None));
        if let Some((trial, harm)) = trial.and_then(|trial| Some((trial, trial.harm()?))) {
            self.warn(trial, harm);
        }
        let is_on = |entry: &&Entry| entry.state == State::Approved && !entry.is_pinned;
        for entry in book.rules.iter().filter(is_on) {
            let Some(lesson) = entry.lesson_in(book.version) else {
                continue;
            };
            // Another one that was approved since comes at once instead.
            let is_replaced = lesson != entry.lesson;
            let trial = self.trials.get(&(0, Some(pair_of(&lesson)))).copied();
            let Some((trial, harm)) = trial.and_then(|trial| Some((trial, trial.harm()?))) else {
                continue;
            };
            let rule = entry.id();
            let gain = Gain {
                amount: trial.saved_tokens(),
                unit: Unit::TokensPerRequest,
            };
            let evidence = format!("With the shorter text {}: {}.", harm.as_str(), trial.tell());
            self.journal.note(Decision {
                subject: format!("{SUBJECT} (rule {rule})").into(),
                action: Action::RolledBack,
                before: "the shorter text".into(),
                after: if is_replaced {
                    "the shorter text that was approved in its place, also in conversations under way"
                } else {
                    "the text as it comes, also in conversations under way"
                }
                .into(),
                evidence: evidence.clone().into(),
                expected: Some(gain),
            });
            self.change(now, |book| {
                let version = book.version;
                let entry = book.find_mut(&rule);
                // Harm is not borne for a day.
                entry.is_some_and(|entry| {
                    entry.stop(version, evidence);
                    true
                })
            });
        }
    }

    /// Where compression itself does harm, that is the operator's to decide.
    fn warn(&self, trial: &Trial, harm: Harm) {
        self.journal.note(Decision {
            subject: "compression.level".into(),
            action: Action::Proposed,
            before: "as it is".into(),
            after: "a lower level".into(),
            evidence: format!(
                "Where prompts are shortened, {}: {}.",
                harm.as_str(),
                trial.tell()
            )
            .into(),
            expected: None,
        });
    }

    /// What came of the version in force.
    fn measure(&mut self) {
        let Some((version, id)) = self.told.version else {
            return;
        };
        if let Some(trial) = self
            .trials
            .get(&(version, None))
            .filter(|trial| trial.treated.requests > 0)
        {
            let gain = Gain {
                amount: trial.saved_tokens(),
                unit: Unit::TokensPerRequest,
            };
            self.journal.measured(id, gain);
        }
    }

    /// Texts that come again and again and cost, for which nobody has decided anything.
    fn advise(&mut self, now: Timestamp) {
        let Ok(book) = self.shelf.read() else {
            return;
        };
        let statistics = self.statistics(now);
        let days = statistics.days();
        let is_open = |id: &str| {
            book.find(id)
                .is_none_or(|entry| entry.state == State::Proposed)
        };
        let costly = statistics.costly().into_iter();
        let costly: Vec<_> = costly
            .filter(|passage| is_open(&passage.id()))
            .take(COSTLIEST)
            .collect();
        // Not their sum: a text and its paragraphs are the same words.
        let most = costly.iter().map(|passage| passage.cost()).max();
        #[expect(clippy::cast_precision_loss, reason = "money for people")]
        let daily = most.unwrap_or(0) as f64 / days;
        if daily < WORTH {
            return;
        }
        let names: Vec<_> = costly.iter().map(|passage| passage.id()).collect();
        self.journal.note(Decision {
            subject: format!("{SUBJECT} (texts)").into(),
            action: Action::Proposed,
            before: "sent as they come".into(),
            after: format!("shorter texts for {}", names.join(", ")).into(),
            evidence: format!(
                "These texts come again and again, and the costliest alone costs ${:.2} a day. `pegasus-nest rules costly` \
                 shows them; `pegasus-nest rules approve` puts shorter ones in their places.",
                daily / 1e9
            )
            .into(),
            expected: None,
        });
    }
}

/// What a version has.
fn describe(live: &Live) -> String {
    let Live {
        version, lessons, ..
    } = live;
    let (texts, skips) = (lessons.len(), lessons.skipped());
    format!("version {version}: {texts} shorter texts, {skips} rules left out in a kind of content")
}

/// Leaves a rule out in lines of a kind, from the next version on.
fn skip(book: &mut Book, rule: Rule, kind: Kind, texts: u64, now: Timestamp) {
    let span = Span::begin_after(book.version);
    let note = Some(format!("no token saved in {texts} texts"));
    let skip = Skip {
        rule,
        kind,
        state: State::Approved,
        is_pinned: false,
        span,
        since: Some(now),
        note,
    };
    match book.skip_mut(rule, kind) {
        Some(known) if known.state == State::Proposed => *known = skip,
        Some(_) => {}
        None => book.skips.push(skip),
    }
}
