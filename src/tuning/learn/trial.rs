//! The comparison with the hold-out: what was saved, how sure that is, and whether answers suffer.
//!
//! Each conversation counts with its first request alone, so that the numbers are independent of each other. Means are
//! compared by Welch's statistic, shares by that of two proportions with a pooled variance; both are taken for normal.
//! The comparison is looked at every minute, so a difference must be far beyond chance before it is believed: 3.5 standard
//! errors are one look in four thousand. Intervals are those of 95 %, for people.

use serde::{Deserialize, Serialize};

/// A difference is believed from so many standard errors on.
const SURE: f64 = 3.5;
/// Half of an interval that holds 95 %, in standard errors.
const NINETY_FIVE: f64 = 1.96;
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

/// Numbers by their sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    count: u64,
    sum: f64,
    squares: f64,
}

/// Pairs of numbers by their sums, for the share that the ones are of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    part: f64,
    whole: f64,
    parts_squared: f64,
    wholes_squared: f64,
    products: f64,
}

/// A figure and half the width of the interval that holds it with 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Half the width.
    pub give: f64,
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
        if is_held { &mut self.held } else { &mut self.treated }
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
        let mut told = format!(
            "{} conversations shortened, {} held out",
            treated.requests, held.requests
        );
        if let Some(saving) = self.saving() {
            let (value, give) = (100.0 * saving.value, 100.0 * saving.give);
            told += &format!("; {value:.1} % ± {give:.1} of prompt tokens saved");
        }
        if let Some(longer) = self.longer_answers() {
            told += &format!("; answers {:+.1} ± {:.1} tokens", longer.value, longer.give);
        }
        told + &format!(
            "; cut off {:.1} % against {:.1} %, failed {:.1} % against {:.1} %, asked again {:.1} % against {:.1} %",
            share(treated.cut, treated.ended),
            share(held.cut, held.ended),
            share(treated.failed, treated.requests),
            share(held.failed, held.requests),
            share(treated.again, treated.requests),
            share(held.again, held.requests),
        )
    }
}

/// How many standard errors the first share is above the second.
fn distance((cases, of): (u64, u64), (other_cases, other_of): (u64, u64)) -> f64 {
    if of == 0 || other_of == 0 {
        return 0.0;
    }
    let pooled = number(cases + other_cases) / number(of + other_of);
    let variance = pooled * (1.0 - pooled) * (1.0 / number(of) + 1.0 / number(other_of));
    if variance <= 0.0 {
        return 0.0;
    }
    (number(cases) / number(of) - number(other_cases) / number(other_of)) / variance.sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 here")]
fn number(count: u64) -> f64 {
    count as f64
}

// === impl Moments ===

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / number(self.count))
    }

    /// The standard error of their mean.
    fn error(&self) -> Option<f64> {
        let count = number(self.count);
        (self.count > 1).then(|| {
            let variance = (self.squares - self.sum * self.sum / count).max(0.0) / (count - 1.0);
            (variance / count).sqrt()
        })
    }
}

// === impl Ratio ===

impl Ratio {
    fn add(&mut self, part: f64, whole: f64) {
        self.part += part;
        self.whole += whole;
        self.parts_squared += part * part;
        self.wholes_squared += whole * whole;
        self.products += part * whole;
    }

    /// The ratio of the sums; its error is that of its linear approximation (Cochran, Sampling Techniques, section 6.4).
    fn estimate(&self) -> Option<Estimate> {
        if self.whole <= 0.0 {
            return None;
        }
        let value = self.part / self.whole;
        let squares = self.parts_squared - 2.0 * value * self.products
            + value * value * self.wholes_squared;
        Some(Estimate {
            value,
            give: NINETY_FIVE * squares.max(0.0).sqrt() / self.whole,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answer: u64, is_cut: bool) -> Outcome {
        Outcome::Answered {
            prompt: 800,
            answer,
            is_cut: Some(is_cut),
        }
    }

    /// A trial of so many on each side; the n-th of each comes to what these say.
    fn trial(
        sizes: [u64; 2],
        treated: impl Fn(u64) -> Outcome,
        held: impl Fn(u64) -> Outcome,
    ) -> Trial {
        let mut trial = Trial::default();
        (0..sizes[0]).for_each(|n| trial.note(false, 200, treated(n)));
        (0..sizes[1]).for_each(|n| trial.note(true, 0, held(n)));
        trial
    }

    #[test]
    fn two_sides_that_are_alike_do_no_harm() {
        let same = |n: u64| if n.is_multiple_of(20) { Outcome::Failed } else { answered(90 + n % 21, n.is_multiple_of(10)) };
        let trial = trial([5_000, 100], same, same);
        assert_eq!(trial.harm(), None);
        let saving = trial.saving().unwrap();
        assert!((saving.value - 0.2).abs() < 1e-9 && saving.give < 1e-6, "{saving:?}");
        assert!((trial.saved_tokens() - 200.0).abs() < 1e-9);
        let longer = trial.longer_answers().unwrap();
        assert!(longer.value.abs() < longer.give, "{longer:?}");
    }

    #[test]
    fn each_harm_beyond_chance_is_named() {
        let well = |n: u64| answered(90 + n % 21, false);
        let fails = |n: u64| if n % 5 == 0 { Outcome::Failed } else { well(n) };
        assert_eq!(trial([5_000, 100], fails, well).harm(), Some(Harm::Failures));
        assert_eq!(trial([5_000, 100], well, fails).harm(), None, "the hold-out is worse");
        assert_eq!(trial([5_000, 49], fails, well).harm(), None, "too few to say");
        let cut = |n: u64| answered(90 + n % 21, n % 4 == 0);
        assert_eq!(trial([5_000, 100], cut, well).harm(), Some(Harm::Cuts));
        // Sixty tokens more of an answer are worth more than the 200 of the prompt, thirty are not.
        let long = |more: u64| move |n: u64| answered(90 + more + n % 21, false);
        assert_eq!(trial([5_000, 100], long(60), well).harm(), Some(Harm::Length));
        assert_eq!(trial([5_000, 100], long(30), well).harm(), None);
        let mut again = trial([5_000, 100], well, well);
        (0..1_000).for_each(|_| again.asked_again(false));
        assert_eq!(again.harm(), Some(Harm::Repeats));
        assert!(again.tell().contains("asked again 20.0 % against 0.0 %"), "{}", again.tell());
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        let trial = Trial::default();
        assert_eq!((trial.harm(), trial.saving(), trial.longer_answers()), (None, None, None));
        assert!(trial.tell().starts_with("0 conversations"), "{}", trial.tell());
    }

    /// The interval of the saving holds what is true about as often as it says.
    #[test]
    fn intervals_hold_the_truth() {
        let mut random = fastrand::Rng::with_seed(7);
        let held = (0..400).filter(|_| {
            let mut trial = Trial::default();
            for _ in 0..200 {
                let whole = random.u64(200..2_000);
                // A fifth, on the average.
                let saved = whole * random.u64(0..=40) / 100;
                let outcome = Outcome::Answered {
                    prompt: whole - saved,
                    answer: 1,
                    is_cut: None,
                };
                trial.note(false, saved, outcome);
            }
            let saving = trial.saving().unwrap();
            (saving.value - 0.2).abs() <= saving.give
        });
        let held = held.count();
        assert!((360..=397).contains(&held), "{held} of 400");
    }
}
