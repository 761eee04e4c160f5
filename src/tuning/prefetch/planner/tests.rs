//! The planner on traces, before a cache, with waits and prices: what it gains where there are habits, and what it may lose
//! where there are none. All of it with seeds, and by the clock of the trace alone.

use std::collections::VecDeque;

use super::*;
use crate::fingerprint::digest;
use crate::tuning::prefetch::economics::{Stake, Value, Verdict};

const TTL: Duration = Duration::from_mins(10);
const WAIT: f64 = 3.0;
const COST: f64 = 0.002;
/// What a second is worth by default.
const VALUE: f64 = 0.001;

fn rules() -> Rules {
    Rules {
        value: Value(VALUE),
        per_day: 1.0,
        max_share: 0.25,
        variants: 1,
    }
}

/// A cache with a planner beside it, and one without.
struct Scene {
    planner: Planner,
    begun: Instant,
    now: Instant,
    /// Until when answers are fresh: with the planner, and without.
    with: HashMap<Fingerprint, Instant>,
    without: HashMap<Fingerprint, Instant>,
    /// Calls that are under way, by when they are over.
    under_way: VecDeque<(Instant, Order)>,
    tally: Tally,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    asked: u32,
    misses: u32,
    misses_without: u32,
    ahead: u32,
    used: u32,
    unused: u32,
    most_in_a_day: f64,
}

impl Scene {
    fn new(rules: Rules) -> Self {
        let now = Instant::now();
        Self {
            planner: Planner::new(rules),
            begun: now,
            now,
            with: HashMap::new(),
            without: HashMap::new(),
            under_way: VecDeque::new(),
            tally: Tally::default(),
            verdicts: Vec::new(),
        }
    }

    /// Time passes.
    fn pass(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        loop {
            let call = self.under_way.front().map(|(at, _)| *at);
            let due = self.planner.next_due();
            let Some(next) = call.into_iter().chain(due).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some((_, order)) = self.under_way.pop_front_if(|(at, _)| *at <= self.now) {
                self.with.insert(order.question, self.now + TTL);
                let plan = self.planner.carried_out(&order, COST, true, self.now);
                self.follow(plan);
            }
            let plan = self.planner.turn(self.now);
            self.follow(plan);
        }
        self.now = until;
    }

    fn follow(&mut self, plan: Plan) {
        for settled in plan.settled {
            self.tally.used += u32::from(settled.was_used);
            self.tally.unused += u32::from(!settled.was_used);
        }
        self.verdicts.extend(plan.verdict);
        for order in plan.orders {
            if self.planner.admit(&order, self.now).is_ok() {
                self.tally.ahead += 1;
                let there = self.now + Duration::from_secs_f64(WAIT);
                self.under_way.push_back((there, order));
            }
            let spent = self.planner.spent(self.now);
            self.tally.most_in_a_day = self.tally.most_in_a_day.max(spent);
        }
    }

    /// A question of somebody's.
    fn ask(&mut self, who: u32, question: u32) {
        let (id, now) = (q(question), self.now);
        self.tally.asked += 1;
        let fresh = |until: Option<&Instant>| until.filter(|until| **until > now).copied();
        if fresh(self.without.get(&id)).is_none() {
            self.tally.misses_without += 1;
            self.without.insert(id, now + TTL);
        }
        let is_coming = self.under_way.iter().any(|(_, order)| order.question == id);
        let until = fresh(self.with.get(&id));
        let asked = Asked {
            owner: q(0),
            user: Some(who.to_string().into()),
            question: id,
            variant: 0,
            ttl: TTL,
            fresh_for: until.map(|until| until - now),
            cost: None,
        };
        let plan = self.planner.asked(&asked, now);
        self.follow(plan);
        if until.is_none() && !is_coming {
            self.tally.misses += 1;
            self.planner.share.deposit(1);
            self.with.insert(id, now + TTL);
            let wait = Duration::from_secs_f64(WAIT);
            self.planner.came(id, wait, Some(COST), now);
        }
    }

    /// What it came to, in dollars: the time that clients did not wait, less what was paid more.
    #[expect(clippy::print_stdout, reason = "a test says what it measured")]
    fn gain(&self, trace: &str) -> f64 {
        let Tally {
            misses,
            misses_without,
            ahead,
            asked,
            used,
            unused,
            most_in_a_day,
        } = self.tally;
        let waits = f64::from(misses_without) - f64::from(misses);
        let calls = f64::from(misses + ahead) - f64::from(misses_without);
        let gain = waits * WAIT * VALUE - calls * COST;
        let days = self.now.duration_since(self.begun).as_secs_f64() / 86_400.0;
        println!(
            "{trace}: {asked} asked in {days:.1} days; {misses_without} waits became {misses}; {ahead} calls ahead, {used} used, \
             {unused} not; ${:.2} paid more, worth ${:.2}: ${gain:.2} gained; at most ${most_in_a_day:.2} in a day; stopped {} times",
            calls * COST,
            waits * WAIT * VALUE,
            self.stops(),
        );
        gain
    }

    fn stops(&self) -> usize {
        let is_stop = |verdict: &&Verdict| matches!(verdict, Verdict::Stop(..));
        self.verdicts.iter().filter(is_stop).count()
    }
}

fn q(n: u32) -> Fingerprint {
    digest(&n.to_le_bytes())
}

/// How long until the next one, at so many an hour.
fn pause(random: &mut fastrand::Rng, per_hour: f64) -> f64 {
    -(1.0 - random.f64()).ln() * 3_600.0 / per_hour
}

/// Numbers of which the n-th is as likely as 1/n.
struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    fn of(numbers: u32) -> Self {
        let add = |sum: &mut f64, n: u32| {
            *sum += 1.0 / f64::from(n);
            Some(*sum)
        };
        Self {
            sums: (1..=numbers).scan(0.0, add).collect(),
        }
    }

    fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        let at = random.f64() * self.sums.last().unwrap();
        u32::try_from(self.sums.partition_point(|sum| *sum < at)).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_again_and_again_is_there_before_it_is_missed() {
    let rules = Rules {
        per_day: 10.0,
        max_share: 0.5,
        ..rules()
    };
    let (mut scene, mut random) = (Scene::new(rules), fastrand::Rng::with_seed(1));
    let zipf = Zipf::of(300);
    for _ in 0..30_000 {
        let next = pause(&mut random, 600.0);
        scene.pass(next);
        scene.ask(random.u32(..50), zipf.draw(&mut random));
    }
    let gain = scene.gain("zipf");
    let Tally { used, unused, .. } = scene.tally;
    assert!(gain > 1.0 && used > unused, "{gain} {:?}", scene.tally);
    assert_eq!(scene.stops(), 0);
    assert!(scene.tally.most_in_a_day <= 10.0);
}

#[tokio::test(start_paused = true)]
async fn what_usually_follows_is_there_before_it_is_asked() {
    let rules = Rules {
        per_day: 10.0,
        max_share: 0.5,
        ..rules()
    };
    let (mut scene, mut random) = (Scene::new(rules), fastrand::Rng::with_seed(2));
    // Sixty ways through eight questions, each taken every two hours or so, and left now and then.
    for session in 0..1_500 {
        let next = pause(&mut random, 30.0);
        scene.pass(next);
        let way = random.u32(..60) * 100;
        for step in 0..8 {
            let question = if random.f64() < 0.9 {
                way + step
            } else {
                random.u32(10_000..20_000)
            };
            scene.ask(session, question);
            scene.pass(20.0 + 20.0 * random.f64());
        }
    }
    let gain = scene.gain("habits");
    let Tally { used, unused, .. } = scene.tally;
    assert!(gain > 5.0 && used > 2 * unused, "{gain} {:?}", scene.tally);
    assert_eq!(scene.stops(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nothing_to_learn_next_to_nothing_is_lost() {
    for (seed, of) in [(3, 1_000_000), (4, 5_000), (5, 2_000)] {
        let (mut scene, mut random) = (Scene::new(rules()), fastrand::Rng::with_seed(seed));
        for _ in 0..20_000 {
            let next = pause(&mut random, 900.0);
            scene.pass(next);
            let (who, question) = (random.u32(..20), random.u32(..of));
            scene.ask(who, question);
        }
        let gain = scene.gain(&format!("random, of {of}"));
        // The trace lasts for two days and a third.
        assert!(
            gain > -3.0 * rules().per_day * 0.2,
            "{gain} {:?}",
            scene.tally
        );
        assert!(scene.tally.most_in_a_day <= rules().per_day);
    }
}

#[tokio::test(start_paused = true)]
async fn a_habit_that_is_given_up_costs_little_and_is_forgotten() {
    let (mut scene, mut random) = (Scene::new(rules()), fastrand::Rng::with_seed(6));
    let mut lost = Vec::new();
    for round in 0..4_000 {
        let is_kept = round < 2_000;
        let pair = 2 * random.u32(0..40);
        scene.ask(round, pair);
        scene.pass(30.0);
        // From the middle on the second question is always another one.
        scene.ask(round, if is_kept { pair + 1 } else { 1_000 + round });
        let next = pause(&mut random, 60.0);
        scene.pass(next);
        lost.push(scene.tally.unused);
    }
    let before = scene.tally.unused - (lost[3_999] - lost[1_999]);
    let after = lost[3_999] - lost[1_999];
    scene.gain("a habit that ends");
    assert!(scene.tally.used > 300, "{:?}", scene.tally);
    // In vain: fewer than a hundred of two thousand, or $0.20.
    assert!(
        after < 100,
        "{before} before, {after} after, {:?}",
        scene.tally
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_values_time_above_all_pays_no_more_than_the_budget_and_leaves_calls_to_clients() {
    let greedy = Rules {
        value: Value(1e6),
        per_day: 0.2,
        ..rules()
    };
    let (mut scene, mut random) = (Scene::new(greedy), fastrand::Rng::with_seed(7));
    for _ in 0..20_000 {
        let next = pause(&mut random, 900.0);
        scene.pass(next);
        scene.ask(random.u32(..20), random.u32(..2_000));
    }
    scene.gain("at any price");
    let Tally {
        ahead,
        misses,
        most_in_a_day,
        ..
    } = scene.tally;
    assert!(
        most_in_a_day <= 0.2 && most_in_a_day > 0.19,
        "{most_in_a_day}"
    );
    assert!(f64::from(ahead) <= f64::from(misses) / 3.0 + 8.0);
}

#[tokio::test(start_paused = true)]
async fn of_several_answers_the_one_is_fetched_that_is_next() {
    let rules = Rules {
        value: Value(1.0),
        variants: 2,
        ..rules()
    };
    let mut planner = Planner::new(rules);
    let mut now = Instant::now();
    let mut ask = |planner: &mut Planner, question: u32, variant| {
        now += Duration::from_secs(30);
        let asked = Asked {
            owner: q(0),
            user: None,
            question: q(question),
            variant,
            ttl: TTL,
            fresh_for: None,
            cost: None,
        };
        let plan = planner.asked(&asked, now);
        planner.came(
            q(question).variant(variant),
            Duration::from_secs(1),
            Some(COST),
            now,
        );
        plan.orders
    };
    assert_eq!(ask(&mut planner, 1, 0), []);
    assert_eq!(ask(&mut planner, 2, 0), []);
    let orders = ask(&mut planner, 1, 1);
    let next: Vec<_> = orders
        .iter()
        .map(|order| (order.question, order.variant))
        .collect();
    assert_eq!(next, [(q(2), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_in_vain_among_more_than_can_be_remembered_is_seen_to_be_in_vain() {
    let hopeful = Rules {
        value: Value(0.01),
        per_day: 100.0,
        ..rules()
    };
    let (mut scene, mut random) = (Scene::new(hopeful), fastrand::Rng::with_seed(8));
    // What is asked is forgotten after a quarter of an hour: before what was fetched for it expires.
    for _ in 0..100_000 {
        let next = pause(&mut random, 70_000.0);
        scene.pass(next);
        scene.ask(random.u32(..20), random.u32(..500_000));
    }
    scene.gain("random, of more than is remembered");
    let Tally {
        ahead,
        used,
        unused,
        ..
    } = scene.tally;
    // For as long as the first ones are fresh nobody can know.
    assert!(scene.stops() > 0 && ahead < 3_000, "{:?}", scene.tally);
    assert!(10 * (used + unused) > 9 * ahead, "{:?}", scene.tally);
}

#[tokio::test(start_paused = true)]
async fn what_all_share_is_no_session_unless_its_client_names_a_user() {
    for (user, expected) in [(None, 0), (Some("ann"), 1)] {
        let mut planner = Planner::new(rules());
        for question in [1, 2, 1, 2] {
            let asked = Asked {
                owner: Scope::Global.digest(),
                user: user.map(Into::into),
                question: q(question),
                variant: 0,
                ttl: TTL,
                fresh_for: None,
                cost: None,
            };
            planner.asked(&asked, Instant::now());
        }
        assert_eq!(planner.questions().min(1), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_for_and_has_failed_is_a_loss() {
    let mut planner = Planner::new(rules());
    let now = Instant::now();
    let asked = Asked {
        owner: q(0),
        user: None,
        question: q(1),
        variant: 0,
        ttl: TTL,
        fresh_for: None,
        cost: None,
    };
    planner.asked(&asked, now);
    let stake = Stake {
        cost: COST,
        wait: WAIT,
        early: 0.0,
    };
    let order = Order {
        question: q(1),
        variant: 0,
        kind: Kind::Follower,
        likelihood: 0.9,
        stake,
        min_fresh: Duration::ZERO,
    };
    for (cost, expected) in [(0.06, 1), (0.0, 0), (0.06, 1)] {
        planner.admit(&order, now).unwrap();
        let plan = planner.carried_out(&order, cost, false, now);
        assert_eq!(plan.settled.len(), expected);
        let is_loss = |it: &Settled| !it.was_used && (it.stake.cost - cost).abs() < 1e-9;
        assert!(plan.settled.iter().all(is_loss), "{plan:?}");
    }
    // More than a tenth of a day's budget was lost.
    assert!(planner.stopped_until().is_some());
}
