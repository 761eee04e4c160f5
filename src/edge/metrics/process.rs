//! What the process holds at present, by the names that all processes give it where there are some.

use std::time::SystemTime;

use crate::edge::Edge;
use crate::edge::resources::Resources;
use crate::metering::exposition::{Exposition, Kind, seconds};

pub(super) fn write(text: &mut Exposition, edge: &Edge) {
    let resources = edge.resources();
    for (name, help, value) in [
        (
            "pegasus_nest_requests_in_flight",
            "Requests that are worked on.",
            resources.in_flight,
        ),
        (
            "pegasus_nest_requests_in_flight_limit",
            "The most of them that there may be (server.max_in_flight).",
            edge.shared.config.server.max_in_flight as u64,
        ),
        (
            "pegasus_nest_ledger_queue_length",
            "Rows on their way into the figures and the ledger: a request that is over each, or many that are alike.",
            resources.books_waiting,
        ),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    let name = "pegasus_nest_ledger_rows_dropped_total";
    let help = "Requests that are in no ledger: there was no room in the queue, or they could not be written.";
    text.metric(name, Kind::Counter, help);
    for (reason, count) in [
        ("full", resources.rows_dropped),
        ("unwritten", resources.rows_lost),
    ] {
        text.sample(name, &[("reason", reason)], count);
    }
    let name = "pegasus_nest_build_info";
    text.metric(
        name,
        Kind::Gauge,
        "Always 1; its label says which version this is.",
    );
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let began = edge.shared.began;
    let began = began.duration_since(SystemTime::UNIX_EPOCH);
    let began = began.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
    let name = "process_start_time_seconds";
    let help = "When the process began to serve, in seconds since 1970.";
    text.single(name, Kind::Gauge, help, seconds(began));
    system(text, &resources);
}

/// What only the system knows, where it tells: a zero would be taken for one.
fn system(text: &mut Exposition, resources: &Resources) {
    if let Some(cpu) = cpu_micros() {
        let name = "process_cpu_seconds_total";
        let help = "User and system CPU time spent in seconds.";
        text.single(name, Kind::Counter, help, seconds(cpu));
    }
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(0);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resources.resident_bytes,
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            resources.descriptors,
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            limit,
        ),
    ] {
        if value > 0 {
            text.single(name, Kind::Gauge, help, value);
        }
    }
}

/// The processor time taken so far, user and system.
fn cpu_micros() -> Option<u64> {
    /// `USER_HZ` is 100 on every Linux that Rust runs on.
    const TICK: u64 = 10_000;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in the second field may hold blanks and brackets; what follows it does not.
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * TICK)
}
