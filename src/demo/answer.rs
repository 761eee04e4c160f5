//! Composes the simulated model's text from the prompt, and counts and cuts it as a model would:
//! pure functions, so that the same request always reads the same.

use serde_json::json;

use super::hash;

/// How much of the question is quoted, in words and in characters.
const QUOTED_WORDS: usize = 12;
const QUOTED_CHARS: usize = 80;
const REVERSED_CHARS: usize = 24;

/// Three of these end each answer; which three depends on the question.
const REMARKS: [&str; 8] = [
    "No model was called: this text was composed from your request by a few fixed rules.",
    "The same request always gets this same text, so repeating it shows the cache at work.",
    "Change one word and the answer may change too, so a miss is as easy to show as a hit.",
    "Nothing here is advice, and your question went no further than the machine that answers.",
    "Sent twice at the same moment, this request would still travel upstream only once.",
    "With a real upstream configured, the very same path would lead to a real model instead.",
    "Its tokens are counted by words and punctuation marks, so take the figures as rough ones.",
    "Streaming sends these words one by one, and a whole answer arrives after a short pause.",
];

/// What an answer is composed from.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) model: String,
    /// The last message of the user.
    pub(super) text: String,
    /// Messages of the user and the assistant before it.
    pub(super) earlier_turns: usize,
}

impl Question {
    /// Stands for this question's choice number `index`.
    pub(super) fn seed(&self, index: usize) -> u64 {
        let index = index.to_string();
        hash([
            self.model.as_bytes(),
            self.text.as_bytes(),
            index.as_bytes(),
        ])
    }

    /// The answer as text: 50 to 120 words.
    pub(super) fn answer(&self, index: usize) -> String {
        let quoted = self.quoted();
        let backwards: String = quoted.chars().take(REVERSED_CHARS).collect();
        let backwards: String = backwards.chars().rev().collect();
        let model = clip(self.model.trim(), QUOTED_CHARS);
        let words = counted(self.text.split_whitespace().count(), "word");
        let characters = counted(self.text.chars().count(), "character");
        let turns = match self.earlier_turns {
            0 => "no earlier turns".to_owned(),
            turns => counted(turns, "earlier turn"),
        };
        let mut answer = format!(
            "[simulated answer] You asked: “{quoted}”. Standing in for {model}, I count {words} in \
             {characters}, after {turns} of our conversation. Its beginning, read \
             backwards, is “{backwards}”."
        );
        // An odd step visits all eight remarks before it repeats one.
        let seed = self.seed(index).to_le_bytes();
        let step = usize::from(seed[1]) * 2 + 1;
        for turn in 0..3 {
            answer.push(' ');
            answer.push_str(REMARKS[(usize::from(seed[0]) + turn * step) % REMARKS.len()]);
        }
        answer
    }

    /// The answer as one JSON object, for clients that asked for JSON.
    pub(super) fn json_answer(&self, index: usize) -> String {
        let answer = self.answer(index);
        json!({"simulated": true, "question": self.quoted(), "answer": answer}).to_string()
    }

    /// The question's first words, on one line.
    fn quoted(&self) -> String {
        let mut words = self.text.split_whitespace();
        let first: Vec<&str> = words.by_ref().take(QUOTED_WORDS).collect();
        let mut quoted = clip(&first.join(" "), QUOTED_CHARS);
        if words.next().is_some() && !quoted.ends_with('…') {
            quoted.push('…');
        }
        quoted
    }
}

fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text.to_owned(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Why a text ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
}

impl Finish {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Ends the text before the first stop sequence and after `max_tokens` tokens.
pub(super) fn cut(text: &mut String, stops: &[String], max_tokens: Option<usize>) -> Finish {
    let stop = stops
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| text.find(stop));
    if let Some(end) = stop.min() {
        text.truncate(end);
    }
    let Some(last) = max_tokens.and_then(|max| max.checked_sub(1)) else {
        return Finish::Stop;
    };
    let end = token_ends(text).nth(last).unwrap_or(text.len());
    if count_tokens(&text[end..]) == 0 {
        return Finish::Stop;
    }
    text.truncate(end);
    Finish::Length
}

/// The number of tokens: words, and every other visible character by itself.
pub(super) fn count_tokens(text: &str) -> usize {
    token_ends(text).count()
}

/// Where each token ends, in bytes.
fn token_ends(text: &str) -> impl Iterator<Item = usize> {
    // Scripts from the CJK blocks on write no spaces: there, a character is taken for a word.
    let in_word = |c: char| c.is_alphanumeric() && c < '\u{2E80}';
    let mut chars = text
        .char_indices()
        .filter(|(_, c)| !c.is_control())
        .peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.find(|(_, c)| !c.is_whitespace())?;
        let mut end = start + first.len_utf8();
        if in_word(first) {
            while let Some((at, c)) = chars.next_if(|&(at, c)| at == end && in_word(c)) {
                end = at + c.len_utf8();
            }
        }
        Some(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(text: &str) -> Question {
        Question {
            model: "m".to_owned(),
            text: text.to_owned(),
            earlier_turns: 0,
        }
    }

    #[test]
    fn an_answer_quotes_counts_and_reverses_the_question() {
        let answer = Question {
            earlier_turns: 2,
            ..question("What is\na nest?")
        }
        .answer(0);
        let expected = "[simulated answer] You asked: “What is a nest?”. Standing in for m, I \
                        count 4 words in 15 characters, after 2 earlier turns of our \
                        conversation. Its beginning, read backwards, is “?tsen a si tahW”. ";
        assert!(answer.starts_with(expected), "{answer}");
    }

    #[test]
    fn answers_differ_by_question_model_and_choice() {
        let asked = question("a");
        let other_model = Question {
            model: "n".to_owned(),
            ..question("a")
        };
        let answers = [
            asked.answer(0),
            question("b").answer(0),
            other_model.answer(0),
        ];
        assert_ne!(answers[0], answers[1]);
        assert_ne!(answers[0], answers[2]);
        assert!((1..4).any(|index| asked.answer(index) != answers[0]));
    }

    #[test]
    fn tokens_are_words_and_marks() {
        for (text, tokens) in [
            ("", 0),
            (" \n\t", 0),
            ("Hello, world!", 4),
            ("naïve 3rd x", 3),
            ("你好 ab", 3),
            ("🪺🪺", 2),
            ("a\u{0}b", 2),
        ] {
            assert_eq!(count_tokens(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cut_at_the_first_stop_and_after_the_last_token() {
        let cut = |stops: &[&str], max| {
            let mut text = "one two, three. ".to_owned();
            let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
            let finish = cut(&mut text, &stops, max);
            (text, finish)
        };
        let whole = || ("one two, three. ".to_owned(), Finish::Stop);
        assert_eq!(cut(&[], None), whole());
        assert_eq!(cut(&["four", ""], Some(5)), whole());
        assert_eq!(cut(&[], Some(3)), ("one two,".to_owned(), Finish::Length));
        assert_eq!(
            cut(&["three", " two"], None),
            ("one".to_owned(), Finish::Stop)
        );
        assert_eq!(
            cut(&["three"], Some(3)),
            ("one two, ".to_owned(), Finish::Stop)
        );
        assert_eq!(cut(&["three"], Some(1)), ("one".to_owned(), Finish::Length));
        assert_eq!(cut(&["one"], Some(1)), (String::new(), Finish::Stop));
    }

    proptest! {
        #[test]
        fn an_answer_has_50_to_120_words_whatever_was_asked(
            text in prop_oneof!["\\PC{0,300}", "([a-z]{1,9} ){0,99}", Just("long".repeat(9999))],
            model in "[a-z/ -]{0,99}",
            earlier_turns in 0..999_usize,
            index in 0..4_usize,
        ) {
            let question = Question { model, text, earlier_turns };
            let answer = question.answer(index);
            let words = answer.split_whitespace().count();
            prop_assert!((50..=120).contains(&words), "{words} words: {answer}");
            prop_assert_eq!(question.answer(index), answer);
        }

        #[test]
        fn max_tokens_is_an_upper_bound_and_cuts_nothing_else(text in "\\PC{0,80}", max in 1..60_usize) {
            let mut short = text.clone();
            let finish = cut(&mut short, &[], Some(max));
            prop_assert!(text.starts_with(&short));
            prop_assert_eq!(count_tokens(&short), count_tokens(&text).min(max));
            prop_assert_eq!(finish == Finish::Length, count_tokens(&text) > max);
        }
    }
}
