//! How much may be repeated: a share of the calls, however many of them fail.

use parking_lot::Mutex;

use crate::request::Socket;

/// Retries that may be spent before any call has paid in, so that a quiet proxy can retry at all.
const RESERVE: f64 = 10.0;
/// So many reconnects that only met the next failure, without a success between them, are an outage, in which
/// nothing is repeated for free.
const OUTAGE: u32 = 2;

/// A token bucket: each call pays in a share of a token, each retry takes a whole one.
pub(super) struct Budget {
    share: f64,
    state: Mutex<State>,
}

struct State {
    /// Below nothing where free reconnects turned out to be part of an outage.
    tokens: f64,
    failures: u32,
    /// Free reconnects since the last success.
    free: u32,
}

impl Budget {
    pub(super) fn new(share: f64) -> Self {
        // A share of nothing means no retries at all, the reserve included.
        let tokens = if share > 0.0 { RESERVE } else { 0.0 };
        Self {
            share,
            state: Mutex::new(State {
                tokens,
                failures: 0,
                free: 0,
            }),
        }
    }

    /// A call pays in.
    pub(super) fn deposit(&self) {
        let mut state = self.state.lock();
        state.tokens = (state.tokens + self.share).min(RESERVE);
    }

    /// Whether hardly any of it is spent.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.failures == 0 && (self.share <= 0.0 || state.tokens > RESERVE / 2.0)
    }

    /// Leave for a retry.
    pub(super) fn withdraw(&self) -> bool {
        self.state.lock().withdraw()
    }

    /// Takes down what an attempt said about the upstream. Failures count where a reconnect led to them: an upstream
    /// that was away answers again on the next fresh socket, however many of the old ones are dead.
    pub(super) fn note(&self, healthy: Option<bool>, socket: Socket) {
        let mut state = self.state.lock();
        match (healthy, socket) {
            (Some(true), _) => (state.failures, state.free) = (0, 0),
            (Some(false), Socket::Fresh) => {
                state.failures = state.failures.saturating_add(1);
                if state.failures == OUTAGE {
                    // An outage from the first of them on, as is known now.
                    state.tokens -= f64::from(std::mem::take(&mut state.free));
                }
            }
            (Some(false), Socket::Pooled) | (None, _) => {}
        }
    }

    /// Leave to go on after a dead socket. It is free: sockets go stale in any number at once, and no caller is to
    /// notice. In an outage it costs as much as a retry, for an upstream that resets what it has read looks the same.
    pub(super) fn reconnect(&self) -> bool {
        let mut state = self.state.lock();
        if state.failures < OUTAGE {
            state.free = state.free.saturating_add(1);
            return true;
        }
        state.withdraw()
    }
}

impl State {
    fn withdraw(&mut self) -> bool {
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_costs_a_share_of_its_calls_and_the_reserve() {
        let budget = Budget::new(0.2);
        let mut retries = 0;
        for _ in 0..300 {
            budget.deposit();
            for _ in 0..2 {
                retries += u32::from(budget.withdraw());
            }
        }
        assert!((60..=70).contains(&retries), "{retries}");
    }

    #[test]
    fn a_budget_of_nothing_never_retries() {
        let budget = Budget::new(0.0);
        budget.deposit();
        assert!(!budget.withdraw());
    }

    #[test]
    fn dead_sockets_cost_nothing_until_the_upstream_fails() {
        let budget = Budget::new(0.0);
        for verdict in [None, Some(true), Some(false), Some(true)] {
            budget.note(verdict, Socket::Fresh);
            assert!((0..1_000).all(|_| budget.reconnect()), "{verdict:?}");
        }
        budget.note(Some(false), Socket::Fresh);
        assert!(budget.reconnect());
        budget.note(Some(false), Socket::Fresh);
        assert!(!budget.reconnect());
        budget.note(None, Socket::Fresh);
        assert!(!budget.reconnect(), "a dead socket is no sign of life");
        budget.note(Some(true), Socket::Pooled);
        for _ in 0..100 {
            budget.note(Some(false), Socket::Pooled);
        }
        assert!(
            budget.reconnect(),
            "what failed on the old sockets may be over"
        );
    }

    #[test]
    fn what_was_free_is_paid_for_when_it_was_an_outage() {
        let budget = Budget::new(0.2);
        assert!((0..50).all(|_| budget.reconnect()));
        for _ in 0..OUTAGE {
            budget.note(Some(false), Socket::Fresh);
        }
        // The reserve and a share of each call have to make up for them.
        for _ in 0..204 {
            assert!(!budget.withdraw() && !budget.reconnect());
            budget.deposit();
        }
        (0..3).for_each(|_| budget.deposit());
        assert!(budget.withdraw());
    }
}
