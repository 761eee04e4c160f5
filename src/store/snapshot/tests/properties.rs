//! Answers come and go, time passes, and the process is started anew: random sequences of it against a plain map.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

/// How long answers are of use in these sequences, which pass times up to it (milliseconds).
const LIFE: u64 = 1_000;
const MODELS: [&str; 3] = ["m", "n/x", ""];
const SCOPES: [&[u8]; 2] = [b"me", b"you"];

/// One step of a sequence.
#[derive(Debug, Clone)]
enum Step {
    Store(Answer),
    /// A call begins; the next answer of one lands under the clears since then.
    Begin,
    Land(Answer),
    Clear(Filter),
    Count(Filter),
    Pass(u64),
    Sweep,
    /// The process ends, is away for so long, and reads its snapshot.
    Restart(u64),
}

#[derive(Debug, Clone)]
struct Answer {
    key: u8,
    model: usize,
    scope: usize,
    length: usize,
}

/// What should be there: a map with the times at which answers were made.
#[derive(Default)]
struct Model {
    now: u64,
    answers: HashMap<u8, (Answer, u64)>,
    /// The clears since the call began that is to land.
    since: Vec<Filter>,
}

/// What is there, in one life of the process after another.
struct Real {
    eviction: Eviction,
    memory: Memory,
    place: Place,
    begun: Generation,
}

// === impl Model ===

impl Model {
    fn is_about(&self, filter: &Filter, answer: &Answer, made: u64) -> bool {
        filter
            .model
            .as_deref()
            .is_none_or(|model| model == MODELS[answer.model])
            && filter
                .scope
                .is_none_or(|scope| scope == digest(SCOPES[answer.scope]))
            && filter
                .older_than
                .is_none_or(|least| Duration::from_millis(self.now - made) >= least)
    }

    fn about(&self, filter: &Filter) -> usize {
        let answers = self.answers.values();
        // What is past its life is as good as gone.
        answers
            .filter(|(_, made)| self.now - *made <= LIFE)
            .filter(|(answer, made)| self.is_about(filter, answer, *made))
            .count()
    }

    fn clear(&mut self, filter: &Filter) -> usize {
        let cleared = self.about(filter);
        let mut answers = std::mem::take(&mut self.answers);
        answers.retain(|_, (answer, made)| !self.is_about(filter, answer, *made));
        self.answers = answers;
        self.since.push(filter.clone());
        cleared
    }

    /// Whether the call that began may have its answer kept.
    fn admits(&self, answer: &Answer) -> bool {
        let mut since = self.since.iter();
        !since.any(|filter| self.is_about(filter, answer, self.now))
    }

    fn store(&mut self, answer: Answer) {
        self.answers.insert(answer.key, (answer, self.now));
    }

    /// Forgets what is past its life, and says how many that were.
    fn sweep(&mut self) -> usize {
        let before = self.answers.len();
        let now = self.now;
        self.answers.retain(|_, (_, made)| now - *made <= LIFE);
        before - self.answers.len()
    }
}

// === impl Real ===

impl Real {
    fn new(eviction: Eviction) -> Self {
        let memory = Self::memory(eviction);
        Self {
            eviction,
            begun: memory.generation(),
            memory,
            place: Place::new(),
        }
    }

    fn memory(eviction: Eviction) -> Memory {
        Memory::new(Limits {
            life: Duration::from_millis(LIFE),
            max_entries: 1_000,
            max_bytes: 1 << 24,
            eviction,
        })
    }

    fn store(&self, answer: &Answer, begun: Generation) -> bool {
        let entry = Entry::new(
            body(answer).into(),
            Usage::estimated(answer.length as u64, 4),
            MODELS[answer.model],
            digest(SCOPES[answer.scope]),
        );
        let kept = self
            .memory
            .store(digest(&[answer.key]), entry.into(), begun);
        kept.is_ok()
    }

    fn restart(&mut self, ends: u64, begins: u64) {
        let moment = |at| Moment {
            boot: "this one".to_owned(),
            uptime: Duration::from_millis(at),
            unix: Duration::ZERO,
        };
        let life = Duration::from_millis(LIFE);
        let of = |memory: &Memory| Snapshot::new(self.place.path.clone(), memory.clone(), life);
        of(&self.memory).write_at(&moment(ends)).unwrap();
        self.memory = Self::memory(self.eviction);
        self.begun = self.memory.generation();
        let read = of(&self.memory).read_at(&moment(begins), self.begun);
        assert_eq!(read.unwrap(), self.memory.len());
    }
}

fn body(answer: &Answer) -> String {
    format!("{answer:?} ").repeat(answer.length)
}

/// Takes one step in both.
async fn step(model: &mut Model, real: &mut Real, step: Step) {
    match step {
        Step::Store(answer) => {
            assert!(real.store(&answer, real.memory.generation()));
            model.store(answer);
        }
        Step::Begin => {
            real.begun = real.memory.generation();
            model.since.clear();
        }
        Step::Land(answer) => {
            let is_kept = real.store(&answer, real.begun);
            assert_eq!(is_kept, model.admits(&answer));
            if is_kept {
                model.store(answer);
            }
        }
        Step::Clear(filter) => {
            let cleared = real.memory.clear(&filter).len();
            assert_eq!(cleared, model.clear(&filter));
        }
        Step::Count(filter) => {
            let counted = real.memory.matching(&filter).len();
            assert_eq!(counted, model.about(&filter));
        }
        Step::Pass(millis) => {
            advance(Duration::from_millis(millis)).await;
            model.now += millis;
        }
        Step::Sweep => assert_eq!(real.memory.sweep(), model.sweep() as u64),
        Step::Restart(away) => {
            real.restart(model.now, model.now + away);
            model.now += away;
            model.sweep();
            model.since.clear();
        }
    }
}

/// The same answers, with all that is known of them.
fn assert_same(model: &Model, real: &Real) {
    assert_eq!(real.memory.len(), model.answers.len() as u64);
    for key in 0..8 {
        let found = real.memory.find(digest(&[key]));
        let found = found.map(|entry| {
            let age = u64::try_from(entry.age().as_millis()).unwrap();
            let body = String::from_utf8(entry.body.to_vec()).unwrap();
            (body, entry.model.to_string(), entry.usage, entry.scope, age)
        });
        let expected = model.answers.get(&key).and_then(|(answer, made)| {
            let age = model.now - made;
            let model = MODELS[answer.model].to_owned();
            let usage = Usage::estimated(answer.length as u64, 4);
            let scope = digest(SCOPES[answer.scope]);
            (age <= LIFE).then(|| (body(answer), model, usage, scope, age))
        });
        assert_eq!(found, expected);
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let length = prop_oneof![4 => 1_usize..4, 1 => Just(500)];
    (0_u8..8, 0..MODELS.len(), 0..SCOPES.len(), length).prop_map(|(key, model, scope, length)| {
        Answer {
            key,
            model,
            scope,
            length,
        }
    })
}

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1_u64..300, Just(LIFE / 2), Just(LIFE)]
}

fn filter() -> impl Strategy<Value = Filter> {
    let model = option::of(prop_oneof![
        3 => (0..MODELS.len()).prop_map(|model| MODELS[model]),
        1 => Just("none"),
    ]);
    let scope = option::of(0..SCOPES.len());
    let older_than = option::of(millis());
    (model, scope, older_than).prop_map(|(model, scope, older_than)| Filter {
        model: model.map(Into::into),
        scope: scope.map(|scope| digest(SCOPES[scope])),
        older_than: older_than.map(Duration::from_millis),
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => answer().prop_map(Step::Store),
        1 => Just(Step::Begin),
        2 => answer().prop_map(Step::Land),
        2 => filter().prop_map(Step::Clear),
        2 => filter().prop_map(Step::Count),
        4 => millis().prop_map(Step::Pass),
        1 => Just(Step::Sweep),
        1 => millis().prop_map(Step::Restart),
    ];
    vec(step, 1..60)
}

fn behaves_like_a_map(eviction: Eviction, steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (mut model, mut real) = (Model::default(), Real::new(eviction));
        for next in steps {
            step(&mut model, &mut real, next).await;
            assert_same(&model, &real);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn by_use_it_behaves_like_a_map(steps in steps()) {
        behaves_like_a_map(Eviction::Lru, steps);
    }

    #[test]
    fn by_value_it_behaves_like_a_map(steps in steps()) {
        behaves_like_a_map(Eviction::Value, steps);
    }
}
