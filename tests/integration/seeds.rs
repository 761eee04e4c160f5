//! The seeds of the fuzz targets: what was found to hold for any input holds for these on every run.

use std::path::Path;
use std::{fs, panic};

#[path = "../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    clippy::expect_used,
    reason = "a crate of its own for the fuzz targets"
)]
mod properties;

/// Asks of each of a target's seeds what holds for any input.
fn hold(target: &str, holds: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let files = fs::read_dir(directory.join(target)).unwrap();
    let mut seeds: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 10, "the seeds of {target} are gone");
    let failed: Vec<_> = seeds
        .iter()
        .filter(|seed| {
            let input = fs::read(seed).unwrap();
            panic::catch_unwind(|| holds(&input)).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn answers() {
    hold("answer", properties::answer::holds);
}

#[test]
fn compressed_texts() {
    hold("compressor", properties::compressor::holds);
}

#[test]
fn fingerprints() {
    hold("fingerprint", properties::fingerprint::holds);
}

#[test]
fn json_bodies() {
    hold("json", properties::json::holds);
}

#[test]
fn event_streams() {
    hold("sse", properties::sse::holds);
}
