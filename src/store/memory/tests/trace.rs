//! How many tokens each eviction saves, on requests whose prompts are as popular as Zipf's law has it.

use super::*;

const PROMPTS: usize = 12_000;
const REQUESTS: usize = 200_000;
const EXPONENT: f64 = 0.9;
const LONGEST: usize = 64 << 10;

/// What the answer to a prompt is like.
struct Answer {
    key: Fingerprint,
    size: usize,
    usage: Usage,
}

/// From `low` to `high`, each order of magnitude as likely as the next.
fn spread(dice: &mut Dice, low: f64, high: f64) -> f64 {
    low * (high / low).powf(dice.unit())
}

/// Answers of 200 B to 64 KiB with about a token for four bytes, and prompts of any length before them.
fn answers(dice: &mut Dice) -> Vec<Answer> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousands"
    )]
    let whole = |value: f64| value as u32;
    (0..u32::try_from(PROMPTS).unwrap())
        .map(|n| {
            let size = spread(dice, 200.0, 65_536.0);
            let completion_tokens = whole(size / 4.0 * (0.6 + dice.unit())).into();
            let prompt_tokens = whole(spread(dice, 20.0, 8_000.0)).into();
            Answer {
                key: key(n),
                size: whole(size) as usize,
                usage: Usage {
                    prompt_tokens,
                    completion_tokens,
                    total_tokens: prompt_tokens + completion_tokens,
                    ..Usage::default()
                },
            }
        })
        .collect()
}

/// Which prompt each request brings.
fn requests(dice: &mut Dice) -> Vec<usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=u32::try_from(PROMPTS).unwrap())
        .map(|place| {
            sum += f64::from(place).powf(-EXPONENT);
            sum
        })
        .collect();
    (0..REQUESTS)
        .map(|_| {
            let drawn = dice.unit() * sum;
            sums.partition_point(|until| *until <= drawn)
        })
        .collect()
}

/// The tokens that a store within these limits saves, and all that the requests would cost without it.
fn saved(limits: Limits) -> (u64, u64) {
    let mut dice = Dice(20_261_126);
    let answers = answers(&mut dice);
    let memory = Memory::new(limits);
    let text = Bytes::from(vec![b'x'; LONGEST]);
    let (mut saved, mut all) = (0, 0);
    for asked in requests(&mut dice) {
        let Answer { key, size, usage } = &answers[asked];
        all += usage.total_tokens;
        if let Some(entry) = memory.find(*key) {
            saved += entry.usage.total_tokens;
            continue;
        }
        let entry = Entry::new(text.slice(..*size), *usage, "", digest(b"all"));
        let begun = memory.generation();
        memory.store(*key, entry.into(), begun).unwrap();
    }
    (saved, all)
}

/// Prints what both save and asserts that eviction by value saves at least so many per cent more tokens than the other.
#[expect(clippy::print_stdout, reason = "the figures are worth a look")]
fn value_saves_more(max_entries: u64, max_bytes: u64, at_least: u64) {
    let of = |eviction| {
        saved(Limits {
            max_entries,
            max_bytes,
            eviction,
            ..LIMITS
        })
    };
    let (lru, all) = of(Eviction::Lru);
    let (value, _) = of(Eviction::Value);
    println!(
        "{max_entries} entries in {} MiB, of {all} tokens: lru {lru} ({} %), value {value} ({} %), which is {} ‰ more",
        max_bytes >> 20,
        lru * 100 / all,
        value * 100 / all,
        (value * 1_000 / lru).saturating_sub(1_000),
    );
    assert!(value * 100 >= lru * (100 + at_least));
}

#[tokio::test(start_paused = true)]
async fn value_saves_more_tokens_where_bytes_are_very_short() {
    value_saves_more(1_000_000, 2 << 20, 30);
}

#[tokio::test(start_paused = true)]
async fn value_saves_more_tokens_where_bytes_are_short() {
    value_saves_more(1_000_000, 8 << 20, 15);
}

#[tokio::test(start_paused = true)]
async fn value_saves_more_tokens_where_there_are_many_bytes() {
    value_saves_more(1_000_000, 32 << 20, 5);
}

#[tokio::test(start_paused = true)]
async fn value_saves_more_tokens_where_places_are_short() {
    value_saves_more(1_000, 256 << 20, 20);
}
