//! Any text in any role at any level goes out in one way, is not changed again, and never costs more
//! tokens than before.

use pegasus_nest::compressor::{Compressor, Level, Role};
use pegasus_nest::tokens::Vocabulary;

use super::choices;

const LEVELS: [Level; 4] = [Level::Off, Level::Safe, Level::Balanced, Level::Aggressive];
const ROLES: [Role; 4] = [Role::System, Role::User, Role::Assistant, Role::Tool];

/// What goes out for `text`.
fn compress(level: Level, role: Role, text: &str) -> String {
    let compressed = Compressor::new(level).compress(text, role);
    compressed.map_or_else(|| text.to_owned(), |compressed| compressed.text)
}

/// The first two bytes choose the level and the role.
pub fn holds(input: &[u8]) {
    let ([level, role], text) = choices(input);
    let (level, role) = (LEVELS[level % LEVELS.len()], ROLES[role % ROLES.len()]);
    let text = &String::from_utf8_lossy(text);

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
        assert_eq!(once, **text, "off changed something");
    }
    for vocabulary in [Vocabulary::O200k, Vocabulary::Cl100k] {
        let (before, after) = (vocabulary.count(text), vocabulary.count(&once));
        assert!(after <= before, "{before} tokens became {after}");
    }
}
