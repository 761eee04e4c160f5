//! What to fetch ahead, from what was asked: pure, and told the time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::economics::{Balance, Purse, Share};
use super::forecast::{Calibration, Demand, Kind};
use super::gates::Held;
use super::known::{Fetched, Known, mix};
use super::markov::Markov;
use super::plan::{Asked, Order, Plan, Rules, Settled};
use crate::fingerprint::{Fingerprint, Scope};

mod consider;

/// So many questions are known, some 5 MiB.
const KNOWN: usize = 16 * 1024;
/// So many forecasts and appointments are kept.
const PENDING: usize = 64 * 1024;

/// What is due at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// To think about renewing it.
    Renewal,
    /// To see whether a forecast came true.
    Forecast(Kind),
    /// To see whether what was fetched was of use.
    Fetched,
}

/// Plans what to fetch.
pub(super) struct Planner {
    rules: Rules,
    markov: Markov,
    known: HashMap<Fingerprint, Known>,
    due: BinaryHeap<Reverse<(Instant, Fingerprint, Due)>>,
    calibration: Calibration,
    pub(super) purse: Purse,
    pub(super) share: Share,
    balance: Balance,
    /// The owner of answers that all share.
    everyone: Fingerprint,
}

impl Planner {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            markov: Markov::default(),
            known: HashMap::new(),
            due: BinaryHeap::new(),
            calibration: Calibration::default(),
            purse: Purse::new(rules.per_day),
            share: Share::new(rules.max_share),
            balance: Balance::new(),
            everyone: Scope::Global.digest(),
        }
    }

    /// A question is asked, and something may follow.
    pub(super) fn asked(&mut self, asked: &Asked, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let id = asked.question.variant(asked.variant);
        self.meet((asked.question, asked.variant), asked.ttl, now, &mut plan);
        self.come_true(id, asked.fresh_for.is_some(), now, &mut plan);
        if let Some(known) = self.known.get_mut(&id) {
            known.demand.asked(asked.ttl, now);
            (known.used, known.ttl) = (now, asked.ttl);
            known.cost = known.cost.or(asked.cost);
            if let Some(left) = asked.fresh_for {
                known.fresh_until = now + left;
            }
        }
        if asked.fresh_for.is_some() {
            self.plan_renewal(id, now);
        }
        // What one of all callers asks does not follow from what another one did.
        if asked.owner == self.everyone && asked.user.is_none() {
            return plan;
        }
        let session = (asked.owner, asked.user.clone());
        for (question, likelihood) in self.markov.asked(session, asked.question, now) {
            self.consider_follower(question, likelihood, now, &mut plan);
        }
        plan
    }

    /// A client waited so long for an answer that it had asked for in vain, and which costs so much where that is known.
    pub(super) fn came(
        &mut self,
        id: Fingerprint,
        wait: Duration,
        cost: Option<f64>,
        now: Instant,
    ) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        let wait = wait.as_secs_f64();
        known.wait = Some(known.wait.map_or(wait, |before| mix(before, wait)));
        if let Some(cost) = cost {
            known.cost = Some(known.cost.map_or(cost, |before| mix(before, cost)));
        }
        known.fresh_until = now + known.ttl;
        self.plan_renewal(id, now);
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.due.peek().map(|Reverse((at, ..))| *at);
        due.into_iter().chain(self.balance.stopped_until()).min()
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, now: Instant) -> Plan {
        let mut plan = Plan {
            has_resumed: self.balance.resume(now),
            ..Plan::default()
        };
        while let Some(Reverse((at, id, due))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            match due {
                Due::Renewal => self.consider_renewal(id, now, &mut plan),
                Due::Forecast(kind) => self.judge(id, kind, now),
                Due::Fetched => self.expire(id, now, &mut plan),
            }
        }
        plan
    }

    /// Whether an order may be carried out, by money and share; if so, they are taken.
    pub(super) fn admit(&mut self, order: &Order, now: Instant) -> Result<(), Held> {
        if self.balance.stopped_until().is_some() {
            return Err(Held::Stopped);
        }
        if !self.share.has_room() {
            return Err(Held::Share);
        }
        if !self
            .purse
            .reserve(order.stake.cost, self.balance.part(), now)
        {
            return Err(Held::Budget);
        }
        self.share.withdraw();
        let id = order.question.variant(order.variant);
        if let Some(known) = self.known.get_mut(&id) {
            let from = known.fresh_until.max(now);
            let until = now + known.ttl;
            known.fetched = Some(Fetched {
                kind: order.kind,
                stake: order.stake,
                from,
                until,
                is_under_way: true,
            });
        }
        Ok(())
    }

    /// An order was carried out: its call cost so much, and there is an answer from now on, or there is none.
    pub(super) fn carried_out(
        &mut self,
        order: &Order,
        cost: f64,
        has_come: bool,
        now: Instant,
    ) -> Plan {
        let mut plan = Plan::default();
        self.purse.pay(order.stake.cost, cost, now);
        let id = order.question.variant(order.variant);
        let Some(known) = self.known.get_mut(&id) else {
            return plan;
        };
        if !has_come {
            // Whoever asked meanwhile has taken it for use.
            let fetched = known.fetched.take().filter(|_| cost > 0.0);
            if let Some(mut fetched) = fetched {
                fetched.stake.cost = cost;
                self.settle(fetched, false, now, &mut plan);
            }
            return plan;
        }
        known.cost = known.cost.map(|before| mix(before, cost));
        known.fresh_until = now + known.ttl;
        if let Some(fetched) = &mut known.fetched {
            fetched.stake.cost = cost;
            fetched.until = now + known.ttl;
            fetched.is_under_way = false;
            let until = fetched.until;
            self.remind(until, id, Due::Fetched);
        }
        self.plan_renewal(id, now);
        plan
    }

    /// It was found out that nothing had to be done: the answer was there.
    pub(super) fn was_there(&mut self, order: &Order, now: Instant) {
        self.purse.pay(order.stake.cost, 0.0, now);
        let id = order.question.variant(order.variant);
        if let Some(known) = self.known.get_mut(&id) {
            known.fetched = None;
        }
    }

    /// Forgets all that was asked; not what such forecasts were worth, nor what was spent.
    pub(super) fn clear(&mut self) {
        self.markov.clear();
        self.known.clear();
        self.due.clear();
    }

    /// So many questions are known by what follows them.
    pub(super) fn questions(&self) -> usize {
        self.markov.len()
    }

    /// Whether it is not known what an answer costs.
    pub(super) fn lacks_cost(&self, id: Fingerprint) -> bool {
        self.known.get(&id).is_none_or(|known| known.cost.is_none())
    }

    /// Until when nothing is fetched, because it did not pay.
    pub(super) fn stopped_until(&self) -> Option<Instant> {
        self.balance.stopped_until()
    }

    /// What was spent within a day, in dollars.
    pub(super) fn spent(&mut self, now: Instant) -> f64 {
        self.purse.spent(now)
    }

    fn meet(
        &mut self,
        (question, variant): (Fingerprint, u32),
        ttl: Duration,
        now: Instant,
        plan: &mut Plan,
    ) {
        let id = question.variant(variant);
        if self.known.len() >= KNOWN && !self.known.contains_key(&id) {
            self.make_room(now, plan);
        }
        // Another answer to a question costs and takes what the one before did.
        let alike = self.known.get(&question);
        let (cost, wait) = alike.map_or((None, None), |known| (known.cost, known.wait));
        self.known.entry(id).or_insert_with(|| Known {
            question,
            variant,
            ttl,
            cost,
            wait,
            demand: Demand::new(now),
            fresh_until: now,
            used: now,
            has_appointment: false,
            forecasts: [None; 2],
            fetched: None,
        });
    }

    /// Forgets the eighth of which nothing was heard for the longest time. What was forecast or fetched of it can come true
    /// no more as far as can be seen, and is taken for what did not: else nobody would learn that it is in vain.
    fn make_room(&mut self, now: Instant, plan: &mut Plan) {
        let mut ages: Vec<_> = self.known.values().map(Known::touched).collect();
        let eighth = ages.len() / 8;
        let oldest = *ages.select_nth_unstable(eighth).1;
        let is_old = |_: &Fingerprint, known: &mut Known| {
            known.touched() <= oldest && !known.fetched.is_some_and(|it| it.is_under_way)
        };
        let gone: Vec<_> = self.known.extract_if(is_old).collect();
        for (_, known) in gone {
            for kind in Kind::ALL {
                if let Some(forecast) = known.forecasts[kind as usize] {
                    self.calibration
                        .note(kind, forecast.likelihood, forecast.came_true);
                }
            }
            if let Some(fetched) = known.fetched {
                self.settle(fetched, false, now, plan);
            }
        }
        // Of what is forgotten nothing is due.
        let known = &self.known;
        self.due
            .retain(|Reverse((_, id, _))| known.contains_key(id));
    }

    /// What was forecast or fetched is asked for.
    fn come_true(&mut self, id: Fingerprint, is_there: bool, now: Instant, plan: &mut Plan) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        for forecast in known.forecasts.iter_mut().flatten() {
            forecast.came_true |= forecast.from <= now && now <= forecast.until;
        }
        if let Some(fetched) = known.fetched.filter(|it| it.from <= now && now <= it.until) {
            known.fetched = None;
            // Where it was evicted meanwhile, it was of no use.
            self.settle(fetched, is_there || fetched.is_under_way, now, plan);
        }
    }

    fn settle(&mut self, fetched: Fetched, was_used: bool, now: Instant, plan: &mut Plan) {
        let Fetched { kind, stake, .. } = fetched;
        plan.settled.push(Settled {
            kind,
            stake,
            was_used,
        });
        let Rules { value, per_day, .. } = self.rules;
        let verdict = self.balance.settle(stake, was_used, value, per_day, now);
        plan.verdict = verdict.or(plan.verdict);
    }

    /// A forecast's time is over.
    fn judge(&mut self, id: Fingerprint, kind: Kind, now: Instant) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        if let Some(forecast) = known.forecasts[kind as usize].take_if(|it| it.until <= now) {
            self.calibration
                .note(kind, forecast.likelihood, forecast.came_true);
        }
    }

    /// What was fetched is fresh no more.
    fn expire(&mut self, id: Fingerprint, now: Instant, plan: &mut Plan) {
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        if let Some(fetched) = known.fetched.take_if(|it| it.until <= now) {
            self.settle(fetched, false, now, plan);
        }
    }

    /// Has something thought of later. Says whether there was room for it; for what was paid for there always is.
    fn remind(&mut self, at: Instant, id: Fingerprint, due: Due) -> bool {
        let has_room = self.due.len() < PENDING || due == Due::Fetched;
        if has_room {
            self.due.push(Reverse((at, id, due)));
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
