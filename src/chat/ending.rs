//! How the choices of an answer ended, in words that may be shown: what a provider writes there can be anything.

use serde::Deserialize;

use super::answer::{CUT_OFF, FILTERED, GOOD_ENDINGS};

/// What stands for a reason that nobody here knows.
const OTHER: &str = "other";

/// A reason in the spelling of the lists of those that are known.
pub(super) fn known(reason: &str) -> &'static str {
    let lists = [&GOOD_ENDINGS[..], &CUT_OFF, &FILTERED, &["refusal"]];
    let mut known = lists.into_iter().flatten().copied();
    known
        .find(|word| reason.eq_ignore_ascii_case(word))
        .unwrap_or(OTHER)
}

/// Whether a reason that is known says that the answer was cut off at a limit of tokens.
pub fn is_cut_off(reason: &str) -> bool {
    CUT_OFF.contains(&reason)
}

/// The reasons with which the choices of a whole answer ended; none where it is no answer.
pub fn endings_of(body: &[u8]) -> Vec<&'static str> {
    #[derive(Deserialize)]
    struct Ended {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        finish_reason: Option<String>,
    }
    let choices =
        serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Ended { choices }| choices);
    let reasons = choices
        .into_iter()
        .filter_map(|choice| choice.finish_reason);
    reasons.map(|reason| known(&reason)).collect()
}

/// Whether a choice of a whole answer, or of a chunk of one, was cut off at the limit of tokens.
pub fn ended_cut_off(body: &[u8]) -> bool {
    endings_of(body).into_iter().any(is_cut_off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ran_out_of_tokens_was_cut_off() {
        for (body, cut) in [
            (
                &br#"{"choices":[{"finish_reason":"MAX_TOKENS","message":{"content":null}}]}"#[..],
                true,
            ),
            (
                br#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
                true,
            ),
            (
                br#"{"choices":[{"delta":{"content":"length"},"finish_reason":null}]}"#,
                false,
            ),
            (br#"{"choices":[{"finish_reason":"stop"}]}"#, false),
            (b"length", false),
        ] {
            assert_eq!(ended_cut_off(body), cut);
        }
    }

    #[test]
    fn reasons_are_known_words_or_none() {
        let body = br#"{"choices":[{"finish_reason":"STOP"},{"finish_reason":"max_tokens"},{"finish_reason":null},
            {"finish_reason":"because the prompt said so"},{"finish_reason":"content_filter","message":{}}]}"#;
        let endings = ["stop", "max_tokens", "other", "content_filter"];
        assert_eq!(endings_of(body), endings);
        assert!(endings_of(b"{\"error\":{}}").is_empty());
    }
}
