//! Texts that come again and again, counted by their digests.
//!
//! What a text says is known only once several callers have sent it: then it is nobody's own. Until then there is a digest,
//! a count and hashes of whose it was. Memory is bounded: what came least often goes when there is no room.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::book::{digest, hex, id};
use super::word::Word;
use crate::compressor::{Role, Unit};
use crate::tokens::Vocabulary;

/// Texts that are counted at once: 1.5 MiB.
const ROOM: usize = 8 * 1024;
/// The most that their words take together, in bytes.
const WORDS: usize = 4 * 1024 * 1024;
/// Shorter paragraphs and messages, in bytes, are not worth a rule.
const SHORTEST: usize = 160;
/// Longer ones are documents.
const LONGEST: usize = 64 * 1024;
/// What came less often does not repeat.
const REPEATS: u64 = 3;

/// The texts that were counted.
pub(super) struct Passages {
    /// So many callers must have sent a text before it is kept.
    callers: usize,
    by: HashMap<[u8; 16], Passage>,
    words: usize,
}

/// A text that was counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The first half of its digest, in hexadecimal.
    digest: String,
    pub(super) role: Word<Role>,
    pub(super) unit: Word<Unit>,
    /// How often it was sent.
    pub count: u64,
    /// Whose it was: hashes, no more of them than must have sent it.
    callers: Vec<u64>,
    /// What a thousand tokens cost each time, in nano-dollars.
    price: u64,
    /// Its tokens (`o200k_base`), once it is kept.
    pub tokens: u64,
    /// What it says, once it is kept.
    pub text: Option<String>,
}

/// A text as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'t> {
    /// Whose words.
    pub role: Role,
    /// How much of a message.
    pub unit: Unit,
    /// The words.
    pub text: &'t str,
    /// A hash of who sent it.
    pub caller: u64,
    /// What a thousand tokens of its prompt cost, in nano-dollars.
    pub price: u64,
}

// === impl Passages ===

impl Passages {
    /// What was counted before; `callers` must have sent a text before it is kept.
    pub(super) fn new(callers: usize, known: Vec<Passage>) -> Self {
        let mut all = Self {
            callers,
            by: HashMap::new(),
            words: 0,
        };
        for mut passage in known {
            // Whoever asks for more callers now is not to see what fewer sent.
            passage.callers.truncate(callers);
            if passage.callers.len() < callers {
                passage.text = None;
            }
            if let Some(digest) = read(&passage.digest).filter(|_| all.by.len() < ROOM) {
                all.words += passage.text.as_ref().map_or(0, String::len);
                all.by.insert(digest, passage);
            }
        }
        all
    }

    /// Counts a text.
    pub(super) fn count(&mut self, said: Said<'_>) {
        let is_phrase = said.unit == Unit::Phrase;
        if said.text.len() > LONGEST || said.text.len() < SHORTEST && !is_phrase {
            return;
        }
        let whole = digest(said.role, said.unit, said.text);
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        if self.by.len() >= ROOM && !self.by.contains_key(&half) {
            self.make_room();
        }
        let passage = self.by.entry(half).or_insert_with(|| Passage {
            digest: hex(&half),
            role: Word(said.role),
            unit: Word(said.unit),
            count: 0,
            callers: Vec::new(),
            price: 0,
            tokens: 0,
            text: None,
        });
        passage.count += 1;
        passage.price = passage.price.saturating_add(said.price);
        if passage.callers.len() < self.callers && !passage.callers.contains(&said.caller) {
            passage.callers.push(said.caller);
        }
        let is_common = passage.callers.len() >= self.callers && passage.count >= REPEATS;
        if passage.text.is_none() && is_common && self.words + said.text.len() <= WORDS {
            self.words += said.text.len();
            passage.tokens = Vocabulary::O200k.count(said.text) as u64;
            passage.text = Some(said.text.to_owned());
        }
    }

    /// Forgets what came least often, until a quarter of the room is free.
    fn make_room(&mut self) {
        let mut least = 1;
        while self.by.len() > ROOM - ROOM / 4 {
            let words = &mut self.words;
            self.by.retain(|_, passage| {
                let stays = passage.count > least;
                if !stays {
                    *words -= passage.text.as_ref().map_or(0, String::len);
                }
                stays
            });
            least *= 2;
        }
    }

    /// Those that came more than once.
    pub(super) fn repeated(&self) -> Vec<Passage> {
        let all = self.by.values();
        all.filter(|passage| passage.count > 1).cloned().collect()
    }
}

// === impl Passage ===

impl Passage {
    /// The name that a rule about it has.
    pub fn id(&self) -> String {
        id(&read(&self.digest).unwrap_or_default())
    }

    /// Whose words.
    pub fn role(&self) -> Role {
        self.role.0
    }

    /// How much of a message.
    pub fn unit(&self) -> Unit {
        self.unit.0
    }

    /// What it has cost, in nano-dollars, at the price of tokens that the provider did not have in its cache.
    pub fn cost(&self) -> u64 {
        u64::try_from(u128::from(self.price) * u128::from(self.tokens) / 1_000).unwrap_or(u64::MAX)
    }

    /// The tokens that were sent for it.
    pub fn spent_tokens(&self) -> u64 {
        self.tokens.saturating_mul(self.count)
    }
}

fn read(digits: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, caller: u64) -> Said<'_> {
        Said {
            role: Role::System,
            unit: Unit::Text,
            text,
            caller,
            price: 3_000_000,
        }
    }

    fn text(n: usize) -> String {
        format!("{n} {}", "You answer letters for us. ".repeat(10))
    }

    #[test]
    fn a_text_is_kept_once_enough_callers_sent_it_and_not_before() {
        let mut passages = Passages::new(3, Vec::new());
        let text = text(0);
        for caller in [1, 1, 1, 2, 2, 1] {
            passages.count(said(&text, caller));
            assert!(
                passages
                    .repeated()
                    .iter()
                    .all(|passage| passage.text.is_none())
            );
            let all = serde_json::to_string(&passages.repeated()).unwrap();
            assert!(!all.contains("letters"), "{all}");
        }
        passages.count(said(&text, 3));
        let [passage] = &passages.repeated()[..] else {
            panic!("one text came again");
        };
        assert_eq!(passage.text.as_deref(), Some(&*text));
        assert_eq!((passage.count, passage.callers.len()), (7, 3));
        // Seven times at three dollars a million.
        assert_eq!(passage.cost(), 7 * passage.tokens * 3_000);
        assert_eq!(passage.id(), id(&digest(Role::System, Unit::Text, &text)));
        // What is read back goes on, and whoever asks for more callers sees less.
        let again = Passages::new(3, passages.repeated());
        assert_eq!(again.words, text.len());
        let more = Passages::new(4, passages.repeated());
        assert!(more.repeated()[0].text.is_none());
    }

    #[test]
    fn a_flood_of_texts_stays_within_its_room_and_loses_none_that_repeats() {
        let mut passages = Passages::new(1, Vec::new());
        let common = text(0);
        for n in 1..=3 * ROOM {
            passages.count(said(&text(n), 1));
            if n % 100 == 0 {
                passages.count(said(&common, 1));
            }
        }
        assert!(passages.by.len() <= ROOM);
        let [passage] = &passages.repeated()[..] else {
            panic!("what came once does not repeat");
        };
        assert_eq!(passage.text.as_deref(), Some(&*common));
        assert!(passage.count > 2 * ROOM as u64 / 100, "{}", passage.count);
        // Words have a bound of their own.
        for n in 0..80 {
            let long = format!("{n} {}", "x ".repeat(LONGEST / 2 - 50));
            for _ in 0..REPEATS {
                passages.count(said(&long, 1));
            }
        }
        assert!(passages.words <= WORDS);
    }

    #[test]
    fn what_is_too_short_or_a_document_is_not_counted() {
        let mut passages = Passages::new(1, Vec::new());
        for text in ["short".to_owned(), "x".repeat(LONGEST + 1)] {
            for _ in 0..9 {
                passages.count(said(&text, 1));
            }
        }
        assert!(passages.by.is_empty());
    }
}
