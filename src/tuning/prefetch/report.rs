//! What the journal says of fetching ahead.

use std::time::Duration;

use super::economics::{Stake, Sums, Value};
use super::plan::Order;
use crate::tuning::journal::{Action, Decision, Gain, Id, Journal, Unit};

const SUBJECT: &str = "prefetch";
const OFF: &str = "nothing is fetched ahead";
const ON: &str = "what is likely to be asked is fetched ahead";
const TRIAL: &str = "what is likely to be asked is fetched ahead, with a tenth of the budget";

/// The first call is made.
pub(super) fn begun(journal: &Journal, order: &Order, value: Value) {
    let Stake { wait, cost, .. } = order.stake;
    let evidence = format!(
        "A client would wait {wait:.1} seconds for an answer that costs ${cost:.4}, and {:.0} of 100 like it are asked for while \
         they are fresh. With a second worth ${} (prefetch.value_per_second) it pays from {:.0} of 100 on.",
        order.likelihood * 100.0,
        value.0,
        (value.break_even(order.stake) * 100.0).ceil(),
    );
    note(journal, Action::Applied, (OFF, ON), evidence);
}

/// A window has shown that it pays.
pub(super) fn pays(journal: &Journal, before: Option<Id>, sums: Sums, time: Duration) -> Id {
    let (evidence, gain) = figures(sums, time);
    let id = before.unwrap_or_else(|| note(journal, Action::Kept, (ON, ON), evidence));
    journal.measured(id, gain);
    id
}

/// A window has shown that it does not.
pub(super) fn stopped(journal: &Journal, sums: Sums, time: Duration, pause: Duration) {
    let (figures, gain) = figures(sums, time);
    let hours = match pause.as_secs() / 3_600 {
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    };
    let evidence = format!(
        "{figures} So it stops for {hours} and is then tried again with a tenth of its budget."
    );
    let id = note(journal, Action::Stopped, (ON, OFF), evidence);
    journal.measured(id, gain);
}

/// After a stop it is tried again.
pub(super) fn resumed(journal: &Journal) {
    let evidence = "The pause is over: it is measured anew whether it pays.".to_owned();
    note(journal, Action::Applied, (OFF, TRIAL), evidence);
}

fn note(journal: &Journal, action: Action, (before, after): (&str, &str), evidence: String) -> Id {
    journal.note(Decision {
        subject: SUBJECT.into(),
        action,
        before: before.into(),
        after: after.into(),
        evidence: evidence.into(),
        expected: None,
    })
}

fn figures(sums: Sums, time: Duration) -> (String, Gain) {
    let Sums {
        used,
        unused,
        waits,
        gained,
        lost,
        ..
    } = sums;
    let evidence = format!(
        "Of the last {} answers that were fetched ahead {used} were asked for while they were fresh, which saved clients \
         {waits:.0} seconds of waiting, worth ${gained:.4}; {unused} were not, and cost ${lost:.4}.",
        used + unused,
    );
    let days = time.as_secs_f64() / 86_400.0;
    let gain = Gain {
        amount: if days > 0.0 {
            (gained - lost) / days
        } else {
            0.0
        },
        unit: Unit::UsdPerDay,
    };
    (evidence, gain)
}
