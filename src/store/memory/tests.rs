use super::*;
use crate::chat::Usage;
use crate::fingerprint::digest;

mod bounds;
mod trace;

const LIMITS: Limits = Limits {
    life: Duration::from_mins(61),
    max_entries: 3,
    max_bytes: 30_000,
    eviction: Eviction::Lru,
};

const BOTH: [Eviction; 2] = [Eviction::Lru, Eviction::Value];

#[test]
fn what_is_kept_quietly_is_kept_and_not_told() {
    let memory = Memory::new(LIMITS);
    let quiet = memory.quietly();
    memory.watched_by(&Arc::default());
    assert!(memory.watch().is_some() && memory.clone().watch().is_some());
    assert!(quiet.watch().is_none() && quiet.clone().watch().is_none());
    let name = digest(b"an input");
    let worth = crate::reply::Worth::from(Usage::estimated(1, 1));
    let entry = Entry::new(
        Bytes::from_static(b"{}"),
        worth,
        &Arc::from("m"),
        digest(b"o"),
    );
    let begun = quiet.generation();
    quiet.store(name, Arc::new(entry), begun).unwrap();
    assert!(memory.find(name).is_some());
}

fn spelling(question: Fingerprint) -> Spelling {
    Spelling {
        question,
        saved: Saved::default(),
        wants_stream: false,
        user: None,
    }
}

/// Draws that are the same wherever the tests run: `SplitMix64`.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number below this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 and below 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / 4_294_967_296.0
    }
}

fn entry(size: usize) -> SharedEntry {
    let body = vec![b'x'; size].into();
    Entry::new(body, Usage::default(), "", digest(b"all")).into()
}

fn key(n: u32) -> Fingerprint {
    digest(&n.to_le_bytes())
}

fn put(memory: &Memory, n: u32, size: usize) -> bool {
    memory
        .store(key(n), entry(size), memory.generation())
        .is_ok()
}

fn has(memory: &Memory, n: u32) -> bool {
    memory.find(key(n)).is_some()
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
    assert_eq!(memory.bytes(), 20_576);
    assert!(put(&memory, 2, 20_000));
    assert_eq!([1, 2].map(|n| has(&memory, n)), [false, true]);
    let larger = memory.store(key(3), entry(40_000), memory.generation());
    assert_eq!(larger, Err(NotKept::TooLarge));
    assert!(memory.bytes() <= 30_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_more_use_is_not_found_and_swept() {
    for eviction in BOTH {
        let memory = Memory::new(Limits { eviction, ..LIMITS });
        put(&memory, 1, 10);
        tokio::time::advance(Duration::from_secs(3599)).await;
        let age = Duration::from_secs(3_599);
        assert_eq!(memory.find(key(1)).unwrap().age(), age);
        assert_eq!(memory.sweep(), 0);
        tokio::time::advance(Duration::from_secs(62)).await;
        assert!(!has(&memory, 1));
        assert_eq!((memory.sweep(), memory.len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clear_forbids_answers_in_flight() {
    for eviction in BOTH {
        let memory = Memory::new(Limits { eviction, ..LIMITS });
        put(&memory, 1, 10);
        memory.remember(key(7), spelling(key(1)));
        let begun = memory.generation();
        assert_eq!(memory.clear(&Filter::default()), [key(1)]);
        assert_eq!(memory.bytes(), 0);
        let in_flight = memory.store(key(2), entry(10), begun);
        assert_eq!(in_flight, Err(NotKept::Cleared));
        assert!(memory.is_empty() && memory.resolve(key(7)).is_none());
        assert!(put(&memory, 2, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_keys_under_load_stay_within_bounds() {
    for eviction in BOTH {
        let memory = Memory::new(Limits {
            eviction,
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
}

#[tokio::test(start_paused = true)]
async fn a_narrowed_clear_takes_only_what_it_is_about() {
    for eviction in BOTH {
        let memory = Memory::new(Limits { eviction, ..LIMITS });
        let begun = memory.generation();
        let store = |n, model: &str| {
            let entry = Entry::new("x".into(), Usage::default(), model, digest(b"all"));
            memory.store(key(n), entry.into(), begun)
        };
        store(1, "m").unwrap();
        store(2, "n").unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        store(3, "m").unwrap();
        let filter = Filter {
            model: Some("m".into()),
            older_than: Some(Duration::from_secs(10)),
            ..Filter::default()
        };
        assert_eq!(memory.matching(&filter), [key(1)]);
        assert_eq!(memory.clear(&filter), [key(1)]);
        assert_eq!([1, 2, 3].map(|n| has(&memory, n)), [false, true, true]);
        let of_m = Filter {
            older_than: None,
            ..filter
        };
        assert_eq!(memory.clear(&of_m), [key(3)]);
        assert_eq!(store(4, "m"), Err(NotKept::Cleared), "in flight");
        assert_eq!(store(5, "n"), Ok(()));
    }
}

async fn every_way_out_is_counted(eviction: Eviction) {
    let memory = Memory::new(Limits { eviction, ..LIMITS });
    assert_eq!(memory.evictions(), Evictions::default());
    for n in 0..5 {
        put(&memory, n, 10);
    }
    put(&memory, 4, 20);
    let of_none = Filter {
        model: Some("none".into()),
        ..Filter::default()
    };
    assert!(memory.clear(&of_none).is_empty());
    tokio::time::advance(Duration::from_hours(1)).await;
    put(&memory, 5, 10);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(memory.sweep(), 2);
    put(&memory, 6, 10);
    assert_eq!(memory.clear(&Filter::default()).len(), 2);
    assert_eq!((memory.len(), memory.bytes(), memory.sweep()), (0, 0, 0));
    let counted = Evictions {
        size: 3,
        expired: 2,
        cleared: 2,
        replaced: 1,
    };
    assert_eq!(memory.evictions(), counted);
}

#[tokio::test(start_paused = true)]
async fn every_way_out_is_counted_by_use() {
    every_way_out_is_counted(Eviction::Lru).await;
}

#[tokio::test(start_paused = true)]
async fn every_way_out_is_counted_by_value() {
    every_way_out_is_counted(Eviction::Value).await;
}

#[tokio::test(start_paused = true)]
async fn a_clear_of_many_is_done_at_once() {
    for eviction in BOTH {
        let memory = Memory::new(Limits {
            max_entries: 5_000,
            max_bytes: 1 << 30,
            eviction,
            ..LIMITS
        });
        for n in 0..5_000 {
            put(&memory, n, 10);
        }
        assert_eq!(memory.clear(&Filter::default()).len(), 5_000);
        assert_eq!((memory.len(), memory.bytes()), (0, 0));
        assert_eq!(memory.evictions().cleared, 5_000);
    }
}

#[tokio::test(start_paused = true)]
async fn gzip_is_made_once_and_weighed_with_its_entry() {
    for eviction in BOTH {
        let memory = Memory::new(Limits { eviction, ..LIMITS });
        put(&memory, 1, 10_000);
        let plain = memory.bytes();
        let first = memory.gzip(key(1), &memory.find(key(1)).unwrap()).unwrap();
        let entry = memory.find(key(1)).unwrap();
        let again = memory.gzip(key(1), &entry).unwrap();
        assert_eq!(again.as_ptr(), first.as_ptr());
        assert_eq!(entry.body, vec![b'x'; 10_000]);
        assert_eq!(memory.bytes(), plain + first.len() as u64);
        assert_eq!(
            (memory.len(), memory.evictions()),
            (1, Evictions::default())
        );
        memory.clear(&Filter::default());
        assert_eq!(memory.bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn gzip_of_what_is_kept_no_more_is_not_kept() {
    for eviction in BOTH {
        let memory = Memory::new(Limits { eviction, ..LIMITS });
        put(&memory, 1, 2_000);
        let old = memory.find(key(1)).unwrap();
        memory.clear(&Filter::default());
        memory.gzip(key(1), &old).unwrap();
        assert!(memory.is_empty());
        put(&memory, 1, 3_000);
        memory.gzip(key(1), &old).unwrap();
        let new = memory.find(key(1)).unwrap();
        assert_eq!((new.body.len(), &new.gzip), (3_000, &None));
        // Both forms together are more than all the store.
        let mut dice = Dice(7);
        let noise: Vec<u8> = (0..2_500).flat_map(|_| dice.next().to_le_bytes()).collect();
        let large = Entry::new(noise.into(), Usage::default(), "", digest(b"all"));
        memory
            .store(key(2), large.into(), memory.generation())
            .unwrap();
        let gzip = memory.gzip(key(2), &memory.find(key(2)).unwrap()).unwrap();
        assert!(gzip.len() > 10_000);
        assert!(memory.find(key(2)).unwrap().gzip.is_none());
        assert!(memory.bytes() <= LIMITS.max_bytes);
    }
}
