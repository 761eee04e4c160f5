//! The binary form of an entry outside this process: in Redis and in the snapshot file.
//!
//! ```text
//! 0      4        5       6       14        22      30
//! "PGNS" version  flags   checksum clears   life    …
//!
//! then, all integers little-endian:
//! prompt, completion, total, cached, cache write and
//! reasoning tokens, nano-dollars               7 × u64
//! scope                                       32 bytes
//! length of the name of the model that was
//! asked, the name                             u16, UTF-8
//! the same of the model that answered         u16, UTF-8; of no length where it is not known
//! length of the body before compression       u32
//! the body, LZ4 (block format) where it was longer than 4 KiB and became shorter
//! ```
//!
//! The checksum is the beginning of the SHA-256 of the fingerprint that the value is kept under and of all that follows
//! it, so that no value answers another request than its own. What cannot be read in full is no
//! entry: whoever wrote it, and whatever happened to it since, it is a miss and never an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Entry, MAX_MODEL};
use crate::chat::{Certainty, Usage};
use crate::fingerprint::Fingerprint;
use crate::reply::Worth;

const MAGIC: [u8; 4] = *b"PGNS";
/// Changes with the layout above; a value of another version is a miss.
const VERSION: u8 = 2;
/// Where the checksum stands, and where what it covers begins.
const CHECKSUM: usize = 6;
const COVERED: usize = CHECKSUM + 8;

const ESTIMATED: u8 = 1;
const COMPRESSED: u8 = 2;
/// It is known what the answer cost.
const PRICED: u8 = 4;
const EXACT: u8 = 8;
const ALL_FLAGS: u8 = ESTIMATED | COMPRESSED | PRICED | EXACT;
/// Shorter bodies are stored as they are (bytes): what LZ4 takes off them is not worth a hit's time.
const COMPRESS_ABOVE: usize = 4 * 1024;

/// Longer bodies are neither written nor restored (bytes): no answer is longer, and no few bytes unfold to more.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// How much of a value holds all but its body, whatever it is (bytes).
pub(super) const MAX_HEAD: usize = COVERED + 8 + 8 + 56 + 32 + 2 * (2 + MAX_MODEL);

/// A stored entry together with what concerns only its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// All of a value but its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// How many clears had been ordered when the call for it began.
    pub(super) clears: u64,
    /// Snapshot: its age when written. Redis: how long it lives in all, so that its age is this less what is left.
    pub(super) life: Duration,
    pub(super) usage: Usage,
    pub(super) scope: Fingerprint,
    pub(super) model: Box<str>,
    pub(super) served: Option<Arc<str>>,
}

/// The binary form of an entry; `None` if it is longer than [`MAX_BODY`].
pub(super) fn encode(
    fingerprint: Fingerprint,
    entry: &Entry,
    clears: u64,
    life: Duration,
) -> Option<Vec<u8>> {
    if entry.body.len() > MAX_BODY {
        return None;
    }
    let compressed = (entry.body.len() > COMPRESS_ABOVE)
        .then(|| lz4_flex::block::compress(&entry.body))
        .filter(|compressed| compressed.len() < entry.body.len());
    let body = compressed.as_deref().unwrap_or(&entry.body);
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        cached_tokens,
        cache_write_tokens,
        reasoning_tokens,
        cost_nano_usd,
        certainty,
    } = entry.usage;
    let certainty = match certainty {
        Certainty::Reported => 0,
        Certainty::Exact => EXACT,
        Certainty::Estimated => ESTIMATED,
    };
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let flags =
        certainty | flag(compressed.is_some(), COMPRESSED) | flag(cost_nano_usd.is_some(), PRICED);

    let mut out = Vec::with_capacity(COVERED + 128 + entry.model.len() + body.len());
    out.extend(MAGIC);
    out.push(VERSION);
    out.push(flags);
    out.extend([0; 8]);
    out.extend(clears.to_le_bytes());
    out.extend(
        u64::try_from(life.as_millis())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    for tokens in [
        prompt_tokens,
        completion_tokens,
        total_tokens,
        cached_tokens,
        cache_write_tokens,
        reasoning_tokens,
        cost_nano_usd.unwrap_or(0),
    ] {
        out.extend(tokens.to_le_bytes());
    }
    out.extend(entry.scope.as_bytes());
    for name in [&entry.model, entry.served.as_deref().unwrap_or_default()] {
        out.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
        out.extend(name.as_bytes());
    }
    out.extend(u32::try_from(entry.body.len()).ok()?.to_le_bytes());
    out.extend(body);
    let checksum = checksum(fingerprint, flags, &out[COVERED..]);
    out[CHECKSUM..COVERED].copy_from_slice(&checksum);
    Some(out)
}

/// An entry out of its binary form; `None` if it is anything but the whole value of this fingerprint in this version.
pub(super) fn decode(fingerprint: Fingerprint, bytes: &[u8]) -> Option<Value> {
    let (head, flags, rest) = read_head(bytes)?;
    let sum = bytes.get(CHECKSUM..COVERED)?;
    if sum != checksum(fingerprint, flags, bytes.get(COVERED..)?) {
        return None;
    }
    let mut rest = Reader(rest);
    let length = usize::try_from(u32::from_le_bytes(rest.array()?)).ok()?;
    let body = rest.0;
    if length > MAX_BODY {
        return None;
    }
    let body = if flags & COMPRESSED == 0 {
        Bytes::copy_from_slice(body)
    } else {
        // Never more than the length says, and that is bounded.
        lz4_flex::block::decompress(body, length).ok()?.into()
    };
    (body.len() == length).then_some(Value { head, body })
}

/// What a value says of itself before its body, unchecked: enough to choose what to clear. `beginning` holds at least
/// [`MAX_HEAD`] bytes of it, or all.
pub(super) fn peek(beginning: &[u8]) -> Option<Head> {
    read_head(beginning).map(|(head, ..)| head)
}

fn read_head(bytes: &[u8]) -> Option<(Head, u8, &[u8])> {
    let mut reader = Reader(bytes);
    let (magic, [version, flags]) = (reader.array()?, reader.array()?);
    if magic != MAGIC || version != VERSION || flags & !ALL_FLAGS != 0 {
        return None;
    }
    let _checksum: [u8; 8] = reader.array()?;
    let clears = reader.number()?;
    let life = Duration::from_millis(reader.number()?);
    let usage = Usage {
        prompt_tokens: reader.number()?,
        completion_tokens: reader.number()?,
        total_tokens: reader.number()?,
        cached_tokens: reader.number()?,
        cache_write_tokens: reader.number()?,
        reasoning_tokens: reader.number()?,
        cost_nano_usd: Some(reader.number()?).filter(|_| flags & PRICED != 0),
        certainty: match flags & (ESTIMATED | EXACT) {
            0 => Certainty::Reported,
            EXACT => Certainty::Exact,
            _ => Certainty::Estimated,
        },
    };
    let scope = Fingerprint::from_bytes(reader.array()?);
    let model = reader.name()?.into();
    let served = Some(reader.name()?)
        .filter(|name| !name.is_empty())
        .map(Arc::from);
    let head = Head {
        clears,
        life,
        usage,
        scope,
        model,
        served,
    };
    Some((head, flags, reader.0))
}

/// Flags stand before the checksum and count in it.
fn checksum(fingerprint: Fingerprint, flags: u8, covered: &[u8]) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(fingerprint.as_bytes())
        .chain_update([VERSION, flags])
        .chain_update(covered)
        .finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

/// Takes bytes off the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn name(&mut self) -> Option<&'b str> {
        let length = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

impl Value {
    /// The entry that it is, at this age.
    pub(super) fn into_entry(self, age: Duration) -> Entry {
        let Head {
            usage,
            scope,
            model,
            served,
            ..
        } = self.head;
        let worth = Worth {
            usage,
            served,
            ..Worth::default()
        };
        Entry {
            age_at_arrival: age,
            ..Entry::new(self.body, worth, &model, scope)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fingerprint::digest;

    fn entry(body: &[u8]) -> Entry {
        let usage = Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            total_tokens: 300,
            cached_tokens: 1,
            cache_write_tokens: 4,
            reasoning_tokens: 5,
            cost_nano_usd: Some(6),
            certainty: Certainty::Exact,
        };
        let worth = Worth {
            usage,
            served: Some("modèl-2".into()),
            ..Worth::default()
        };
        Entry::new(Bytes::copy_from_slice(body), worth, "modèl", digest(b"me"))
    }

    fn key() -> Fingerprint {
        digest(b"the question")
    }

    fn encoded(body: &[u8]) -> Vec<u8> {
        encode(key(), &entry(body), 7, Duration::from_mins(1)).unwrap()
    }

    #[test]
    fn what_went_in_comes_out() {
        for length in [0, 1, COMPRESS_ABOVE, COMPRESS_ABOVE + 1, 100_000] {
            let body = b"all work and no play ".repeat(5_000);
            let bytes = encoded(&body[..length]);
            let value = decode(key(), &bytes).unwrap();
            assert_eq!(value.body, &body[..length]);
            assert_eq!(
                (value.head.clears, value.head.life),
                (7, Duration::from_mins(1))
            );
            assert_eq!(peek(&bytes), Some(value.head.clone()));
            let back = value.into_entry(Duration::from_secs(5));
            assert_eq!((&*back.model, back.scope), ("modèl", digest(b"me")));
            assert_eq!(
                (back.usage, &back.served),
                (entry(b"").usage, &entry(b"").served)
            );
            assert!(back.age() >= Duration::from_secs(5));
        }
        assert!(encoded(&b"x".repeat(100_000)).len() < 1_000);
    }

    #[test]
    fn what_does_not_compress_is_stored_as_it_is() {
        let mut random = fastrand::Rng::with_seed(1);
        let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(50_000)
            .collect();
        let bytes = encoded(&body);
        assert!(bytes.len() < 50_200);
        assert_eq!(decode(key(), &bytes).unwrap().body, body);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_miss() {
        for body in [b"short".to_vec(), b"longer ".repeat(1_000)] {
            let good = encoded(&body);
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                assert_eq!(decode(key(), &bad), None, "byte {at}");
                assert_eq!(decode(key(), &good[..at]), None, "cut at {at}");
            }
            assert_eq!(decode(key(), &[&good[..], b"x"].concat()), None);
            assert_eq!(decode(digest(b"another"), &good), None);
        }
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let huge = entry(&vec![b'x'; MAX_BODY + 1]);
        assert_eq!(encode(key(), &huge, 0, Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_a_miss(bytes: Vec<u8>) {
            prop_assert_eq!(decode(key(), &bytes), None);
            let dressed = [&MAGIC[..], &[VERSION, 3], &bytes].concat();
            prop_assert_eq!(decode(key(), &dressed), None);
            let _ = peek(&dressed);
        }
    }
}
