//! Whether something is worth fetching: what is said to be likely becomes a forecast, whose truth is seen later, and an
//! order where it pays.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use super::{Due, PENDING, Planner};
use crate::fingerprint::Fingerprint;
use crate::tuning::prefetch::forecast::Kind;
use crate::tuning::prefetch::known::{Forecast, Known};
use crate::tuning::prefetch::markov::GAP;
use crate::tuning::prefetch::plan::{Order, Plan};

impl Planner {
    /// When to think about renewing an answer that is fresh.
    pub(super) fn plan_renewal(&mut self, id: Fingerprint, now: Instant) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        if known.has_appointment || known.fresh_until <= now {
            return;
        }
        let at = (known.fresh_until - known.early()).max(now);
        let has_appointment = self.remind(at, id, Due::Renewal);
        if let Some(known) = self.known.get_mut(&id) {
            known.has_appointment = has_appointment;
        }
    }

    /// An answer is about to expire.
    pub(super) fn consider_renewal(&mut self, id: Fingerprint, now: Instant, plan: &mut Plan) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        known.has_appointment = false;
        let expires = known.fresh_until;
        if now + known.early() < expires {
            // There was a new answer meanwhile.
            self.plan_renewal(id, now);
            return;
        }
        if expires <= now {
            return;
        }
        let window = (now + known.ttl).duration_since(expires);
        let likelihood = known.demand.likelihood(known.ttl, window, now);
        self.consider(
            id,
            Kind::Renewal,
            likelihood,
            (expires, expires + window),
            plan,
            now,
        );
    }

    /// Something may be asked next.
    pub(super) fn consider_follower(
        &mut self,
        question: Fingerprint,
        likelihood: f64,
        now: Instant,
        plan: &mut Plan,
    ) {
        let next = self.next_variant(question);
        let id = question.variant(next);
        if next > 0 && !self.known.contains_key(&id) {
            let Some(first) = self.known.get(&question) else {
                return;
            };
            let ttl = first.ttl;
            self.meet((question, next), ttl, now, plan);
        }
        let Some(known) = self.known.get(&id) else {
            return;
        };
        if known.fresh_until > now {
            return;
        }
        let until = now + GAP.min(known.ttl);
        self.consider(id, Kind::Follower, likelihood, (now, until), plan, now);
    }

    /// Which of several answers is given next.
    fn next_variant(&self, question: Fingerprint) -> u32 {
        let all = 0..self.rules.variants;
        let last = all
            .filter_map(|variant| Some((self.known.get(&question.variant(variant))?.used, variant)))
            .max();
        last.map_or(0, |(_, variant)| (variant + 1) % self.rules.variants)
    }

    /// Makes a forecast, whose truth will be known, and an order where it is worth it.
    fn consider(
        &mut self,
        id: Fingerprint,
        kind: Kind,
        likelihood: f64,
        (from, until): (Instant, Instant),
        plan: &mut Plan,
        now: Instant,
    ) {
        let is_known = |known: &Known| known.forecasts[kind as usize].is_some();
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        let (stake, is_free) = (known.stake(), known.fetched.is_none());
        if !is_known(known) && self.due.len() < PENDING {
            known.forecasts[kind as usize] = Some(Forecast {
                likelihood,
                from,
                until,
                came_true: false,
            });
            self.due.push(Reverse((until, id, Due::Forecast(kind))));
        }
        let Some(mut stake) = stake.filter(|_| is_free) else {
            return;
        };
        if kind == Kind::Renewal {
            let left = from.duration_since(now);
            stake.early = left.as_secs_f64() / known.ttl.as_secs_f64().max(0.001);
        }
        let likelihood = self.calibration.adjust(kind, likelihood);
        if self.rules.value.expects(stake, likelihood) > 0.0
            && let Some(known) = self.known.get(&id)
        {
            plan.orders.push(Order {
                question: known.question,
                variant: known.variant,
                kind,
                likelihood,
                stake,
                min_fresh: known.fresh_until.duration_since(now) + Duration::from_millis(1),
            });
        }
    }
}
