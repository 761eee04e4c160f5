//! Who is compressed how: what settings, endpoint and client together come to for one request.

use super::{Compressor, Role, RuleSet, VERSION};

/// Four for the version and four for each role.
const NAME_BYTES: usize = 20;

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

    /// A name for what comes out: the compressor's version, and what differs wherever the outputs could.
    pub fn name(&self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        name[..4].copy_from_slice(&VERSION.to_le_bytes());
        for (compressor, part) in self.roles.iter().zip(name[4..].chunks_exact_mut(4)) {
            let rules = compressor.map_or(RuleSet::default(), |compressor| compressor.rules);
            part.copy_from_slice(&rules.bits().to_le_bytes());
        }
        name
    }

    /// The compressor of a role, if that has anything to do.
    pub fn of(&self, role: Role) -> Option<Compressor> {
        self.roles[role as usize].filter(|compressor| !compressor.rules.is_empty())
    }
}
