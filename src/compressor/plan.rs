//! Who is compressed how: what settings, endpoint and client together come to for one request.

use std::fmt;

use super::{Compressor, Role, RuleSet};

/// Which compressor each role's text goes through; none leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Plan {
    roles: [Option<Compressor>; 4],
}

// === impl Plan ===

impl Plan {
    /// The same for all roles.
    pub fn uniform(compressor: Compressor) -> Self {
        Self {
            roles: [Some(compressor); 4],
        }
    }

    /// Sets the compressor of a role.
    pub fn set(&mut self, role: Role, compressor: Compressor) {
        self.roles[role as usize] = Some(compressor);
    }

    /// The compressor of a role, if that has anything to do.
    pub fn of(&self, role: Role) -> Option<Compressor> {
        self.roles[role as usize].filter(|compressor| !compressor.rules.is_empty())
    }
}

impl fmt::Display for Plan {
    /// Differs wherever the outputs could.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.roles.iter().try_for_each(|compressor| {
            let rules = compressor.map_or(RuleSet::default(), |compressor| compressor.rules);
            write!(f, "{:x} ", rules.bits())
        })
    }
}
