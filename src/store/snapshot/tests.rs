use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::chat::Usage;
use crate::config::Eviction;
use crate::fingerprint::digest;
use crate::store::{Entry, Filter, Limits, Store};

mod properties;

const LIFE: Duration = Duration::from_hours(1);

fn memory() -> Memory {
    Memory::new(Limits {
        life: LIFE,
        max_entries: 100,
        max_bytes: 1 << 20,
        eviction: Eviction::Lru,
    })
}

fn entry(text: &str) -> Entry {
    Entry::new(
        text.to_owned().into(),
        Usage::default(),
        "m",
        digest(b"all"),
    )
}

fn put(memory: &Memory, name: &str, text: &str) {
    let begun = memory.generation();
    memory
        .store(digest(name.as_bytes()), Arc::new(entry(text)), begun)
        .unwrap();
}

fn get(memory: &Memory, name: &str) -> Option<String> {
    let entry = memory.find(digest(name.as_bytes()))?;
    Some(String::from_utf8(entry.body.to_vec()).unwrap())
}

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("answers");
        Self {
            _directory: directory,
            path,
        }
    }

    fn of(&self, memory: &Memory) -> Snapshot {
        Snapshot::new(self.path.clone(), memory.clone(), LIFE)
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let place = Place::new();
    let before = memory();
    put(&before, "a", "short");
    put(&before, "b", &"long ".repeat(10_000));
    place.of(&before).write().await;
    let names: Vec<_> = std::fs::read_dir(place.path.parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1, "nothing is left beside it");

    let after = memory();
    put(&after, "a", "newer");
    place.of(&after).read().await;
    assert_eq!(get(&after, "a").unwrap(), "newer");
    assert_eq!(get(&after, "b").unwrap(), "long ".repeat(10_000));
    assert_eq!(after.len(), 2);
}

#[tokio::test]
async fn a_torn_changed_or_foreign_file_is_ignored() {
    let place = Place::new();
    let before = memory();
    for n in 0..20 {
        put(&before, &n.to_string(), "an answer");
    }
    place.of(&before).write().await;
    let good = std::fs::read(&place.path).unwrap();
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    let longer = [&good[..], b"x"].concat();
    let bad: [&[u8]; 7] = [
        b"",
        b"PGNSNAP1",
        b"#!/bin/sh\necho this is something else entirely, and long enough to be a snapshot",
        &good[..good.len() - 1],
        &good[..good.len() / 2],
        &changed,
        &longer,
    ];
    for bytes in bad {
        std::fs::write(&place.path, bytes).unwrap();
        let after = memory();
        place.of(&after).read().await;
        assert!(after.is_empty(), "{} bytes", bytes.len());
    }
    std::fs::write(&place.path, &good).unwrap();
    let after = memory();
    place.of(&after).read().await;
    assert_eq!(after.len(), 20);
}

#[tokio::test]
async fn what_was_cleared_while_it_was_read_does_not_come_back() {
    let place = Place::new();
    let before = memory();
    put(&before, "a", "x");
    place.of(&before).write().await;
    let after = memory();
    let begun = after.generation();
    after.clear(&Filter::default());
    assert!(!after.restore(digest(b"a"), Arc::new(entry("x")), begun));
    assert!(after.is_empty());
}

#[tokio::test]
async fn what_was_cleared_by_its_age_while_it_was_read_does_not_come_back() {
    let after = memory();
    let begun = after.generation();
    after.clear(&Filter {
        older_than: Some(Duration::from_mins(10)),
        ..Filter::default()
    });
    let of_age = |minutes| Entry {
        age_at_arrival: Duration::from_mins(minutes),
        ..entry("x")
    };
    assert!(!after.restore(digest(b"old"), Arc::new(of_age(11)), begun));
    assert!(after.restore(digest(b"new"), Arc::new(of_age(9)), begun));
    assert_eq!(after.len(), 1);
}

#[tokio::test]
async fn a_turn_lasts_until_its_work_is_done_whoever_waits_for_it() {
    let place = Place::new();
    let memory = memory();
    put(&memory, "a", "x");
    let snapshot = place.of(&memory);
    let (go, wait) = std::sync::mpsc::channel();
    let work = snapshot.in_turn(move |_| wait.recv().map_err(io::Error::other));
    assert!(work.now_or_never().is_none());
    assert_eq!(snapshot.turn.available_permits(), 0);
    let writing = async {
        go.send(()).unwrap();
        snapshot.write().await
    };
    assert!(writing.await);
    let after = self::memory();
    place.of(&after).read().await;
    assert_eq!(get(&after, "a").unwrap(), "x");
}

#[tokio::test]
async fn where_nothing_can_be_written_a_clear_takes_the_file_away() {
    let place = Place::new();
    let memory = memory();
    put(&memory, "a", "x");
    let snapshot = place.of(&memory);
    assert!(snapshot.write().await);
    std::fs::create_dir_all(beside(&place.path, std::process::id()).join("something")).unwrap();
    assert!(!snapshot.write().await);
    assert!(place.path.exists());
    memory.clear(&Filter::default());
    snapshot.write_cleared().await;
    assert!(!place.path.exists());
}

#[tokio::test]
async fn what_is_found_beside_it_is_replaced_and_not_followed() {
    let place = Place::new();
    let elsewhere = place.path.with_file_name("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, beside(&place.path, std::process::id())).unwrap();
    assert!(place.of(&memory()).write().await);
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
    assert!(place.path.symlink_metadata().unwrap().is_file());
}

#[test]
fn ages_go_on_while_the_process_is_away() {
    let moment = |boot: &str, uptime, unix| Moment {
        boot: boot.to_owned(),
        uptime: Duration::from_secs(uptime),
        unix: Duration::from_secs(unix),
    };
    let written = moment("one", 100, 1_000_000);
    // The clock on the wall jumped by a day in either direction; the machine's did not.
    for unix in [1_086_400, 913_600] {
        let passed = moment("one", 160, unix).since(&written);
        assert_eq!(passed, Duration::from_mins(1));
    }
    let restarted = moment("two", 10, 1_000_300).since(&written);
    assert_eq!(restarted, Duration::from_mins(5));
    assert_eq!(moment("two", 10, 5).since(&written), Duration::ZERO);
    let mut bytes = Vec::new();
    written.write(&mut bytes).unwrap();
    assert_eq!(Moment::read(&mut &bytes[..]).unwrap(), written);
}

#[tokio::test]
async fn what_killed_processes_left_is_removed_at_the_start() {
    let place = Place::new();
    // No process has so high a number.
    let left = beside(&place.path, u32::MAX);
    let working = beside(&place.path, 1);
    let other = place.path.with_file_name("answers.txt.tmp");
    for path in [&left, &working, &other] {
        std::fs::write(path, "half of it").unwrap();
    }
    place.of(&memory()).read().await;
    let there = [&left, &working, &other].map(|path| path.exists());
    assert_eq!(there, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn it_is_written_every_five_minutes_if_there_is_anything_new() {
    let place = Place::new();
    let memory = memory();
    let store = Store::new(memory.clone(), None, Some(place.of(&memory)));
    let watching = async {
        sleep(Duration::from_secs(1)).await;
        put(&memory, "a", "x");
        sleep(Duration::from_secs(298)).await;
        assert!(!place.path.exists());
        sleep(Duration::from_secs(2)).await;
        assert!(place.path.exists());
        std::fs::remove_file(&place.path).unwrap();
        sleep(Duration::from_mins(5)).await;
        assert!(!place.path.exists(), "nothing new");
        put(&memory, "b", "y");
        sleep(Duration::from_mins(5)).await;
        assert!(place.path.exists());
    };
    tokio::select! {
        () = watching => {}
        never = store.upkeep() => match never {},
    }
    let after = self::memory();
    place.of(&after).read().await;
    assert_eq!(after.len(), 2);
}
