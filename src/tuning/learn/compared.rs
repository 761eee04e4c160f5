//! The conversations that were compared lately, each of which counts once: the same body that comes a thousand times says
//! no more than once.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use super::student::About;

/// So many are remembered: 1 MiB.
const KEPT: usize = 32 * 1024;

/// The last conversations by comparison.
#[derive(Default)]
pub(super) struct Compared {
    names: RandomState,
    known: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Compared {
    /// Whether a conversation of this name comes to a comparison for the first time, as far as is remembered.
    pub(super) fn is_first(&mut self, about: &About, conversation: u64) -> bool {
        let name = self.names.hash_one((about, conversation));
        let is_first = self.known.insert(name);
        if is_first {
            self.in_order.push_back(name);
            if self.in_order.len() > KEPT
                && let Some(oldest) = self.in_order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_the_first_once_in_each_comparison_and_room_is_bounded() {
        let mut compared = Compared::default();
        let rule = (0, Some("rule".to_owned()));
        assert!(compared.is_first(&(1, None), 7) && compared.is_first(&rule, 7));
        assert!(!compared.is_first(&(1, None), 7) && !compared.is_first(&rule, 7));
        (100..100 + KEPT as u64).for_each(|name| assert!(compared.is_first(&rule, name)));
        assert_eq!(
            (compared.known.len(), compared.in_order.len()),
            (KEPT, KEPT)
        );
        assert!(compared.is_first(&rule, 7), "it is long forgotten");
    }
}
