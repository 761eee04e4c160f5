//! Which version of the rules a conversation has: the one in force when it began, for as long as it goes on.
//!
//! Of a conversation nothing is known but a hash of how it began, and when it last went on. Two versions are in use at
//! most: prompts change under way only where a conversation goes on through two changes, or where what it began under was
//! denied or did harm. One whose beginning is sent again as a new one has the version in force from then on, and so has
//! one that rested for longer than any provider keeps its prefix.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::compressor::{Lessons, Role};
use crate::json::Node;

/// Places for conversations, and how many of them can be in each set: 1.5 MiB in all.
const SETS: usize = 16 * 1024;
const WAYS: usize = 4;
/// A conversation that rested for longer has nothing left at its provider to keep its prefix for.
const REST: Duration = Duration::from_hours(2);

/// Conversations have the same names in all processes, so that all hold out the same ones; and so have callers.
pub(super) const NAMES: FixedState = FixedState::with_seed(0x5e9a_11c3_07d2_b4f1);
/// Which of them are held out says nothing about where they stand in the table.
const LOTS: FixedState = FixedState::with_seed(0xc0de_57a7_9b1e_6a2d);

/// The name of a conversation: a hash of whose it is and how it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Conversation {
    /// The hash.
    pub name: u64,
    /// Nobody has answered in it yet.
    pub is_new: bool,
}

/// The versions in use, and the conversations that have them.
pub(super) struct Versions {
    live: RwLock<Live>,
    sets: Box<[Mutex<[Place; WAYS]>]>,
    began: Instant,
}

/// What is in force.
#[derive(Clone)]
pub(super) struct Live {
    /// The number of the version.
    pub version: u32,
    /// What it has.
    pub lessons: Arc<Lessons>,
    /// The version before it, for conversations that began under it.
    before: Option<(u32, Arc<Lessons>)>,
}

/// A conversation in the table.
#[derive(Clone, Copy, Default)]
struct Place {
    name: u64,
    version: u32,
    /// When it went on, in seconds since the table began, from 1; zero: nobody is here.
    last: u32,
}

// === impl Conversation ===

impl Conversation {
    /// The conversation of a chat request whose caller shares answers with `owner`: what the application said first, and
    /// then the person.
    pub(super) fn of(root: &Node, owner: &[u8; 32]) -> Self {
        let messages = root.get("messages").and_then(Node::as_array);
        let messages = messages.unwrap_or_default();
        let mut began = Vec::new();
        for message in messages {
            let role = message.get("role").and_then(Node::as_str);
            let role = role.and_then(Role::of_message);
            let content = message.get("content");
            let parts = content.and_then(Node::as_array).unwrap_or_default();
            let parts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            began.extend(content.and_then(Node::as_str).into_iter().chain(parts));
            if role != Some(Role::System) {
                break;
            }
        }
        let is_answer = |message: &Node| {
            let role = message.get("role").and_then(Node::as_str);
            role.and_then(Role::of_message) == Some(Role::Assistant)
        };
        Self {
            name: NAMES.hash_one((owner, began)),
            is_new: !messages.iter().any(is_answer),
        }
    }

    /// Whether it is one of the share, from 0 to 1, that stays as it is.
    pub(super) fn is_held_out(self, share: f64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share has far fewer digits than either"
        )]
        let lot = LOTS.hash_one(self.name) as f64 / u64::MAX as f64;
        lot < share
    }
}

// === impl Versions ===

impl Versions {
    /// This version is in force.
    pub(super) fn new(version: u32, lessons: Lessons) -> Self {
        Self {
            live: RwLock::new(Live {
                version,
                lessons: Arc::new(lessons),
                before: None,
            }),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            began: Instant::now(),
        }
    }

    /// What is in force.
    pub(super) fn live(&self) -> Live {
        self.live.read().clone()
    }

    /// A name for it.
    pub(super) fn digest(&self) -> u64 {
        self.live.read().lessons.digest()
    }

    /// From now on conversations begin under this version; those under way go on under the one before it if they may,
    /// else they have this one as well.
    pub(super) fn publish(&self, version: u32, lessons: Lessons, keeps_before: bool) {
        let mut live = self.live.write();
        let before = keeps_before.then(|| (live.version, Arc::clone(&live.lessons)));
        *live = Live {
            version,
            lessons: Arc::new(lessons),
            before,
        };
    }

    /// The version of a conversation that goes on, or begins.
    pub(super) fn of(&self, conversation: Conversation) -> (u32, Arc<Lessons>) {
        let live = self.live.read();
        let before = live.before.as_ref().map(|(version, _)| *version);
        let version = self.touch(conversation, live.version, before);
        match &live.before {
            Some((before, lessons)) if *before == version => (version, Arc::clone(lessons)),
            _ => (live.version, Arc::clone(&live.lessons)),
        }
    }

    /// Notes that a conversation goes on; gives the version that it has, which is one of the two.
    fn touch(&self, conversation: Conversation, current: u32, before: Option<u32>) -> u32 {
        let Conversation { name, is_new } = conversation;
        let now = self.began.elapsed().as_secs().saturating_add(1);
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits choose the set"
        )]
        let set = name as usize % SETS;
        let mut places = self.sets[set].lock();
        let known = places
            .iter_mut()
            .find(|place| place.last > 0 && place.name == name);
        if let Some(place) = known {
            let rested = Duration::from_secs(u64::from(now.saturating_sub(place.last)));
            place.last = now;
            if is_new || rested > REST || Some(place.version) != before {
                place.version = current;
            }
            return place.version;
        }
        if let Some(place) = places.iter_mut().min_by_key(|place| place.last) {
            *place = Place {
                name,
                version: current,
                last: now,
            };
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::compressor::{Lesson, Skips, Unit};
    use crate::json::Json;

    fn conversation(body: &Value, owner: u8) -> Conversation {
        let json = Json::parse(Bytes::from(body.to_string())).unwrap();
        Conversation::of(json.root(), &[owner; 32])
    }

    fn named(name: u64) -> Conversation {
        Conversation { name, is_new: true }
    }

    fn under_way(name: u64) -> Conversation {
        let is_new = false;
        Conversation { name, is_new }
    }

    fn lessons(with: &str) -> Lessons {
        let lesson = Lesson {
            role: Role::System,
            unit: Unit::Text,
            text: "a long text that is shortened".into(),
            with: with.into(),
        };
        Lessons::new(vec![lesson], Skips::default())
    }

    #[test]
    fn a_conversation_is_known_by_its_owner_and_its_beginning() {
        let body = |system: &str, first: &str, rest: &[(&str, &str)]| {
            let mut messages = vec![
                json!({"role": "system", "content": system}),
                json!({"role": "user", "content": [{"type": "text", "text": first}]}),
            ];
            for (role, text) in rest {
                messages.push(json!({"role": role, "content": text}));
            }
            json!({"model": "m", "messages": messages})
        };
        let first = conversation(&body("s", "a", &[]), 1);
        let later = conversation(&body("s", "a", &[("assistant", "x"), ("user", "b")]), 1);
        assert!(first.is_new && !later.is_new);
        assert_eq!(first.name, later.name);
        for (other, owner) in [
            (body("s", "b", &[]), 1),
            (body("t", "a", &[]), 1),
            (body("s", "a", &[]), 2),
        ] {
            assert_ne!(conversation(&other, owner).name, first.name);
        }
        // Bodies of any form have a name.
        for odd in [
            json!({}),
            json!({"messages": 7}),
            json!({"messages": [7, {"role": 1, "content": {}}]}),
        ] {
            conversation(&odd, 1);
        }
    }

    #[test]
    fn the_share_that_is_held_out_is_the_share_that_is_set() {
        let held = |share| {
            (0..20_000)
                .filter(|name| named(*name).is_held_out(share))
                .count()
        };
        assert_eq!(held(0.0), 0);
        assert!((300..500).contains(&held(0.02)), "{}", held(0.02));
        assert!((9_700..10_300).contains(&held(0.5)), "{}", held(0.5));
        assert_eq!(held(1.0), 20_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_keeps_its_version_while_it_goes_on_through_a_change() {
        let versions = Versions::new(1, lessons("one"));
        assert_eq!(versions.of(named(7)).0, 1);
        versions.publish(2, lessons("two"), true);
        let (version, kept) = versions.of(under_way(7));
        assert_eq!((version, &*kept), (1, &lessons("one")));
        assert_eq!(versions.of(named(8)).0, 2);
        // A second change ends it: two are in use at most.
        versions.publish(3, lessons("three"), true);
        let of = |name| versions.of(under_way(name)).0;
        assert_eq!((of(7), of(8)), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_beginning_that_is_sent_again_has_the_version_in_force_and_so_has_who_rested() {
        let versions = Versions::new(1, lessons("one"));
        versions.of(named(7));
        versions.of(named(8));
        versions.publish(2, lessons("two"), true);
        assert_eq!(versions.of(named(7)).0, 2);
        assert_eq!(versions.of(under_way(7)).0, 2, "it began anew");
        tokio::time::advance(REST).await;
        assert_eq!(versions.of(under_way(8)).0, 1);
        tokio::time::advance(REST + Duration::from_secs(2)).await;
        assert_eq!(versions.of(under_way(8)).0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_harm_ends_under_way() {
        let versions = Versions::new(1, lessons("one"));
        versions.of(named(7));
        versions.publish(2, lessons("two"), false);
        let (version, lessons_of) = versions.of(under_way(7));
        assert_eq!((version, &*lessons_of), (2, &lessons("two")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_conversation_that_rested_longest_gives_up_its_place() {
        let versions = Versions::new(1, lessons("one"));
        let name = |n: u64| n * SETS as u64 + 5;
        for n in 0..WAYS as u64 {
            versions.of(named(name(n)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        versions.of(named(name(0)));
        tokio::time::advance(Duration::from_secs(1)).await;
        versions.of(named(name(99)));
        versions.publish(2, lessons("two"), true);
        let of = |n| versions.of(under_way(name(n))).0;
        assert_eq!((of(0), of(99)), (1, 1));
        assert_eq!(of(1), 2, "it was forgotten");
    }
}
