//! The comparison with the hold-out: what was saved, how sure that is, and whether answers suffer.
//!
//! Each conversation counts with its first request alone, so that the numbers are independent of each other. Means are
//! compared by Welch's statistic, shares by that of two proportions with a pooled variance; both are taken for normal.
//! The comparison is looked at every minute, so a difference must be far beyond chance before it is believed: 3.5 standard
//! errors are one look in four thousand. Intervals are those of 95 %, for people.

use serde::{Deserialize, Serialize};

pub use numbers::Estimate;
use numbers::Moments;
use numbers::{NINETY_FIVE, Ratio, distance, number};

mod numbers;
#[cfg(test)]
mod tests;

/// A difference is believed from so many standard errors on.
const SURE: f64 = 3.5;
/// So many conversations must be held out before anything is said.
const ENOUGH: u64 = 50;
/// And so many cases of what is counted, or the share is not normal.
const CASES: u64 = 5;
/// What a token of an answer costs in tokens of prompts: it is four or five times at most providers.
const ANSWER: f64 = 4.0;

/// The conversations of a version, or those of them that have the text of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Those that are shortened.
    pub treated: Arm,
    /// Those that are held out.
    pub held: Arm,
    /// What the first ones saved.
    saving: Ratio,
}

/// One side of the comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Conversations.
    pub requests: u64,
    /// Those whose first request failed.
    pub failed: u64,
    /// Those in which the caller soon asked nearly the same again.
    pub again: u64,
    /// Answers of which it is known how they ended.
    pub ended: u64,
    /// Those that were cut off at a limit of tokens.
    pub cut: u64,
    /// Prompt tokens, as the provider counted them.
    pub prompt: Moments,
    /// Tokens of answers.
    pub answer: Moments,
}

/// What a first request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// Tokens of its prompt as it was sent.
        prompt: u64,
        /// Tokens of the answer.
        answer: u64,
        /// Whether that was cut off at a limit of tokens, where it is known.
        is_cut: Option<bool>,
    },
    /// It failed.
    Failed,
}

/// What suffers where texts are shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// More requests fail.
    Failures,
    /// More callers ask again.
    Repeats,
    /// More answers are cut off.
    Cuts,
    /// Answers are longer by more than is saved.
    Length,
}

// === impl Trial ===

impl Trial {
    /// A first request, and how many tokens were taken out of it.
    pub fn note(&mut self, is_held: bool, saved: u64, outcome: Outcome) {
        let arm = self.arm(is_held);
        arm.requests += 1;
        match outcome {
            Outcome::Failed => arm.failed += 1,
            Outcome::Answered {
                prompt,
                answer,
                is_cut,
            } => {
                arm.prompt.add(number(prompt));
                arm.answer.add(number(answer));
                if let Some(is_cut) = is_cut {
                    arm.ended += 1;
                    arm.cut += u64::from(is_cut);
                }
                if !is_held {
                    let saved = number(saved);
                    self.saving.add(saved, saved + number(prompt));
                }
            }
        }
    }

    /// The caller of an earlier one asked nearly the same again.
    pub fn asked_again(&mut self, is_held: bool) {
        self.arm(is_held).again += 1;
    }

    fn arm(&mut self, is_held: bool) -> &mut Arm {
        if is_held {
            &mut self.held
        } else {
            &mut self.treated
        }
    }

    /// The share of prompt tokens that is saved; `None` before there is one.
    pub fn saving(&self) -> Option<Estimate> {
        self.saving.estimate()
    }

    /// Tokens saved in a request.
    pub fn saved_tokens(&self) -> f64 {
        let requests = self.treated.prompt.count;
        if requests == 0 {
            return 0.0;
        }
        self.saving.part / number(requests)
    }

    /// By how many tokens answers are longer where texts are shortened; `None` before it is known.
    pub fn longer_answers(&self) -> Option<Estimate> {
        let (treated, held) = (self.treated.answer, self.held.answer);
        let error = (treated.error()?.powi(2) + held.error()?.powi(2)).sqrt();
        Some(Estimate {
            value: treated.mean()? - held.mean()?,
            give: NINETY_FIVE * error,
        })
    }

    /// What suffers, if that is beyond chance.
    pub fn harm(&self) -> Option<Harm> {
        let Self { treated, held, .. } = self;
        if held.requests.min(treated.requests) < ENOUGH {
            return None;
        }
        let is_more = |cases: fn(&Arm) -> u64, of: fn(&Arm) -> u64| {
            let (treated, held) = ((cases(treated), of(treated)), (cases(held), of(held)));
            treated.0 + held.0 >= CASES && distance(treated, held) >= SURE
        };
        if is_more(|arm| arm.failed, |arm| arm.requests) {
            Some(Harm::Failures)
        } else if is_more(|arm| arm.again, |arm| arm.requests) {
            Some(Harm::Repeats)
        } else if is_more(|arm| arm.cut, |arm| arm.ended) {
            Some(Harm::Cuts)
        } else {
            let longer = self.longer_answers()?;
            let is_sure = longer.value * NINETY_FIVE >= SURE * longer.give && longer.value > 0.0;
            (is_sure && longer.value * ANSWER > self.saved_tokens()).then_some(Harm::Length)
        }
    }

    /// The figures, in a sentence.
    pub fn tell(&self) -> String {
        let share = |cases: u64, of: u64| 100.0 * number(cases) / number(of.max(1));
        let Self { treated, held, .. } = self;
        let mut told = vec![format!(
            "{} conversations shortened, {} held out",
            treated.requests, held.requests
        )];
        if let Some(saving) = self.saving() {
            let (value, give) = (100.0 * saving.value, 100.0 * saving.give);
            told.push(format!("{value:.1} % ± {give:.1} of prompt tokens saved"));
        }
        if let Some(longer) = self.longer_answers() {
            let Estimate { value, give } = longer;
            told.push(format!("answers {value:+.1} ± {give:.1} tokens"));
        }
        told.push(format!(
            "cut off {:.1} % against {:.1} %, failed {:.1} % against {:.1} %, asked again {:.1} % against {:.1} %",
            share(treated.cut, treated.ended),
            share(held.cut, held.ended),
            share(treated.failed, treated.requests),
            share(held.failed, held.requests),
            share(treated.again, treated.requests),
            share(held.again, held.requests),
        ));
        told.join("; ")
    }
}

// === impl Harm ===

impl Harm {
    /// What is wrong, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "more requests fail",
            Self::Repeats => "more callers ask again",
            Self::Cuts => "more answers are cut off",
            Self::Length => "answers grow by more than is saved",
        }
    }
}
