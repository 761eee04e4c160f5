//! Who is compressed how: what settings, endpoint and client together come to for one request.

use std::sync::Arc;

use super::{Compressor, Lessons, Role, Rule, RuleSet, VERSION};

/// The length of a plan's name: four bytes for the version and four for each role.
pub const NAME_BYTES: usize = 20;
/// What was learned has a name of its own.
const LEARNED: RuleSet = RuleSet::one(Rule::Learned);

/// Which compressor each role's text goes through; none leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Plan {
    roles: [Option<Compressor>; 4],
}

// === impl Plan ===

impl Plan {
    /// The same for all roles.
    pub fn uniform(compressor: &Compressor) -> Self {
        Self {
            roles: std::array::from_fn(|_| Some(compressor.clone())),
        }
    }

    /// Sets the compressor of a role.
    pub fn set(&mut self, role: Role, compressor: Compressor) {
        self.roles[role as usize] = Some(compressor);
    }

    /// The same with what was learned.
    #[must_use]
    pub fn with(self, lessons: &Arc<Lessons>) -> Self {
        Self {
            roles: self.roles.map(|role| Some(role?.with(lessons))),
        }
    }

    /// A name for what comes out: the compressor's version, and what differs wherever the outputs could. What was learned
    /// is not in it, nor whether that may be applied.
    pub fn name(&self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        name[..4].copy_from_slice(&VERSION.to_le_bytes());
        for (compressor, part) in self.roles.iter().zip(name[4..].chunks_exact_mut(4)) {
            let rules =
                (compressor.as_ref()).map_or(RuleSet::default(), |compressor| compressor.rules);
            let rules = rules.without(LEARNED);
            part.copy_from_slice(&rules.bits().to_le_bytes());
        }
        name
    }

    /// The compressor of a role, if that has anything to do.
    pub fn of(&self, role: Role) -> Option<&Compressor> {
        let compressor = self.roles[role as usize].as_ref();
        compressor.filter(|compressor| !compressor.rules.is_empty())
    }

    /// Whose texts may be replaced by what was learned: a bit for each role.
    pub fn learns(&self) -> u8 {
        let has = |role: &Option<Compressor>| {
            let compressor = role.as_ref();
            compressor.is_some_and(|compressor| compressor.rules.has(Rule::Learned))
        };
        let roles = self.roles.iter().rev();
        roles.fold(0, |bits, role| bits << 1 | u8::from(has(role)))
    }

    /// Whether it leaves every text as it is.
    pub fn is_off(&self) -> bool {
        let mut roles = self.roles.iter().flatten();
        roles.all(|compressor| compressor.rules.is_empty())
    }
}
