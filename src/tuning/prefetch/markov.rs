//! What usually follows what: a first-order Markov table over questions, bounded and fading.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::fingerprint::Fingerprint;

/// After so long a pause whoever asks begins anew: what they ask next does not follow from what they asked last.
pub(super) const GAP: Duration = Duration::from_mins(10);
/// So many questions are known by what follows them, some 8 MiB.
const STATES: usize = 16 * 1024;
/// So many of what followed each.
const SUCCESSORS: usize = 8;
/// So many sessions are followed at once.
const SESSIONS: usize = 16 * 1024;
/// Each time that a question is followed by another one, what followed it before counts so much less.
const FADE: f32 = 0.95;
/// As if each question had been followed once by something else.
const DOUBT: f32 = 1.0;

/// What followed what.
#[derive(Default)]
pub(super) struct Markov {
    states: HashMap<Fingerprint, State>,
    sessions: HashMap<Session, (Fingerprint, Instant)>,
}

/// Whoever asks one thing after the other: those who share answers, and of them the one that their client names.
pub(super) type Session = (Fingerprint, Option<std::sync::Arc<str>>);

struct State {
    followers: Vec<(Fingerprint, f32)>,
    total: f32,
    used: Instant,
}

impl Markov {
    /// A question is asked. Gives what may follow, the likeliest first, each with how often it did.
    pub(super) fn asked(
        &mut self,
        session: Session,
        question: Fingerprint,
        now: Instant,
    ) -> Vec<(Fingerprint, f64)> {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&session) {
            drop_oldest(&mut self.sessions, |(_, at)| *at);
        }
        let before = self.sessions.insert(session, (question, now));
        if let Some((before, at)) = before
            && before != question
            && now.duration_since(at) <= GAP
        {
            self.follows(before, question, now);
        }
        let Some(state) = self.states.get_mut(&question) else {
            return Vec::new();
        };
        state.used = now;
        let likelihood = |count: f32| f64::from(count / (state.total + DOUBT));
        let followers = state.followers.iter();
        let mut next: Vec<_> = followers
            .map(|(question, count)| (*question, likelihood(*count)))
            .collect();
        next.sort_by(|one, other| other.1.total_cmp(&one.1));
        next
    }

    fn follows(&mut self, before: Fingerprint, next: Fingerprint, now: Instant) {
        if self.states.len() >= STATES && !self.states.contains_key(&before) {
            drop_oldest(&mut self.states, |state| state.used);
        }
        let state = self.states.entry(before).or_insert_with(|| State {
            followers: Vec::new(),
            total: 0.0,
            used: now,
        });
        state.used = now;
        state.total = state.total * FADE + 1.0;
        for (_, count) in &mut state.followers {
            *count *= FADE;
        }
        if let Some((_, count)) = state.followers.iter_mut().find(|it| it.0 == next) {
            *count += 1.0;
            return;
        }
        if state.followers.len() == SUCCESSORS
            && let Some(rarest) = (0..SUCCESSORS).min_by(|one, other| {
                state.followers[*one]
                    .1
                    .total_cmp(&state.followers[*other].1)
            })
        {
            state.followers.swap_remove(rarest);
        }
        state.followers.push((next, 1.0));
    }

    /// How many questions are known by what follows them.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Makes room: the oldest eighth goes, so that the search for it is rare.
fn drop_oldest<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    age: impl Fn(&V) -> Instant,
) {
    let mut ages: Vec<_> = map.values().map(&age).collect();
    let eighth = ages.len() / 8;
    let (_, oldest, _) = ages.select_nth_unstable(eighth);
    let oldest = *oldest;
    map.retain(|_, value| age(value) > oldest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    fn q(n: u32) -> Fingerprint {
        digest(&n.to_le_bytes())
    }

    fn me() -> Session {
        (digest(b"me"), None)
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_is_learned_by_scope_and_user_and_not_across_a_pause() {
        let mut table = Markov::default();
        let now = Instant::now();
        for _ in 0..20 {
            table.asked(me(), q(1), now);
            // Others in between are others.
            table.asked((digest(b"you"), None), q(7), now);
            table.asked((digest(b"me"), Some("ann".into())), q(8), now);
            table.asked(me(), q(2), now);
        }
        let next = table.asked(me(), q(1), now);
        assert_eq!(next.len(), 1);
        assert!(next[0].0 == q(2) && next[0].1 > 0.9, "{next:?}");
        let later = now + GAP + Duration::from_secs(1);
        table.asked(me(), q(9), later);
        assert_eq!(table.asked(me(), q(1), later).len(), 1);
        table.clear();
        assert_eq!((table.asked(me(), q(1), later).len(), table.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn habits_fade_and_the_table_is_bounded() {
        let mut table = Markov::default();
        let now = Instant::now();
        let mut habit = |next: u32, times: usize| {
            for _ in 0..times {
                table.asked(me(), q(1), now);
                table.asked(me(), q(next), now);
            }
            table.asked(me(), q(1), now)[0]
        };
        assert_eq!(habit(2, 100).0, q(2));
        assert_eq!(habit(3, 30).0, q(3));
        let mut table = Markov::default();
        for n in 0..60_000 {
            let later = now + Duration::from_millis(n.into());
            let next = table.asked((q(n % 40_000), None), q(n), later);
            assert!(next.len() <= SUCCESSORS);
            table.asked((q(n % 40_000), None), q(n + 1), later);
            assert!(table.states.len() <= STATES && table.sessions.len() <= SESSIONS);
        }
        let mut table = Markov::default();
        for n in 0..100 {
            table.asked(me(), q(0), now);
            table.asked(me(), q(1 + n), now);
        }
        assert_eq!(table.asked(me(), q(0), now).len(), SUCCESSORS);
    }
}
