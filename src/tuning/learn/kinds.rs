//! What the compressor's own rules bring on this traffic, by kind of content: those that bring nothing are left out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::word::Word;
use crate::compressor::{Kind, Plan, Role, Rule, Saving, Survey};

/// So many texts a rule must have been tried in before it can be said to bring nothing.
const TEXTS: u64 = 1_000;
/// And for so long: each day of a service looks like the next, but not each hour.
const TIME: SignedDuration = SignedDuration::from_hours(24);
/// After so long a rule that was left out is tried again.
pub(super) const REVIEW: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a rule brought in texts with lines of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tried {
    since: Word<Timestamp>,
    /// In so many texts.
    pub texts: u64,
    /// Tokens that it took out.
    pub tokens: u64,
}

/// The same for all rules and kinds.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    tried: BTreeMap<(Rule, Kind), Tried>,
}

// === impl Kinds ===

impl Kinds {
    /// What was counted before.
    pub(super) fn new(known: Vec<(Word<Rule>, Word<Kind>, Tried)>) -> Self {
        let known = known.into_iter();
        Self {
            tried: known
                .map(|(rule, kind, tried)| ((rule.0, kind.0), tried))
                .collect(),
        }
    }

    /// A text in which the rules of a plan were tried, but for those that are left out in some kinds.
    pub(super) fn tried(&mut self, survey: &Survey, plan: &Plan, role: Role, now: Timestamp) {
        let Some(compressor) = plan.of(role) else {
            return;
        };
        for kind in Kind::ALL.iter().filter(|kind| survey.has(**kind)) {
            for rule in Rule::ALL.iter().filter(|rule| **rule != Rule::Learned) {
                let is_tried = compressor.rules().has(*rule) && rule.admits(role);
                if is_tried && !compressor.skips_in(*rule, *kind) {
                    self.of(*rule, *kind, now).texts += 1;
                }
            }
        }
    }

    /// What they brought.
    pub(super) fn saved(&mut self, savings: &[Saving], now: Timestamp) {
        for saving in savings.iter().filter(|saving| saving.rule != Rule::Learned) {
            self.of(saving.rule, saving.kind, now).tokens += saving.tokens;
        }
    }

    fn of(&mut self, rule: Rule, kind: Kind, now: Timestamp) -> &mut Tried {
        self.tried.entry((rule, kind)).or_insert(Tried {
            since: Word(now),
            texts: 0,
            tokens: 0,
        })
    }

    /// The rules that brought nothing, by kind, and in how many texts.
    pub(super) fn in_vain(&self, now: Timestamp) -> impl Iterator<Item = (Rule, Kind, u64)> {
        let all = self.tried.iter();
        let vain = all.filter(move |(_, tried)| {
            let since = now.duration_since(tried.since.0);
            tried.tokens == 0 && tried.texts >= TEXTS && since >= TIME
        });
        vain.map(|((rule, kind), tried)| (*rule, *kind, tried.texts))
    }

    /// What is to be tried again begins with nothing.
    pub(super) fn forget(&mut self, rule: Rule, kind: Kind) {
        self.tried.remove(&(rule, kind));
    }

    /// All that was counted.
    pub(super) fn all(&self) -> Vec<(Word<Rule>, Word<Kind>, Tried)> {
        let all = self.tried.iter();
        all.map(|((rule, kind), tried)| (Word(*rule), Word(*kind), *tried))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compressor::{Compressor, Lessons, Level, Skips};

    fn plan() -> Plan {
        Plan::uniform(&Compressor::new(Level::Safe))
    }

    #[test]
    fn a_rule_that_never_paid_in_enough_texts_and_time_is_in_vain() {
        let survey = Survey::of("We went home.", Role::System);
        let begun = Timestamp::UNIX_EPOCH;
        let mut kinds = Kinds::default();
        for _ in 0..TEXTS - 1 {
            kinds.tried(&survey, &plan(), Role::System, begun);
        }
        let later = begun + TIME;
        assert_eq!(kinds.in_vain(later).count(), 0, "too few texts");
        kinds.tried(&survey, &plan(), Role::System, begun);
        let early = later - SignedDuration::from_secs(1);
        assert_eq!(kinds.in_vain(early).count(), 0, "too early");
        let paid = Saving {
            rule: Rule::InnerBlanks,
            kind: Kind::Prose,
            edits: 1,
            chars: 1,
            tokens: 1,
        };
        kinds.saved(&[paid], begun);
        let vain: Vec<_> = kinds.in_vain(later).collect();
        // Those of the level, in prose, but the one that paid.
        let safe = Rule::ALL.iter().filter(|rule| rule.level() == Level::Safe);
        assert_eq!(vain.len(), safe.count() - 2);
        assert!(vain.iter().all(|(rule, kind, texts)| {
            *rule != Rule::InnerBlanks && *kind == Kind::Prose && *texts == TEXTS
        }));
        let again = Kinds::new(kinds.all());
        assert_eq!(again.in_vain(later).collect::<Vec<_>>(), vain);
    }

    #[test]
    fn a_rule_is_tried_only_in_texts_of_roles_that_it_admits() {
        let plan = Plan::uniform(&Compressor::new(Level::Aggressive));
        let survey = Survey::of("We went home.", Role::Tool);
        let mut kinds = Kinds::default();
        kinds.tried(&survey, &plan, Role::Tool, Timestamp::UNIX_EPOCH);
        let tried = kinds.all().into_iter().map(|(rule, ..)| rule.0);
        let tried: Vec<_> = tried.collect();
        assert!(tried.contains(&Rule::LogTemplates) && tried.contains(&Rule::BlankLines));
        assert!(!tried.contains(&Rule::Phrases) && !tried.contains(&Rule::Emphasis));
    }

    #[test]
    fn what_is_left_out_is_not_tried() {
        let mut skips = Skips::default();
        skips.add(Rule::BlankLines, Kind::Prose);
        let lessons = Arc::new(Lessons::new(Vec::new(), skips));
        let mut kinds = Kinds::default();
        let survey = Survey::of("We went home.", Role::System);
        kinds.tried(
            &survey,
            &plan().with(&lessons),
            Role::System,
            Timestamp::UNIX_EPOCH,
        );
        let tried = kinds.all().into_iter().map(|(rule, ..)| rule.0);
        assert!(!tried.collect::<Vec<_>>().contains(&Rule::BlankLines));
    }
}
