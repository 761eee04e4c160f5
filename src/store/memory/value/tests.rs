use super::*;
use crate::chat::Usage;
use crate::config::Eviction;
use crate::fingerprint::digest;
use crate::store::memory::ENTRY_OVERHEAD;
use crate::store::memory::tests::Dice;
use std::time::Duration;

const LIMITS: Limits = Limits {
    life: Duration::MAX,
    max_entries: 3,
    max_bytes: 3_000,
    eviction: Eviction::Value,
};

fn key(n: u32) -> Fingerprint {
    digest(&n.to_le_bytes())
}

/// An answer that takes so many bytes in all and saves so many tokens.
fn entry(bytes: u64, tokens: u64) -> SharedEntry {
    let body = vec![b'x'; usize::try_from(bytes - ENTRY_OVERHEAD).unwrap()];
    let usage = Usage {
        total_tokens: tokens,
        ..Usage::default()
    };
    Arc::new(Entry::new(body.into(), usage, "", digest(b"all")))
}

fn shelf() -> ByValue {
    ByValue::new(&LIMITS, Worth::Value, &Arc::default())
}

/// Which of the keys 0 to 9 are kept.
fn kept(shelf: &ByValue) -> Vec<u32> {
    let all: Vec<_> = shelf.snapshot().into_iter().map(|(key, _)| key).collect();
    (0..10).filter(|n| all.contains(&key(*n))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_fewest_tokens_for_their_room_go_first() {
    let shelf = shelf();
    shelf.insert(key(0), entry(1_000, 300));
    shelf.insert(key(1), entry(1_000, 100));
    shelf.insert(key(2), entry(1_000, 200));
    shelf.insert(key(3), entry(1_000, 250));
    assert_eq!(kept(&shelf), [0, 2, 3]);
    // A hit counts again, and from what went: 0.1 + 2 * 0.2 is more than 0.25 and 0.3.
    assert!(shelf.get(key(2)).is_some());
    shelf.insert(key(4), entry(1_000, 900));
    shelf.insert(key(5), entry(1_000, 900));
    assert_eq!(kept(&shelf), [2, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn large_answers_are_worth_less() {
    let shelf = ByValue::new(
        &Limits {
            max_entries: 100,
            ..LIMITS
        },
        Worth::Value,
        &Arc::default(),
    );
    shelf.insert(key(0), entry(2_000, 300));
    shelf.insert(key(1), entry(600, 100));
    shelf.insert(key(2), entry(600, 100));
    shelf.insert(key(3), entry(600, 1));
    assert_eq!(kept(&shelf), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn of_equals_the_one_used_longest_ago_goes() {
    let shelf = shelf();
    for n in 0..3 {
        shelf.insert(key(n), entry(1_000, 100));
    }
    for n in [1, 0, 2] {
        assert!(shelf.get(key(n)).is_some());
    }
    shelf.insert(key(3), entry(1_000, 200));
    assert_eq!(kept(&shelf), [0, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_answer_keeps_its_frequency() {
    let shelf = shelf();
    shelf.insert(key(0), entry(1_000, 100));
    for _ in 0..9 {
        assert!(shelf.get(key(0)).is_some());
    }
    shelf.insert(key(0), entry(1_000, 50));
    for n in 1..4 {
        shelf.insert(key(n), entry(1_000, 400));
    }
    assert_eq!(kept(&shelf), [0, 2, 3], "ten times 50 is more than 400");
    shelf.remove(key(0), Cause::Cleared);
    shelf.insert(key(0), entry(1_000, 50));
    assert!(shelf.get(key(2)).is_some() && shelf.get(key(3)).is_some());
    shelf.insert(key(4), entry(1_000, 400));
    assert_eq!(kept(&shelf), [2, 3, 4], "what was removed is forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_is_worth_the_least_is_admitted_and_the_next_to_go() {
    let shelf = shelf();
    for n in 0..3 {
        shelf.insert(key(n), entry(1_000, 1_000));
    }
    shelf.insert(key(3), entry(1_000, 1));
    assert_eq!(kept(&shelf), [1, 2, 3]);
    shelf.insert(key(4), entry(1_000, 2));
    assert_eq!(kept(&shelf), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_goes_in_the_end() {
    let shelf = shelf();
    shelf.insert(key(0), entry(1_000, u64::MAX));
    shelf.insert(key(1), entry(1_000, 1_000));
    for n in 2..2_100 {
        shelf.insert(key(n), entry(1_000, 1));
    }
    assert_eq!(kept(&shelf), [0], "many times 1 has overtaken 1,000");
    for n in 3_000..3_100 {
        shelf.insert(key(n), entry(1_000, MOST_TOKENS / 20));
    }
    assert_eq!(kept(&shelf), [0; 0], "nonsense counts as the most there is");
}

#[tokio::test(start_paused = true)]
async fn it_does_what_the_plain_form_of_the_policy_does() {
    struct Plain {
        key: u32,
        bytes: u64,
        tokens: u64,
        frequency: u32,
        priority: u128,
        used: u64,
    }
    let limits = Limits {
        max_entries: 20,
        max_bytes: 30_000,
        ..LIMITS
    };
    let books = Arc::new(Books::default());
    let shelf = ByValue::new(&limits, Worth::Value, &books);
    let (mut plain, mut inflation, mut pushed) = (Vec::<Plain>::new(), 0, 0);
    let priority = |inflation: u128, frequency: u32, tokens: u64, bytes: u64| {
        let room = u128::from(bytes.max(1_500));
        inflation + u128::from(frequency) * u128::from(tokens) * FRACTION / room
    };
    let mut dice = Dice(7);
    for used in 0..20_000 {
        let n = u32::try_from(dice.below(60)).unwrap();
        let known = plain.iter().position(|other| other.key == n);
        assert_eq!(shelf.get(key(n)).is_some(), known.is_some(), "{used}");
        if let Some(known) = known {
            let hit = &mut plain[known];
            hit.frequency += 1;
            hit.used = used;
            hit.priority = priority(inflation, hit.frequency, hit.tokens, hit.bytes);
        }
        if known.is_some() && dice.below(10) > 0 {
            continue;
        }
        let (bytes, tokens) = (600 + dice.below(4_000), 1 + dice.below(900));
        let frequency = known.map_or(1, |known| plain.swap_remove(known).frequency);
        let priority = priority(inflation, frequency, tokens, bytes);
        let weight = |all: &[Plain]| all.iter().map(|one| one.bytes).sum::<u64>();
        while plain.len() >= 20 || weight(&plain) + bytes > 30_000 {
            let least = (0..plain.len()).min_by_key(|at| (plain[*at].priority, plain[*at].used));
            inflation = priority.min(plain.swap_remove(least.unwrap()).priority);
            pushed += 1;
        }
        plain.push(Plain {
            key: n,
            bytes,
            tokens,
            frequency,
            priority,
            used,
        });
        shelf.insert(key(n), entry(bytes, tokens));
        assert_eq!(books.bytes(), weight(&plain));
    }
    assert!(pushed > 1_000);
    assert_eq!(books.evictions().size, pushed);
}

/// With bounds that move, the least recently used goes first, as it does from moka.
#[tokio::test(start_paused = true)]
async fn bounds_move_and_the_least_recently_used_go_first() {
    let books = Arc::<Books>::default();
    let shelf = ByValue::new(&LIMITS, Worth::Use, &books);
    shelf.resize(4, 100_000);
    assert_eq!(shelf.bounds(), (4, 100_000));
    for n in 0..5_u8 {
        shelf.insert(digest(&[n]), entry(1_000, 10));
    }
    let has = |n: u8| shelf.ranking.lock().ranks.contains_key(&digest(&[n]));
    assert_eq!([0, 1, 2, 3, 4].map(has), [false, true, true, true, true]);
    assert!(shelf.get(digest(&[1])).is_some());
    shelf.resize(2, 100_000);
    assert_eq!([1, 2, 3, 4].map(has), [true, false, false, true]);
    // One has room by its bytes.
    shelf.resize(9, 1_000);
    assert_eq!([1, 4].map(has), [true, false]);
    assert_eq!(books.evictions().size, 4);
    assert_eq!(books.bytes(), 1_000);
}
