//! Callers who soon ask nearly the same again: perhaps the answer was no good.
//!
//! Of a question nothing is kept but the smallest hashes of its words, by which two texts can be compared (Broder, On the
//! resemblance and containment of documents, 1997).

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::Instant;

/// So many questions are remembered.
const KEPT: usize = 2_048;
/// For so long.
const SOON: Duration = Duration::from_mins(10);
/// Of each, so many hashes.
const HASHES: usize = 8;
/// So many of them are the same where two questions are nearly the same.
const NEARLY: usize = 6;

const WORDS: FixedState = FixedState::with_seed(0x0a11_0f7e_3b95_c2d8);

/// The last questions, each with what is to be told when it is asked again.
pub(super) struct Questions<T> {
    asked: VecDeque<Asked<T>>,
}

struct Asked<T> {
    caller: u64,
    sketch: [u32; HASHES],
    at: Instant,
    about: Option<T>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self {
            asked: VecDeque::new(),
        }
    }
}

impl<T> Questions<T> {
    /// A caller asks. Gives what was said about the last question that was nearly the same, once.
    pub(super) fn ask(
        &mut self,
        caller: u64,
        question: &str,
        now: Instant,
        about: Option<T>,
    ) -> Option<T> {
        let sketch = sketch(question);
        let is_over = |asked: &Asked<T>| now.saturating_duration_since(asked.at) > SOON;
        while self.asked.len() >= KEPT || self.asked.front().is_some_and(is_over) {
            self.asked.pop_front();
        }
        let mut before = self.asked.iter_mut().rev();
        let before =
            before.find(|asked| asked.caller == caller && are_alike(&asked.sketch, &sketch));
        let told = before.and_then(|asked| asked.about.take());
        self.asked.push_back(Asked {
            caller,
            sketch,
            at: now,
            about,
        });
        told
    }
}

/// The smallest hashes of a text's words, in order; where it has fewer, the rest is the largest number.
fn sketch(text: &str) -> [u32; HASHES] {
    let mut smallest = [u32::MAX; HASHES];
    let words = text.split(|c: char| !c.is_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half of a hash is one"
        )]
        let hash = WORDS.hash_one(word.to_lowercase()) as u32;
        let at = smallest.partition_point(|known| *known < hash);
        if at < HASHES && smallest[at] != hash {
            smallest[at..].rotate_right(1);
            smallest[at] = hash;
        }
    }
    smallest
}

fn are_alike(one: &[u32; HASHES], other: &[u32; HASHES]) -> bool {
    let words = |sketch: &[u32; HASHES]| sketch.iter().filter(|hash| **hash < u32::MAX).count();
    let same = one
        .iter()
        .filter(|hash| **hash < u32::MAX && other.contains(hash))
        .count();
    same > 0 && same * HASHES >= NEARLY * words(one).max(words(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_put_otherwise_is_the_same_and_told_once() {
        let mut questions = Questions::default();
        let first = "Please write me a friendly letter to the tenants of the house about the broken heating";
        let again =
            "Write a friendly letter to the tenants of the house about the broken heating, please";
        let other =
            "Which birds sing at dawn in the gardens of Vienna, and why so early in the year?";
        let mut ask = |caller, question: &str, about| {
            questions.ask(caller, question, Instant::now(), Some(about))
        };
        assert_eq!(ask(1, first, "first"), None);
        assert_eq!(ask(2, again, "of another caller"), None);
        assert_eq!(ask(1, other, "other"), None);
        assert_eq!(ask(1, again, "again"), Some("first"));
        // The latest one is meant from then on, and whoever asks late does not ask again.
        assert_eq!(ask(1, first, "third"), Some("again"));
        // Short ones must be the same.
        assert_eq!(ask(3, "Go on.", "short"), None);
        assert_eq!(ask(3, "Stop it.", "short"), None);
        assert_eq!(ask(3, "go on!", "short"), Some("short"));
        tokio::time::advance(SOON + Duration::from_secs(1)).await;
        assert_eq!(ask(1, first, "late"), None);
    }

    #[test]
    fn a_flood_of_questions_stays_within_its_room() {
        let mut questions = Questions::default();
        let now = Instant::now();
        for n in 0..KEPT + 100 {
            let question = format!("a{n} b{n} c{n} d{n} e{n} f{n} g{n} h{n}");
            questions.ask(1, &question, now, Some(()));
        }
        assert!(questions.asked.len() <= KEPT);
    }
}
