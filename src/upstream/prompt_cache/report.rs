//! What the journal says of marks.

use std::time::Duration;

use super::worth::{LONGEST_PAUSE, Sums};
use crate::metering::tally::usd;
use crate::tuning::journal::{Action, Decision, Gain, Journal, Unit};

const OFF: &str = "prompts are not marked for the provider's cache";
const ON: &str = "beginnings of prompts that are likely to come again are marked";

fn subject(model: &str) -> Box<str> {
    format!("upstream.prompt_cache ({model})").into()
}

/// Prompts of a model are marked for the first time.
pub(super) fn begun(journal: &Journal, model: &str, break_even: f64) {
    let evidence = format!(
        "The beginning of a prompt came again within 5 minutes. By the prices of {model}, to have its provider keep one \
         pays where more than {:.0} of 100 come again, and those like this one do.",
        (break_even * 100.0).ceil(),
    );
    note(journal, model, Action::Applied, (OFF, ON), evidence);
}

/// After a stop it is tried again.
pub(super) fn on_again(journal: &Journal, model: &str) {
    let evidence = "The pause is over: it is measured anew whether it pays.".to_owned();
    note(journal, model, Action::Applied, (OFF, ON), evidence);
}

/// A window has shown that it pays.
pub(super) fn pays(journal: &Journal, model: &str, sums: Sums) {
    let (evidence, gain) = figures(sums);
    let id = note(journal, model, Action::Kept, (ON, ON), evidence);
    journal.measured(id, gain);
}

/// A window has shown that it does not.
pub(super) fn stopped(journal: &Journal, model: &str, sums: Sums, pause: Duration) {
    let (figures, gain) = figures(sums);
    let evidence = format!(
        "{figures} So it stops for {} and is then tried again.",
        hours(pause)
    );
    let id = note(journal, model, Action::Stopped, (ON, OFF), evidence);
    journal.measured(id, gain);
}

/// The upstream refuses marks.
pub(super) fn refused(journal: &Journal, model: &str) {
    let evidence = format!(
        "The upstream refused a marked prompt (400 or 422), and answered the same prompt without its marks: that its \
         client got. So no prompt is marked for {}.",
        hours(LONGEST_PAUSE)
    );
    note(journal, model, Action::Stopped, (ON, OFF), evidence);
}

fn note(
    journal: &Journal,
    model: &str,
    action: Action,
    (before, after): (&str, &str),
    evidence: String,
) -> crate::tuning::journal::Id {
    journal.note(Decision {
        subject: subject(model),
        action,
        before: before.into(),
        after: after.into(),
        evidence: evidence.into(),
        expected: None,
    })
}

fn figures(sums: Sums) -> (String, Gain) {
    let evidence = format!(
        "Within {} minutes {} calls went out marked: {} tokens came out of the provider's cache, which made them ${:.4} \
         cheaper, and {} were put in there, which made them ${:.4} dearer.",
        sums.time.as_secs() / 60,
        sums.calls,
        sums.read_tokens,
        usd(sums.saved),
        sums.written_tokens,
        usd(sums.dearer),
    );
    let gain = Gain {
        amount: sums.usd_per_day(),
        unit: Unit::UsdPerDay,
    };
    (evidence, gain)
}

fn hours(pause: Duration) -> String {
    match pause.as_secs() / 3600 {
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}
