//! Neither shelf ever keeps more than it may.

use super::*;

fn limits(eviction: Eviction, max_entries: u64, max_bytes: u64) -> Limits {
    Limits {
        max_entries,
        max_bytes,
        eviction,
        ..LIMITS
    }
}

fn both_bounds_hold(eviction: Eviction) {
    // Bounds that do not divide, and that bind one at a time and together.
    for (max_entries, max_bytes) in [
        (7, 1 << 20),
        (1_000, 20_011),
        (17, 20_011),
        (300, 100_000),
        (799, 270_000),
        (1, 5_000),
    ] {
        let memory = Memory::new(limits(eviction, max_entries, max_bytes));
        let mut dice = Dice(max_bytes);
        let mut most = (0, 0);
        for _ in 0..4_000 {
            let n = u32::try_from(dice.below(2_000)).unwrap();
            let size = usize::try_from(dice.below(40) * dice.below(150)).unwrap();
            if put(&memory, n, size) {
                assert!(has(&memory, n), "whatever is stored is there");
            } else {
                assert!(size as u64 + ENTRY_OVERHEAD + max_entries > max_bytes);
            }
            has(&memory, n / 2);
            let (len, bytes) = (memory.len(), memory.bytes());
            assert!(len <= max_entries && bytes <= max_bytes, "{len} {bytes}");
            most = (most.0.max(len), most.1.max(bytes));
        }
        let (len, bytes) = most;
        assert!(
            len == max_entries || bytes > max_bytes * 8 / 10,
            "room is left: {len} {bytes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn both_bounds_hold_by_use() {
    both_bounds_hold(Eviction::Lru);
}

#[tokio::test(start_paused = true)]
async fn both_bounds_hold_by_value() {
    both_bounds_hold(Eviction::Value);
}

/// So many different answers that what is not given up would show.
fn a_flood_leaves_it_within_bounds(eviction: Eviction) {
    const ANSWERS: u32 = 100_000;
    let memory = Memory::new(limits(eviction, 1_000, 256 << 20));
    let scope = digest(b"all");
    let name = |n: u32, kind: u8| {
        let mut name = [kind; 32];
        name[..4].copy_from_slice(&n.to_le_bytes());
        Fingerprint::from_bytes(name)
    };
    let begun = memory.generation();
    for n in 0..ANSWERS {
        let entry = Entry::new("small".into(), Usage::default(), "", scope);
        memory.store(name(n, 0), entry.into(), begun).unwrap();
        memory.remember(name(n, 1), spelling(name(n, 0)));
    }
    assert_eq!((memory.len(), memory.bytes()), (1_000, 581_000));
    assert_eq!(
        memory.evictions(),
        Evictions {
            size: u64::from(ANSWERS) - 1_000,
            ..Evictions::default()
        }
    );
    memory.shared.aliases.run_pending_tasks();
    assert_eq!(memory.shared.aliases.entry_count(), 4_000);
}

#[tokio::test(start_paused = true)]
async fn a_flood_leaves_it_within_bounds_by_use() {
    a_flood_leaves_it_within_bounds(Eviction::Lru);
}

#[tokio::test(start_paused = true)]
async fn a_flood_leaves_it_within_bounds_by_value() {
    a_flood_leaves_it_within_bounds(Eviction::Value);
}
