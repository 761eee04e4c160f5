//! Rules that never pay on a service's traffic.

use crate::compressor::{
    Kind,
    rule::{Rule, RuleSet},
    survey::bit,
};

/// Rules that are not tried in lines of some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Skips {
    /// A bit for each kind.
    kinds: [u32; Rule::ALL.len()],
}

// === impl Skips ===

impl Skips {
    /// The rule is not tried in lines of this kind.
    pub fn add(&mut self, rule: Rule, kind: Kind) {
        self.kinds[rule as usize] |= bit(kind);
    }

    /// Whether it is.
    pub fn has(&self, rule: Rule, kind: Kind) -> bool {
        self.kinds[rule as usize] & bit(kind) != 0
    }

    /// Whether every rule is tried everywhere.
    pub fn is_empty(&self) -> bool {
        self.kinds.iter().all(|kinds| *kinds == 0)
    }

    /// Whether none of these rules would be tried in lines of these kinds.
    pub(in crate::compressor) fn cover(&self, rules: RuleSet, kinds: &[Kind]) -> bool {
        let kinds = kinds.iter().fold(0, |bits, kind| bits | bit(*kind));
        let mut rules = Rule::ALL.iter().filter(|rule| rules.has(**rule));
        rules.all(|rule| kinds & !self.kinds[*rule as usize] == 0)
    }

    /// How many pairs of a rule and a kind it has.
    pub(super) fn count(&self) -> usize {
        let kinds = self.kinds.iter();
        kinds.map(|kinds| kinds.count_ones() as usize).sum()
    }

    /// The kinds of each rule, a bit for each.
    pub(super) fn bits(&self) -> [u32; Rule::ALL.len()] {
        self.kinds
    }
}
