//! What compression has learned, and how the version in force does against the hold-out.

use crate::metering::exposition::{Exposition, Kind};
use crate::tuning::learn::Known;

pub(super) fn write(text: &mut Exposition, known: &Known) {
    for (name, help, value) in [
        (
            "version",
            "The version of the learned rules in force.",
            u64::from(known.version),
        ),
        ("texts", "Shorter texts that it has.", known.rules as u64),
        (
            "rules_left_out",
            "Rules of the compressor that it leaves out in a kind of content.",
            known.skips as u64,
        ),
    ] {
        text.single(
            &format!("pegasus_nest_learned_{name}"),
            Kind::Gauge,
            help,
            value,
        );
    }
    let name = "pegasus_nest_learned_requests_total";
    text.metric(
        name,
        Kind::Counter,
        "Paid requests that were looked at, and those that there was no time for.",
    );
    for (what, count) in [("looked_at", known.heard.0), ("missed", known.heard.1)] {
        text.sample(name, &[("what", what)], count);
    }
    let name = "pegasus_nest_learned_conversations";
    text.metric(
        name,
        Kind::Gauge,
        "Conversations under the version in force, shortened or held out, and what their first requests came to.",
    );
    for (arm, side) in [
        ("shortened", known.trial.treated),
        ("held_out", known.trial.held),
    ] {
        for (outcome, count) in [
            ("all", side.requests),
            ("failed", side.failed),
            ("cut_off", side.cut),
            ("asked_again", side.again),
        ] {
            text.sample(name, &[("arm", arm), ("outcome", outcome)], count);
        }
    }
}
