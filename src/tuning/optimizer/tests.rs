use tokio::time::advance;

use super::*;
use crate::chat::Usage;
use crate::fingerprint::digest;
use crate::metering::account::{Row, Savings, Source};
use crate::metering::hand::Hand;
use crate::store::{Entry, Limits as Bounds};
use crate::tuning::journal::Entry as Note;

/// What a call costs, in nano-dollars.
const COST: u64 = 2_000_000;

/// A cache with what adjusts it, and a traffic of a question a second that asks it as the layers do.
struct House {
    memory: Memory,
    times: Times,
    optimizer: Optimizer,
    journal: Journal,
    hits: u64,
}

impl House {
    fn new(settings: &str) -> Self {
        let settings = format!("[cache]\nmax_entries = 200\n{settings}");
        let config = Config::from_toml(&settings).unwrap();
        let memory = Memory::that_moves(Bounds::from(&config.cache), config.tuning.max_entries);
        let (times, journal) = (Times::new(&config.cache), Journal::default());
        let optimizer = Optimizer::new(&config, Some(memory.clone()), &times, &journal).unwrap();
        Self {
            memory,
            times,
            optimizer,
            journal,
            hits: 0,
        }
    }

    /// Asks these, one a second, and lets the optimizer look after the last.
    async fn ask(&mut self, questions: impl IntoIterator<Item = u64>) {
        let accesses = self.optimizer.accesses().unwrap();
        let mut reader = self.optimizer.reader().unwrap();
        for (n, question) in questions.into_iter().enumerate() {
            advance(Duration::from_secs(1)).await;
            let question = digest(&question.to_le_bytes());
            accesses.asked(question, Route::Create);
            let known = self.memory.find(question);
            let is_fresh = |age| age <= self.times.of(Route::Create);
            let mut row = Row::default();
            if known.is_some_and(|entry| is_fresh(entry.age())) {
                self.hits += 1;
                row.source = Source::Cache;
                row.saved = Savings {
                    cache: COST,
                    ..Savings::default()
                };
            } else {
                let entry =
                    Entry::new(vec![b'x'; 1_000].into(), Usage::default(), "m", digest(b""));
                let begun = self.memory.generation();
                self.memory.store(question, entry.into(), begun).unwrap();
                (row.source, row.cost) = (Source::Upstream, COST);
            }
            reader.read(&Hand::new(&[row]));
            if n % 100 == 0 {
                self.optimizer.take_in(Instant::now());
            }
        }
        self.optimizer.look(Instant::now());
    }

    fn newest(&self) -> Note {
        let newest = self.journal.entries().into_iter().next();
        newest.unwrap_or_else(|| panic!("{:?}", self.optimizer.standing()))
    }
}

fn in_turns(questions: u64, all: u64) -> impl Iterator<Item = u64> {
    (0..all).map(move |n| n % questions)
}

const ACT: &str = "[tuning]\nmode = \"act\"";

#[tokio::test(start_paused = true)]
async fn the_cache_grows_where_that_pays_and_what_it_brings_is_measured() {
    let mut house = House::new(&format!("ttl = \"24h\"\n{ACT}"));
    // 300 questions in turns: a cache for 200 has none of them when they come back.
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.hits, 0);
    let grown = house.newest();
    assert_eq!(grown.decision.action, Action::Applied);
    assert_eq!(house.memory.capacity().0, 400);
    house.ask(in_turns(300, 3_000)).await;
    assert!(house.hits > 2_500, "{}", house.hits);
    let (expected, measured) = (
        grown.decision.expected.unwrap(),
        house.newest().measured.unwrap(),
    );
    // A question a second for $0.002.
    assert!((150.0..175.0).contains(&expected.amount), "{expected:?}");
    assert!((150.0..175.0).contains(&measured.amount), "{measured:?}");
    // There it stays.
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.journal.entries().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_harm_is_taken_back_and_not_tried_again_for_a_day() {
    let mut house = House::new(ACT);
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.memory.capacity().0, 400);
    // From now on nothing comes back: the room is paid for in vain.
    house.ask(10_000..13_000).await;
    let newest = house.newest().decision;
    assert_eq!(newest.action, Action::RolledBack);
    assert_eq!(
        (&*newest.before, &*newest.after),
        ("400, 512MiB", "200, 256MiB")
    );
    assert_eq!(house.memory.capacity().0, 200);
    assert!(house.memory.len() <= 200);
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.memory.capacity().0, 200);
    advance(HELD).await;
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.memory.capacity().0, 400);
}

#[tokio::test(start_paused = true)]
async fn times_follow_the_ages_at_which_answers_are_asked_for() {
    let mut house = House::new(&format!("ttl = \"10m\"\n{ACT}"));
    // Each comes back after 15 minutes; the room is large enough.
    house.memory.resize(10_000, 256 << 20);
    house.ask(in_turns(900, 9_000)).await;
    assert_eq!(house.hits, 0);
    assert_eq!(house.times.of(Route::Create), Duration::from_mins(15));
    assert_eq!(house.times.of(Route::CreateChat), Duration::from_mins(10));
    house.ask(in_turns(900, 9_000)).await;
    let newest = house.newest();
    assert_eq!(&*newest.decision.subject, "cache.ttl (/create)");
    assert!(house.hits > 4_000);
    assert!(newest.measured.unwrap().amount > 50.0, "{newest:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_only_looks_changes_nothing_and_says_what_would_be_done() {
    let mut house = House::new("[tuning]\nmode = \"observe\"");
    for _ in 0..3 {
        house.ask(in_turns(300, 3_000)).await;
    }
    assert_eq!((house.memory.capacity().0, house.hits), (200, 0));
    let newest = house.newest();
    assert_eq!(
        (newest.decision.action, newest.times),
        (Action::Proposed, 3)
    );
    assert_eq!(&*newest.decision.after, "400, 512MiB");
    assert!(
        newest
            .decision
            .evidence
            .contains("more, each of which saves $0.0020"),
        "{newest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_freezes_lets_go_and_puts_back() {
    let mut house = House::new(ACT);
    house.optimizer.freeze(true);
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.memory.capacity().0, 200);
    assert_eq!(house.newest().decision.action, Action::Proposed);
    assert!(house.optimizer.standing().is_frozen);
    house.optimizer.freeze(false);
    house.ask(in_turns(300, 3_000)).await;
    assert_eq!(house.memory.capacity().0, 400);
    let line = house.optimizer.standing().settings.swap_remove(0);
    assert_eq!((&*line.configured, &*line.in_force), ("200", "400"));
    house.optimizer.reset();
    assert_eq!(house.memory.capacity().0, 200);
    assert_eq!(house.newest().decision.action, Action::Ordered);
}

/// Where nothing comes back nothing is changed, and where few come nothing is concluded.
#[tokio::test(start_paused = true)]
async fn traffic_without_repeats_changes_nothing() {
    let mut house = House::new(ACT);
    for n in 0..3 {
        house.ask(n * 3_000..(n + 1) * 3_000).await;
    }
    house.ask(in_turns(210, 400)).await;
    assert!(house.journal.entries().is_empty());
    assert_eq!(house.memory.capacity().0, 200);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_agree_with_what_was_given_is_not_believed() {
    let mut house = House::new(ACT);
    house.memory.resize(400, 512 << 20);
    house.ask(in_turns(300, 900)).await;
    // Somebody takes everything away in a way that nobody is told of.
    for _ in 0..10 {
        house.memory.resize(1, 1);
        house.memory.resize(400, 512 << 20);
        house.ask(in_turns(300, 300)).await;
    }
    assert!(house.optimizer.standing().doubts.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_loop_looks_when_its_time_has_come() {
    let house = House::new("[tuning]\nmode = \"act\"\ninterval = \"1m\"");
    let optimizer = house.optimizer.clone();
    let looked = async {
        loop {
            advance(Duration::from_secs(5)).await;
            let accesses = house.optimizer.accesses().unwrap();
            accesses.asked(digest(b"q"), Route::Create);
            tokio::task::yield_now().await;
            if house.optimizer.standing().next > Duration::from_secs(59) {
                return;
            }
        }
    };
    tokio::select! {
        never = optimizer.run(None) => match never {},
        () = looked => {}
    }
}
