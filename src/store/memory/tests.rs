use tokio::time::Instant;

use super::*;
use crate::chat::Usage;
use crate::fingerprint::digest;

const LIMITS: Limits = Limits {
    ttl: Duration::from_hours(1),
    stale_if_error: Duration::from_mins(1),
    max_entries: 3,
    max_bytes: 30_000,
};

fn entry(size: usize) -> Entry {
    Entry {
        body: vec![b'x'; size].into(),
        usage: Usage::default(),
        stored_at: Instant::now(),
    }
}

fn key(n: u32) -> Fingerprint {
    digest(&n.to_le_bytes())
}

fn put(memory: &Memory, n: u32, size: usize) -> bool {
    memory.store(key(n), entry(size), memory.generation())
}

fn has(memory: &Memory, n: u32) -> bool {
    !matches!(memory.find(key(n)), Found::Nothing)
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_entry_goes_first() {
    let memory = Memory::new(LIMITS);
    for n in 0..3 {
        assert!(put(&memory, n, 10));
    }
    assert!(has(&memory, 0));
    assert!(put(&memory, 9, 10));
    assert_eq!(
        [0, 1, 2, 9].map(|n| has(&memory, n)),
        [true, false, true, true]
    );
    assert_eq!(memory.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_it_too() {
    let memory = Memory::new(LIMITS);
    assert!(put(&memory, 1, 20_000));
    assert!(put(&memory, 1, 20_000));
    assert_eq!(memory.bytes(), 20_200);
    assert!(put(&memory, 2, 20_000));
    assert_eq!([1, 2].map(|n| has(&memory, n)), [false, true]);
    assert!(!put(&memory, 3, 40_000), "larger than the whole store");
    assert!(memory.bytes() <= 30_000);
}

#[tokio::test(start_paused = true)]
async fn lives_are_fresh_then_stale_then_over() {
    let memory = Memory::new(LIMITS);
    put(&memory, 1, 10);
    tokio::time::advance(Duration::from_secs(3599)).await;
    assert!(
        matches!(memory.find(key(1)), Found::Fresh { age, ttl, .. } if age.as_secs() == 3599 && ttl.as_secs() == 1)
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(memory.find(key(1)), Found::Stale { .. }));
    assert_eq!(memory.sweep(), 0);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(!has(&memory, 1));
    assert_eq!((memory.sweep(), memory.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clear_forbids_answers_in_flight() {
    let memory = Memory::new(LIMITS);
    put(&memory, 1, 10);
    memory.remember(key(7), key(1), Saved::default());
    let begun = memory.generation();
    assert_eq!(memory.clear(), 1);
    assert_eq!(memory.bytes(), 0);
    assert!(!memory.store(key(2), entry(10), begun));
    assert!(memory.is_empty() && memory.resolve(key(7)).is_none());
    assert!(put(&memory, 2, 10));
}

#[tokio::test(start_paused = true)]
async fn repeated_keys_under_load_stay_within_bounds() {
    let memory = Memory::new(Limits {
        max_entries: 100,
        max_bytes: 1 << 20,
        ..LIMITS
    });
    std::thread::scope(|scope| {
        for writer in 0..8u32 {
            let memory = memory.clone();
            // Each thread needs the paused clock no more than any clock.
            scope.spawn(move || {
                for n in 0..2_000 {
                    put(&memory, (n * (writer + 1)) % 300, 100);
                }
            });
        }
    });
    assert_eq!(memory.len(), 100);
    for n in 1_000..1_200 {
        assert!(put(&memory, n, 100));
        assert!(has(&memory, n), "{n} is not admitted");
    }
    assert_eq!(memory.len(), 100);
}
