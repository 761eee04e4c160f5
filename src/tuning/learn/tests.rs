use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::book::{digest, pair_of};
use super::*;
use crate::compressor::{self, Compressor, Kind, Level, Rule, Unit};
use crate::tuning::journal::Action;

const LONG: &str = "You are the assistant of a company that sells furniture, and it is your task to help the people who write \
    to the company. When somebody asks you a question about an order, then you should first of all take a look at the number \
    of the order, which has 8 digits, and only after that you should answer the question.";
const SHORT: &str = "You assist a furniture company's customers. For questions about an order, first look at its number \
    (8 digits), only then answer.";

fn settings(directory: &Path, mode: Mode) -> config::Learning {
    config::Learning {
        mode,
        file: directory.join("rules.toml"),
        holdout: 0.2,
        callers: 2,
    }
}

fn lesson() -> compressor::Lesson {
    compressor::Lesson {
        role: Role::System,
        unit: Unit::Text,
        text: LONG.into(),
        with: SHORT.into(),
    }
}

fn rule() -> String {
    id(&digest(Role::System, Unit::Text, LONG))
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

/// Somebody who learns, and what they have to do with.
struct School {
    shelf: Shelf,
    versions: Arc<Versions>,
    journal: Journal,
    student: Student,
    settings: config::Learning,
}

impl School {
    fn new(directory: &Path, mode: Mode) -> Self {
        let settings = settings(directory, mode);
        let shelf = Shelf::new(settings.file.clone());
        let book = shelf.read().unwrap();
        let versions = Arc::new(Versions::new(book.version, book.lessons(book.version)));
        let journal = Journal::default();
        let known = shelf.statistics().unwrap();
        let mut student = Student::new(
            settings.clone(),
            shelf.clone(),
            known,
            Arc::clone(&versions),
            journal.clone(),
        );
        student.since = hours(0);
        Self {
            shelf,
            versions,
            journal,
            student,
            settings,
        }
    }

    /// The operator approves the shorter text.
    fn approve(&self) {
        let approve = |book: &mut Book| {
            book.put(Entry {
                lesson: lesson(),
                state: State::Approved,
                is_pinned: false,
                span: Span::begin_after(book.version),
                before: None,
                note: None,
            });
        };
        self.shelf.change(approve).unwrap();
    }

    /// A first request of a conversation, the way that it would go; gives whether it is held out.
    fn ask(&mut self, caller: u64, body: &Value, outcome: impl Fn(bool) -> Outcome) -> bool {
        let body = Bytes::from(body.to_string());
        let json = Json::parse(body.clone()).unwrap();
        let plan = Plan::uniform(&Compressor::new(Level::Balanced));
        let conversation = Conversation::of(json.root(), &[0; 32]);
        let (version, lessons) = self.versions.of(conversation);
        let is_held = conversation.is_held_out(self.settings.holdout);
        let heard = Heard {
            body,
            caller,
            plan: if is_held {
                Plan::default()
            } else {
                plan.with(&lessons)
            },
            lot: Some(Lot {
                version,
                lessons,
                conversation: conversation.name,
                is_held,
                is_new: conversation.is_new,
            }),
            saved: Saved::default(),
            outcome: outcome(is_held),
            price: 3_000_000,
        };
        self.student.listen(&heard, Instant::now(), hours(0));
        is_held
    }
}

fn body(system: &str, question: &str) -> Value {
    json!({"model": "m", "messages": [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
    ]})
}

/// Questions that are not alike.
fn question(n: u64) -> String {
    format!("a{n} b{n} c{n} d{n} e{n} f{n} g{n} h{n}?")
}

fn answered(answer: u64) -> Outcome {
    Outcome::Answered {
        prompt: 100,
        answer,
        is_cut: Some(false),
    }
}

#[test]
fn what_is_approved_comes_into_force_and_what_follows_a_day_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    school.student.tick(hours(0));
    assert_eq!(school.versions.live().version, 0);
    school.approve();
    school.student.tick(hours(0));
    let live = school.versions.live();
    assert_eq!((live.version, live.lessons.len()), (1, 1));
    // A person edits the file by hand: what is in force stays until its day is over.
    let text = std::fs::read_to_string(school.shelf.path()).unwrap();
    let edited = text.replace(
        "(8 digits), only then answer.",
        "(8 digits), only then reply.",
    );
    assert_ne!(edited, text);
    std::fs::write(school.shelf.path(), edited).unwrap();
    school.student.tick(hours(1));
    assert_eq!(school.versions.live().lessons, live.lessons);
    (0..60).for_each(|_| school.student.tick(hours(24)));
    let next = school.versions.live();
    assert_eq!((next.version, school.shelf.read().unwrap().version), (2, 2));
    assert_ne!(next.lessons, live.lessons);
    // A file that is broken, or gone, changes nothing at once.
    std::fs::write(school.shelf.path(), "version = ").unwrap();
    school.student.tick(hours(25));
    assert_eq!(school.versions.live().lessons, next.lessons);
    std::fs::remove_file(school.shelf.path()).unwrap();
    school.student.tick(hours(26));
    assert_eq!(school.versions.live().lessons, next.lessons);
    let told = school.journal.entries();
    assert!(
        told.iter()
            .all(|entry| entry.decision.action == Action::Applied)
    );
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_body_that_comes_again_and_again_is_one_conversation() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    for _ in 0..30 {
        school.ask(1, &body(LONG, "hi"), |_| Outcome::Failed);
    }
    let trial = school.student.known().trial;
    assert_eq!(trial.treated.requests + trial.held.requests, 1);
    assert_eq!(trial.treated.again + trial.held.again, 1);
}

#[test]
fn short_texts_and_what_was_said_before_are_not_tried() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    school.ask(1, &body("We went home.", "hi"), |_| answered(9));
    assert!(school.student.kinds.all().is_empty());
    let long = LONG.repeat(2);
    let mut turns = body(&long, "hi");
    let more = [
        json!({"role": "assistant", "content": long}),
        json!({"role": "user", "content": "And then?"}),
    ];
    turns["messages"].as_array_mut().unwrap().extend(more);
    school.ask(1, &turns, |_| answered(9));
    assert!(school.student.kinds.all().is_empty(), "it came before");
    school.ask(1, &body(&long, "hi"), |_| answered(9));
    assert!(!school.student.kinds.all().is_empty());
}

#[test]
fn a_rule_that_is_approved_anew_is_not_stopped_by_what_was_counted_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    school.approve();
    school.student.tick(hours(0));
    for n in 0..400_u64 {
        let outcome = |is_held: bool| {
            if is_held {
                answered(9)
            } else {
                Outcome::Failed
            }
        };
        school.ask(n, &body(LONG, &question(n)), outcome);
    }
    school.student.decide(hours(1));
    assert_eq!(school.versions.live().lessons.len(), 0, "it did harm");
    school.approve();
    (0..60).for_each(|_| school.student.tick(hours(48)));
    school.student.decide(hours(49));
    assert_eq!(
        school.versions.live().lessons.len(),
        1,
        "it has another trial"
    );
}

#[tokio::test]
async fn rules_that_can_be_read_and_not_written_are_applied() {
    let directory = tempfile::tempdir().unwrap();
    School::new(directory.path(), Mode::Act).approve();
    let lock = directory.path().join("rules.lock");
    std::fs::remove_file(&lock).unwrap();
    // Nobody, not even root, can open a directory as a lock.
    std::fs::create_dir(&lock).unwrap();
    let learning = Learning::start(&settings(directory.path(), Mode::Act), Journal::default());
    let learning = learning.unwrap();
    assert_eq!(learning.shared.versions.live().lessons.len(), 1);
    learning.close().await;
    let mut school = School::new(directory.path(), Mode::Act);
    school.student.tick(hours(0));
    (0..60).for_each(|_| school.student.tick(hours(1)));
    let live = school.versions.live();
    assert_eq!((live.version, live.lessons.len()), (1, 1));
}

/// What a request is told of more than once is heard once, as it ended.
#[tokio::test]
async fn a_request_with_several_attempts_is_heard_once() {
    let directory = tempfile::tempdir().unwrap();
    let learning = Learning::start(&settings(directory.path(), Mode::Act), Journal::default());
    let learning = learning.unwrap();
    let json = Json::parse(Bytes::from(body(LONG, "hi").to_string())).unwrap();
    let plan = Plan::uniform(&Compressor::new(Level::Balanced));
    let treatment = learning.treat(&plan, false, &json, &[1; 32]);
    let note = |outcome| {
        let who = Who::default();
        let over = Over {
            body: json.text(),
            who: &who,
            plan: &plan,
            treatment: &treatment,
            saved: Saved::default(),
            outcome,
            price: 0,
        };
        learning.note(&over).unwrap()
    };
    note(Outcome::Failed).forget();
    drop(note(answered(9)));
    learning.close().await;
    let known = learning.known();
    assert_eq!(known.heard, (1, 0));
    let arms = [known.trial.treated, known.trial.held];
    assert_eq!(arms.map(|arm| arm.requests).iter().sum::<u64>(), 1);
    assert_eq!(arms.map(|arm| arm.failed), [0, 0]);
}

#[test]
fn who_observes_applies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Observe);
    school.approve();
    (0..61).for_each(|_| school.student.tick(hours(48)));
    assert_eq!(school.versions.live().version, 0);
    assert_eq!(school.shelf.read().unwrap().version, 0);
}

/// Every third answer fails where the text is shortened.
fn harm(n: u64) -> impl Fn(bool) -> Outcome {
    move |is_held| {
        if !is_held && n.is_multiple_of(3) {
            Outcome::Failed
        } else {
            answered(90 + n % 20)
        }
    }
}

#[test]
fn a_rule_without_which_answers_are_better_goes_off_by_itself_unless_it_is_pinned() {
    for is_pinned in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut school = School::new(directory.path(), Mode::Act);
        school.approve();
        let pin = |book: &mut Book| book.find_mut(&rule()).unwrap().is_pinned = is_pinned;
        school.shelf.change(pin).unwrap();
        school.student.tick(hours(0));
        let mut held = 0;
        for n in 0..400_u64 {
            held += u64::from(school.ask(n, &body(LONG, &question(n)), harm(n)));
        }
        assert!(held >= 50, "{held}");
        school.student.decide(hours(1));
        let live = school.versions.live();
        let entry = school.shelf.read().unwrap().find(&rule()).unwrap().clone();
        let told = school.journal.entries();
        let stopped = told
            .iter()
            .find(|entry| entry.decision.action == Action::RolledBack);
        if is_pinned {
            assert_eq!(
                (live.version, live.lessons.len(), entry.state),
                (1, 1, State::Approved)
            );
            assert!(stopped.is_none());
            continue;
        }
        // Harm is not borne for a day.
        assert_eq!(
            (live.version, live.lessons.len(), entry.state),
            (2, 0, State::Stopped)
        );
        let decision = &stopped.unwrap().decision;
        assert!(decision.subject.contains(&rule()), "{decision:?}");
        assert!(
            decision.evidence.contains("more requests fail"),
            "{decision:?}"
        );
        // Nothing of what people say is in the journal.
        assert!(!format!("{told:?}").contains("furniture"));
    }
}

/// What an operator approved in its place meanwhile need not wait then.
#[test]
fn a_text_that_does_harm_gives_way_to_the_one_that_was_approved_since() {
    const OTHER: &str = "You assist the customers of a furniture company.";
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    school.approve();
    school.student.tick(hours(0));
    let replace = |book: &mut Book| {
        let mut entry = book.find(&rule()).unwrap().clone();
        entry.lesson.with = OTHER.into();
        entry.span = Span::begin_after(book.version);
        book.put(entry);
    };
    school.shelf.change(replace).unwrap();
    school.student.tick(hours(0));
    assert_eq!(school.versions.live().version, 1);
    for n in 0..400_u64 {
        school.ask(n, &body(LONG, &question(n)), harm(n));
    }
    school.student.decide(hours(1));
    let (live, book) = (school.versions.live(), school.shelf.read().unwrap());
    let entry = book.find(&rule()).unwrap();
    assert_eq!((live.version, live.lessons.len()), (2, 1));
    assert_eq!(entry.lesson_in(2).unwrap().with.as_ref(), OTHER);
    assert_eq!(entry.state, State::Approved);
    assert!(entry.note.as_ref().unwrap().contains("more requests fail"));
    assert!(
        book.has_ended_since(1),
        "conversations under way have it too"
    );
    let told = school.journal.entries();
    let mut stopped = told
        .iter()
        .filter(|entry| entry.decision.action == Action::RolledBack);
    let stopped = stopped.next().unwrap();
    assert!(stopped.decision.after.contains("approved in its place"));
}

#[test]
fn a_rule_that_does_no_harm_stays_and_its_gain_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    school.approve();
    school.student.tick(hours(0));
    for n in 0..400_u64 {
        school.ask(n, &body(LONG, &question(n)), |_| answered(90 + n % 20));
    }
    school.student.decide(hours(1));
    assert_eq!(school.versions.live().version, 1);
    let known = school.student.known();
    assert_eq!((known.version, known.rules, known.heard), (1, 1, (400, 0)));
    let trial = known.trial;
    assert_eq!(trial.treated.requests + trial.held.requests, 400);
    assert!(
        school
            .journal
            .entries()
            .iter()
            .any(|entry| entry.measured.is_some())
    );
    // The next process goes on from there.
    school.student.close(hours(2));
    let again = School::new(directory.path(), Mode::Act);
    assert_eq!(again.student.known().trial, trial);
    assert!(
        again
            .student
            .trials
            .contains_key(&(0, Some(pair_of(&lesson()))))
    );
}

#[test]
fn callers_who_ask_again_are_counted_against_what_they_were_answered_under() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    let first = "Which of the chairs in the catalogue are made of oak and can be had by Friday?";
    let again = "Which chairs of the catalogue are made of oak and can be had by Friday, please?";
    let is_held = school.ask(1, &body("s", first), |_| answered(9));
    school.ask(2, &body("s", first), |_| answered(9));
    school.ask(1, &body("s", again), |_| answered(9));
    let trial = school.student.known().trial;
    let (mine, other) = if is_held {
        (trial.held, trial.treated)
    } else {
        (trial.treated, trial.held)
    };
    assert_eq!((mine.again, other.again), (1, 0));
}

#[test]
fn a_text_is_costly_once_enough_callers_sent_it_and_a_text_of_one_caller_never_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Observe);
    let secret = LONG.replace("furniture", "secrets");
    for n in 0..30 {
        school.ask(7, &body(&secret, &question(n)), |_| answered(9));
        school.ask(n % 3, &body(LONG, &question(n)), |_| answered(9));
        // What failed cost nothing.
        school.ask(n, &body("This one is never answered, however often it is sent, and so it is never counted either, as \
            long as it may be. This is the end of it, and here it ends. It does end here. And this is where it ends.", ""), |_| Outcome::Failed);
    }
    school.student.close(hours(24));
    let statistics = school.shelf.statistics().unwrap();
    let costly = statistics.costly();
    let texts: Vec<_> = costly
        .iter()
        .filter(|passage| passage.unit() == Unit::Text)
        .collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(
        (texts[0].text.as_deref(), texts[0].count, texts[0].id()),
        (Some(LONG), 30, rule())
    );
    let file = std::fs::read_to_string(school.shelf.path().with_extension("stats.json")).unwrap();
    assert!(!file.contains("secrets") && !file.contains("never answered"));
    school.student.decide(hours(24));
    let told = school.journal.entries();
    assert_eq!(
        told.len(),
        0,
        "a cent a day is worth nobody's time: {told:?}"
    );
}

#[test]
fn texts_that_nobody_repeats_are_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Observe);
    let mut random = fastrand::Rng::with_seed(3);
    for n in 0..60 {
        let words = |random: &mut fastrand::Rng| {
            let word = |_| {
                std::iter::repeat_with(|| random.lowercase())
                    .take(7)
                    .collect::<String>()
            };
            (0..60).map(word).collect::<Vec<_>>().join(" ")
        };
        let text = format!("{}.\n\n{}.", words(&mut random), words(&mut random));
        school.ask(n, &body(&text, &question(n)), |_| answered(9));
    }
    school.student.close(hours(24));
    assert!(school.shelf.statistics().unwrap().costly().is_empty());
}

#[test]
fn rules_that_never_pay_are_left_out_by_kind_and_tried_again_after_a_week() {
    let directory = tempfile::tempdir().unwrap();
    let mut school = School::new(directory.path(), Mode::Act);
    for n in 0..2_000 {
        let home = "We went home. ".repeat(20);
        school.ask(n % 5, &body(home.trim_end(), &question(n)), |_| answered(9));
    }
    school.student.decide(hours(23));
    assert!(
        school.shelf.read().unwrap().skips.is_empty(),
        "not before a day is over"
    );
    school.student.decide(hours(24));
    let live = school.versions.live();
    assert_eq!(live.version, 1);
    assert!(live.lessons.skipped() > 0);
    let plan = Plan::uniform(&Compressor::new(Level::Balanced)).with(&live.lessons);
    assert!(
        plan.of(Role::System)
            .unwrap()
            .skips_in(Rule::Phrases, Kind::Prose)
    );
    assert!(
        !plan
            .of(Role::System)
            .unwrap()
            .skips_in(Rule::Phrases, Kind::Json),
        "it was not seen"
    );
    school.student.decide(hours(48));
    assert_eq!(school.versions.live().version, 1, "nothing new");
    // An operator who denies it has it tried for ever.
    let deny = |book: &mut Book| {
        let version = book.version;
        let skip = book.skip_mut(Rule::Phrases, Kind::Prose).unwrap();
        skip.state = State::Denied;
        skip.span.end_after(version);
    };
    school.shelf.change(deny).unwrap();
    (0..60).for_each(|_| school.student.tick(hours(49)));
    let live = school.versions.live();
    assert_eq!(live.version, 2);
    school.student.decide(hours(24 + 7 * 24));
    assert_eq!(
        (
            school.versions.live().version,
            school.versions.live().lessons.skipped()
        ),
        (3, 0)
    );
    let told = school.journal.entries();
    let subjects = told
        .iter()
        .filter(|entry| entry.decision.subject.contains("never pay"));
    assert_eq!(subjects.count(), 2, "left out, and tried again: {told:?}");
}

#[test]
fn nothing_is_learned_where_it_is_off() {
    let directory = tempfile::tempdir().unwrap();
    let off = Learning::start(&settings(directory.path(), Mode::Off), Journal::default());
    assert!(off.is_none());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// A conversation that began before a version keeps, turn by turn, the bytes that it has sent.
#[tokio::test]
async fn a_growing_conversation_keeps_its_prefix_through_a_change_of_versions() {
    let directory = tempfile::tempdir().unwrap();
    let mut act = settings(directory.path(), Mode::Act);
    act.holdout = 0.0;
    let learning = Learning::start(&act, Journal::default()).unwrap();
    let plan = Plan::uniform(&Compressor::new(Level::Balanced));
    let read = |messages: &[Value]| {
        let body = json!({"model": "m", "messages": messages});
        Json::parse(Bytes::from(body.to_string())).unwrap()
    };
    let treat = |messages: &[Value]| learning.treat(&plan, false, &read(messages), &[1; 32]);
    let sent = |messages: &[Value]| {
        let json = read(messages);
        let treatment = learning.treat(&plan, false, &json, &[1; 32]);
        let plan = treatment.plan.as_ref().unwrap_or(&plan);
        let edited = crate::layers::compress::compress_messages(&json, plan, None);
        let text = edited.map_or_else(|| json.text().clone(), |edited| edited.json.text().clone());
        let sent: Value = serde_json::from_slice(&text).unwrap();
        sent["messages"].as_array().unwrap().clone()
    };
    let publish = |version, with: &str| {
        let lesson = compressor::Lesson {
            with: with.into(),
            ..lesson()
        };
        let lessons = compressor::Lessons::new(vec![lesson], compressor::Skips::default());
        learning.shared.versions.publish(version, lessons, true);
    };
    let system = json!({"role": "system", "content": LONG});
    let turn = |role: &str, text: &str| json!({"role": role, "content": text});
    let mut conversations: Vec<Vec<Value>> = Vec::new();
    let mut before: Vec<Vec<Value>> = Vec::new();
    for round in 0..6_u32 {
        if round == 2 || round == 4 {
            // The second change is one too many for the first conversation; it is not tried here.
            conversations.retain(|messages| messages.len() < 5);
            before = conversations
                .iter()
                .map(|messages| sent(messages))
                .collect();
            publish(round, if round == 2 { SHORT } else { "You assist." });
        }
        conversations.push(vec![
            system.clone(),
            turn("user", &format!("question {round}")),
        ]);
        before.push(Vec::new());
        for (messages, before) in conversations.iter_mut().zip(&mut before) {
            let now = sent(messages);
            assert_eq!(&now[..before.len()], &before[..], "round {round}");
            *before = now;
            messages.push(turn("assistant", "An answer."));
            messages.push(turn("user", "And then?"));
        }
    }
    let systems: std::collections::BTreeSet<_> =
        before.iter().map(|sent| sent[0].to_string()).collect();
    assert_eq!(systems.len(), 2, "two versions are in use");
    // The name of what comes out follows the version, so that what was kept under another one is not found.
    let name = learning.name(&plan, false, None);
    let kept = treat(&[system]);
    publish(9, SHORT);
    assert_ne!(learning.name(&plan, false, None), name);
    assert_ne!(
        learning.name(&plan, false, None),
        learning.name(&plan, true, None)
    );
    // And who has an earlier one does not leave its answer under the name of the one in force.
    assert_eq!(learning.name(&plan, false, Some(&kept)), name);
    learning.close().await;
}
