//! Lays the two vocabularies and the classes of characters out as tables that the library reads where they
//! lie, so that the first count of a request loads and builds nothing.

#[path = "src/tokens/hash.rs"]
mod hash;

use std::{collections::HashMap, env, fs, path::Path};

use regex_syntax::hir::{Class, HirKind};

/// A slot that holds no token.
const EMPTY: u128 = 0;
/// A pair of bytes that is no token.
const NO_RANK: u32 = u32::MAX;
/// Tokens in a bucket, on average: fewer make the table of displacements larger, more make it slower to find.
const PER_BUCKET: usize = 4;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/tokens/hash.rs");
    pack_relocations();
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    // The special tokens have the ids from here on; in a prompt their spelling is ordinary text.
    for (name, encoding, tokens) in [
        ("O200K", "o200k_base", 199_998),
        ("CL100K", "cl100k_base", 100_256),
    ] {
        let encoding = tiktoken::get_encoding(encoding).expect("the crate holds this vocabulary");
        let tokens: Vec<_> = (0..tokens).map(|id| encoding.decode(&[id])).collect();
        write_vocabulary(out, name, &tokens);
    }
    write_classes(out);
}

/// Relative relocations, of which there are thirty thousand, take a bit each instead of 24 bytes, all of which an idle
/// process would have resident. The loader must know of them (glibc 2.36, musl 1.2.4); linkers that do not leave it.
fn pack_relocations() {
    let is = |name, value| env::var(name).is_ok_and(|target| target == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Writes the tables of one vocabulary; a token's rank is its place in `tokens`.
fn write_vocabulary(out: &Path, name: &str, tokens: &[Vec<u8>]) {
    let mut bytes = [false; 256];
    let mut pairs = vec![NO_RANK; 1 << 16];
    let mut keyed = Vec::new();
    let mut blob = Vec::new();
    for (rank, token) in (0_u32..).zip(tokens) {
        match token.as_slice() {
            [] => panic!("token {rank} of {name} is empty"),
            [one] => bytes[usize::from(*one)] = true,
            [one, two] => pairs[usize::from(*one) << 8 | usize::from(*two)] = rank,
            long => keyed.push(entry(long, rank, &mut blob)),
        }
    }
    // Where this holds, the library need know no more of single bytes.
    assert!(bytes.iter().all(|&known| known), "{name} lacks a byte");

    let (displacements, slots) = place(&keyed);
    write(out, name, "PAIRS", &pairs, |rank| rank.to_le_bytes());
    write(out, name, "MOVES", &displacements, |moved| {
        moved.to_le_bytes()
    });
    write(out, name, "SLOTS", &slots, |slot| slot.to_le_bytes());
    write(out, name, "BLOB", &blob, |byte| [*byte]);
}

/// The hash of a token of three bytes or more, and its slot: from the lowest bit on 96 bits of key, 8 bits of
/// length and the rank. The key is the token, or its hash and its place among the `blob` of long ones.
fn entry(token: &[u8], rank: u32, blob: &mut Vec<u8>) -> (u64, u128) {
    let (hash, key) = if token.len() <= hash::INLINE {
        let mut bytes = [0; 16];
        bytes[..token.len()].copy_from_slice(token);
        let key = u128::from_le_bytes(bytes);
        (hash::short(key, token.len()), key)
    } else {
        let hash = hash::long(token);
        let at = u32::try_from(blob.len()).expect("the vocabulary is small");
        blob.extend_from_slice(token);
        (hash, u128::from(hash) | u128::from(at) << 64)
    };
    assert!(token.len() <= hash::LONGEST, "token {rank} is too long");
    let length = token.len() as u128;
    (hash, key | length << 96 | u128::from(rank) << 104)
}

/// Finds, for each bucket of hashes, the first displacement with which all of its tokens fall into slots that
/// are free: then a look-up reads one displacement and one slot.
fn place(entries: &[(u64, u128)]) -> (Vec<u16>, Vec<u128>) {
    let (bucket_count, slot_count) = (
        entries.len() / PER_BUCKET + 1,
        entries.len() + entries.len() / 32 + 1,
    );
    let mut buckets = vec![Vec::new(); bucket_count];
    for entry in entries {
        buckets[hash::bucket(entry.0, bucket_count)].push(*entry);
    }
    let mut order: Vec<_> = (0..bucket_count).collect();
    order.sort_by_key(|&bucket| (usize::MAX - buckets[bucket].len(), bucket));

    let mut displacements = vec![0; bucket_count];
    let mut slots = vec![EMPTY; slot_count];
    for bucket in order {
        let entries = &buckets[bucket];
        let fits = (0..=u16::MAX).find(|&displacement| {
            for (filled, &(hash, entry)) in entries.iter().enumerate() {
                let slot = &mut slots[hash::slot(hash, displacement, slot_count)];
                if *slot == EMPTY {
                    *slot = entry;
                    continue;
                }
                for &(hash, _) in &entries[..filled] {
                    slots[hash::slot(hash, displacement, slot_count)] = EMPTY;
                }
                return false;
            }
            true
        });
        displacements[bucket] = fits.expect("a displacement fits");
    }
    (displacements, slots)
}

/// Writes the classes of all characters: a byte for each 256 of them that tells the block of 256 bytes with
/// their classes. Equal blocks are written once.
fn write_classes(out: &Path) {
    // As `Class` in src/tokens/class.rs numbers them; no character has two of these.
    const CLASSES: [(&str, u8); 7] = [
        (r"[\p{Lu}\p{Lt}]", 1),
        (r"\p{Ll}", 2),
        (r"[\p{Lm}\p{Lo}]", 3),
        (r"\p{M}", 4),
        (r"\p{N}", 5),
        (r"\s", 6),
        (r"[\r\n]", 7),
    ];
    let mut classes = vec![0; 0x11_0000];
    for (pattern, class) in CLASSES {
        let hir = regex_syntax::parse(pattern).expect("the pattern is valid");
        let HirKind::Class(Class::Unicode(set)) = hir.kind() else {
            panic!("{pattern} is no class of characters");
        };
        for range in set.ranges() {
            let range = u32::from(range.start()) as usize..=u32::from(range.end()) as usize;
            classes[range].fill(class);
        }
    }

    let mut known = HashMap::new();
    let mut index = Vec::new();
    let mut blocks = Vec::new();
    for block in classes.chunks(256) {
        let next = u8::try_from(known.len()).expect("few blocks differ");
        let number = *known.entry(block).or_insert_with(|| {
            blocks.extend_from_slice(block);
            next
        });
        index.push(number);
    }
    write(out, "CLASS", "INDEX", &index, |byte| [*byte]);
    write(out, "CLASS", "BLOCKS", &blocks, |byte| [*byte]);
}

/// Writes one table.
fn write<T, const N: usize>(
    out: &Path,
    of: &str,
    table: &str,
    values: &[T],
    bytes: impl Fn(&T) -> [u8; N],
) {
    let file = format!("{of}_{table}.bin");
    let values: Vec<u8> = values.iter().flat_map(bytes).collect();
    fs::write(out.join(&file), &values).expect("OUT_DIR can be written to");
}
