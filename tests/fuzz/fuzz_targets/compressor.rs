//! Feeds the compressor any text in any role at any level:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz compressor`.
//!
//! Whatever the text, the output is the same each time, is not changed again, and never costs more
//! tokens than the input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest::{
    compressor::{Compressor, Level, Role},
    tokens::Vocabulary,
};

const LEVELS: [Level; 4] = [Level::Off, Level::Safe, Level::Balanced, Level::Aggressive];
const ROLES: [Role; 4] = [Role::System, Role::User, Role::Assistant, Role::Tool];

/// What goes out for `text`.
fn compress(level: Level, role: Role, text: &str) -> String {
    let compressed = Compressor::new(level).compress(text, role);
    compressed.map_or_else(|| text.to_owned(), |compressed| compressed.text)
}

fuzz_target!(|input: (u8, u8, &str)| {
    let (level, role, text) = input;
    let level = LEVELS[usize::from(level) % LEVELS.len()];
    let role = ROLES[usize::from(role) % ROLES.len()];

    let once = compress(level, role, text);
    assert_eq!(
        compress(level, role, text),
        once,
        "the same text went out in two ways"
    );
    assert_eq!(
        compress(level, role, &once),
        once,
        "the output was changed again"
    );
    if level == Level::Off {
        assert_eq!(once, text, "off changed something");
    }
    for vocabulary in [Vocabulary::O200k, Vocabulary::Cl100k] {
        let (before, after) = (vocabulary.count(text), vocabulary.count(&once));
        assert!(after <= before, "{before} tokens became {after}");
    }
});
