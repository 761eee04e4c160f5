//! What each layer did since the process began, and what it holds.

use super::{learned, prefetch};
use crate::edge::Edge;
use crate::layers::breaker::Snapshot;
use crate::metering::exposition::{Exposition, Kind, dollars};
use crate::metering::overview::is_label;
use crate::metering::{Metrics, ProviderCache};
use crate::store::redis::Health;
use crate::upstream::{SocketUse, Upstream};

/// Circuits that are shown by name. Their names come from clients.
const CIRCUITS: usize = 100;
/// The states of a circuit: as operators read them, and as a label.
const STATES: [(&str, &str); 3] = [
    ("CLOSED", "closed"),
    ("OPEN", "open"),
    ("HALF_OPEN", "half_open"),
];

pub(super) fn write(text: &mut Exposition, edge: &Edge) {
    let stack = &edge.shared.stack;
    counters(text, &stack.metrics);
    compression(text, &stack.metrics);
    if let Some(learning) = &stack.learning {
        learned::write(text, &learning.known());
    }
    provider_cache(text, &stack.metrics.provider_cache);
    cache(text, edge);
    for (name, help, value) in [
        (
            "pegasus_nest_dedup_flights",
            "Calls under way that requests share or could share.",
            stack.flights.len(),
        ),
        (
            "pegasus_nest_dedup_callers",
            "Requests that wait for these calls.",
            stack.flights.callers(),
        ),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    circuits(text, stack.circuits.snapshot());
    if let Some(prefetch) = &stack.prefetch {
        prefetch::write(text, prefetch);
    }
    if let Some(used) = stack.upstream.as_ref().map(Upstream::sockets) {
        sockets(text, used);
    }
    if let Some(health) = stack.store.redis() {
        redis(text, &health);
    }
}

fn counters(text: &mut Exposition, m: &Metrics) {
    for (name, help, count) in [
        (
            "cache_hits_total",
            "Requests answered from the cache.",
            m.hits.get(),
        ),
        (
            "cache_redis_hits_total",
            "Of these, the ones that Redis had.",
            m.redis_hits.get(),
        ),
        (
            "cache_stale_hits_total",
            "Requests answered from the cache past its life.",
            m.stale_hits.get(),
        ),
        (
            "cache_misses_total",
            "Requests for which the cache had no answer.",
            m.misses.get(),
        ),
        (
            "cache_bypasses_total",
            "Requests that did not ask the cache.",
            m.bypasses.get(),
        ),
        (
            "cache_refreshes_total",
            "Calls behind stale answers.",
            m.refreshes.get(),
        ),
        (
            "cache_stored_total",
            "Answers that were put into the cache.",
            m.stored.get(),
        ),
        (
            "dedup_joined_total",
            "Requests answered by a call that another one had begun.",
            m.joined.get(),
        ),
        (
            "dedup_joined_across_instances_total",
            "Of these, the ones whose call another instance made.",
            m.joined_across.get(),
        ),
        (
            "upstream_attempts_total",
            "Attempts upstream.",
            m.attempts.get(),
        ),
        (
            "upstream_failed_attempts_total",
            "Of these, the ones that the upstream failed: without an answer, or with a 5xx.",
            m.failed_attempts.get(),
        ),
        (
            "upstream_retries_total",
            "Attempts after the first, after a backoff.",
            m.retries.get(),
        ),
        (
            "upstream_reconnects_total",
            "Attempts on a new socket because one of the pool was dead.",
            m.reconnects.get(),
        ),
        (
            "upstream_failures_total",
            "Requests that the upstream left without an answer to pass on, after all retries.",
            m.failures.get(),
        ),
        (
            "clients_gone_total",
            "Requests whose clients left before their reply.",
            m.departed.get(),
        ),
        (
            "compression_characters_total",
            "Characters that compression was given.",
            m.compression_chars_before.get(),
        ),
        (
            "compression_characters_saved_total",
            "Characters that compression took out.",
            m.compression_chars_saved.get(),
        ),
    ] {
        text.single(&format!("pegasus_nest_{name}"), Kind::Counter, help, count);
    }
}

/// What compression took out, by rule and kind of content; both are the program's own words.
fn compression(text: &mut Exposition, m: &Metrics) {
    let savings = m.compression();
    for (name, help) in [
        (
            "pegasus_nest_compression_edits_total",
            "Places that compression shortened.",
        ),
        (
            "pegasus_nest_compression_tokens_saved_total",
            "Tokens (o200k_base) that compression took out.",
        ),
    ] {
        text.metric(name, Kind::Counter, help);
        for saving in &savings {
            let labels = [
                ("rule", saving.rule.as_str()),
                ("kind", saving.kind.as_str()),
            ];
            let is_edits = name.ends_with("edits_total");
            let amount = if is_edits {
                saving.edits
            } else {
                saving.tokens
            };
            text.sample(name, &labels, amount);
        }
    }
}

/// What marks for the provider's own cache came to.
fn provider_cache(text: &mut Exposition, marks: &ProviderCache) {
    for (name, help, count) in [
        (
            "prompt_cache_marked_total",
            "Calls whose prompts were marked for the provider's cache.",
            marks.marked.get(),
        ),
        (
            "prompt_cache_refused_total",
            "Of these, the ones that the upstream took without marks alone.",
            marks.refused.get(),
        ),
        (
            "prompt_cache_read_tokens_total",
            "Prompt tokens of theirs that the provider's cache had.",
            marks.read_tokens.get(),
        ),
        (
            "prompt_cache_written_tokens_total",
            "Prompt tokens of theirs that it took in.",
            marks.written_tokens.get(),
        ),
    ] {
        text.single(&format!("pegasus_nest_{name}"), Kind::Counter, help, count);
    }
    for (name, help, sum) in [
        (
            "pegasus_nest_prompt_cache_saved_usd_total",
            "By how much what it had made them cheaper, in US dollars.",
            marks.saved_nano_usd.get(),
        ),
        (
            "pegasus_nest_prompt_cache_surcharge_usd_total",
            "By how much what it took in made them dearer, in US dollars.",
            marks.surcharge_nano_usd.get(),
        ),
    ] {
        text.single(name, Kind::Counter, help, dollars(sum));
    }
}

fn cache(text: &mut Exposition, edge: &Edge) {
    let stack = &edge.shared.stack;
    let memory = &stack.store.memory;
    let name = "pegasus_nest_cache_refused_total";
    text.metric(name, Kind::Counter, "Answers that were not kept, by why.");
    for (reason, count) in stack.metrics.refused.by_reason() {
        text.sample(name, &[("reason", reason)], count);
    }
    let name = "pegasus_nest_cache_evicted_total";
    let help = "Answers that are no longer kept, by why.";
    text.metric(name, Kind::Counter, help);
    let evicted = memory.evictions();
    for (reason, count) in [
        ("size", evicted.size),
        ("expired", evicted.expired),
        ("cleared", evicted.cleared),
    ] {
        text.sample(name, &[("reason", reason)], count);
    }
    let name = "pegasus_nest_cache_entries";
    text.single(name, Kind::Gauge, "Answers that are kept.", memory.len());
    let help = "Bytes of the answers that are kept.";
    let name = "pegasus_nest_cache_bytes";
    text.single(name, Kind::Gauge, help, memory.bytes());
    let help = "The most of them that are kept (cache.max_bytes).";
    let limit = edge.shared.config.cache.max_bytes;
    text.single("pegasus_nest_cache_limit_bytes", Kind::Gauge, help, limit);
}

/// All circuits by their states, and so many of them by name: first those that are not closed.
fn circuits(text: &mut Exposition, mut circuits: Vec<Snapshot>) {
    let name = "pegasus_nest_breaker_circuits";
    text.metric(
        name,
        Kind::Gauge,
        "Circuits, by the state that they are in.",
    );
    for (state, label) in STATES {
        let within = circuits.iter().filter(|circuit| circuit.state == state);
        text.sample(name, &[("state", label)], within.count());
    }
    circuits.retain(|circuit| is_label(&circuit.model));
    circuits.sort_by_key(|circuit| circuit.state == "CLOSED");
    circuits.truncate(CIRCUITS);
    circuits.sort_by(|a, b| a.model.cmp(&b.model));
    let name = "pegasus_nest_breaker_state";
    let help = "1 for the state that a model's circuit is in, 0 for the others; at most a hundred models, first those \
        whose circuits are not closed.";
    text.metric(name, Kind::Gauge, help);
    for circuit in &circuits {
        for (state, label) in STATES {
            let labels = [("model", &*circuit.model), ("state", label)];
            text.sample(name, &labels, u8::from(circuit.state == state));
        }
    }
}

fn sockets(text: &mut Exposition, used: SocketUse) {
    let name = "pegasus_nest_upstream_sockets";
    let help = "Sockets to the upstream: those of calls under way, and those kept for the next one. With upstream.http2 \
        calls, and only those under way.";
    text.metric(name, Kind::Gauge, help);
    text.sample(name, &[("state", "in_use")], used.in_use);
    if let Some(idle) = used.idle {
        text.sample(name, &[("state", "idle")], idle);
    }
    for (name, help, value) in [
        (
            "pegasus_nest_upstream_sockets_limit",
            "The most of them that there may be.",
            used.limit,
        ),
        (
            "pegasus_nest_upstream_waiting_calls",
            "Calls in line for a socket.",
            used.waiting,
        ),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
}

fn redis(text: &mut Exposition, health: &Health) {
    let name = "pegasus_nest_redis_up";
    let is_up = u8::from(health.state == "ok");
    text.single(name, Kind::Gauge, "Whether Redis answers.", is_up);
    let name = "pegasus_nest_redis_queue_length";
    let help = "Writes that wait or are under way.";
    text.single(name, Kind::Gauge, help, health.queued);
    let name = "pegasus_nest_redis_outages_total";
    let help = "Times that Redis was given up for a while.";
    text.single(name, Kind::Counter, help, health.failures);
    for (name, help, label, counts) in [
        (
            "pegasus_nest_redis_lookups_total",
            "Look-ups that were answered, by what they found.",
            "result",
            &[
                ("hit", health.hits),
                ("miss", health.misses),
                ("invalid", health.invalid),
            ][..],
        ),
        (
            "pegasus_nest_redis_writes_total",
            "Answers for Redis, by whether they came to be there.",
            "result",
            &[("written", health.written), ("dropped", health.dropped)],
        ),
        (
            "pegasus_nest_redis_errors_total",
            "Commands that came to nothing, by why.",
            "reason",
            &[
                ("refused", health.refused),
                ("unanswered", health.unanswered),
            ],
        ),
    ] {
        text.metric(name, Kind::Counter, help);
        for (value, count) in counts {
            text.sample(name, &[(label, value)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(model: &str, state: &'static str) -> Snapshot {
        Snapshot {
            name: format!("upstream/{model}"),
            model: model.into(),
            state,
            failure_count: 0,
            last_failure: None,
            next_attempt_in: None,
        }
    }

    #[test]
    fn circuits_that_are_not_closed_are_never_left_out_for_those_that_are() {
        let mut all: Vec<_> = (0..1_000)
            .map(|n| circuit(&format!("m{n:04}"), "CLOSED"))
            .collect();
        all.push(circuit("zz", "OPEN"));
        all.push(circuit(&"z".repeat(5_000), "HALF_OPEN"));
        let mut text = Exposition::default();
        circuits(&mut text, all);
        let text = text.into_text();
        for line in [
            "pegasus_nest_breaker_circuits{state=\"closed\"} 1000\n",
            "pegasus_nest_breaker_circuits{state=\"open\"} 1\n",
            "pegasus_nest_breaker_circuits{state=\"half_open\"} 1\n",
            "pegasus_nest_breaker_state{model=\"zz\",state=\"open\"} 1\n",
            "pegasus_nest_breaker_state{model=\"zz\",state=\"closed\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
        let named = text.matches("pegasus_nest_breaker_state{").count();
        assert_eq!(named, 3 * CIRCUITS);
        assert!(!text.contains("zzz"));
    }
}
