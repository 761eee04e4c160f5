//! What fetching ahead did, and what that brought.

use crate::metering::exposition::{Exposition, Kind, dollars};
use crate::tuning::prefetch::Prefetch;

pub(super) fn write(text: &mut Exposition, prefetch: &Prefetch) {
    let figures = prefetch.stats().figures();
    let name = "pegasus_nest_prefetch_calls_total";
    text.metric(
        name,
        Kind::Counter,
        "Calls that were made before anybody asked, by why.",
    );
    for (kind, count) in &figures.begun {
        text.sample(name, &[("kind", kind.as_str())], count);
    }
    let name = "pegasus_nest_prefetch_answers_total";
    text.metric(
        name,
        Kind::Counter,
        "What became of them: asked for while fresh, not asked for, no answer, or one that was there.",
    );
    for (outcome, count) in [
        ("used", figures.used),
        ("unused", figures.unused),
        ("failed", figures.failed),
        ("was_there", figures.was_there),
    ] {
        text.sample(name, &[("outcome", outcome)], count);
    }
    let name = "pegasus_nest_prefetch_held_back_total";
    text.metric(
        name,
        Kind::Counter,
        "Calls that would have paid and were not made, by why.",
    );
    for (why, count) in &figures.held {
        text.sample(name, &[("reason", why.as_str())], count);
    }
    for (name, help, sum) in [
        (
            "pegasus_nest_prefetch_spent_usd_total",
            "What these calls cost, in US dollars.",
            figures.spent_nano_usd,
        ),
        (
            "pegasus_nest_prefetch_wasted_usd_total",
            "What those cost whose answers nobody asked for, in US dollars.",
            figures.wasted_nano_usd,
        ),
    ] {
        text.single(name, Kind::Counter, help, dollars(sum));
    }
    let waits = figures.waits_saved_ms;
    text.single(
        "pegasus_nest_prefetch_wait_saved_seconds_total",
        Kind::Counter,
        "How long clients would have waited for the others.",
        format_args!("{}.{:03}", waits / 1_000, waits % 1_000),
    );
    text.single(
        "pegasus_nest_prefetch_overlooked_total",
        Kind::Counter,
        "Requests that it was not told of, for want of room.",
        prefetch.overlooked(),
    );
    text.single(
        "pegasus_nest_prefetch_stopped",
        Kind::Gauge,
        "Whether nothing is fetched at present because it did not pay.",
        u8::from(figures.is_stopped),
    );
}
