//! When a request came and how long its answer took, in the spellings that logs have.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::members::{Kind, Members, kind, number, text};

/// The names that times go by.
pub(super) const TIMES: [&str; 14] = [
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "start_time",
    "startTime",
    "request_created_at",
    "created_at",
    "createdAt",
    "started_at",
    "created",
    "datetime",
    "date",
    "request_time",
];

/// Durations in milliseconds, and in seconds.
pub(super) const MILLIS: [&str; 6] = [
    "latency_ms",
    "duration_ms",
    "delay_ms",
    "elapsed_ms",
    "response_ms",
    "took_ms",
];
pub(super) const SECONDS: [&str; 5] = [
    "latency",
    "duration",
    "latency_s",
    "response_time",
    "elapsed",
];

/// The ends that stand beside the times.
pub(super) const ENDS: [&str; 5] = [
    "end_time",
    "endTime",
    "ended_at",
    "completed_at",
    "response_created_at",
];

/// No call took longer.
const LONGEST: Duration = Duration::from_hours(24);

/// Milliseconds since 1970 (UTC): RFC 3339, with or without an offset, or a number of seconds, milli-, micro- or
/// nanoseconds, as its size says.
pub(super) fn time(value: &RawValue) -> Option<i64> {
    if let Some(number) = number(value) {
        return from_number(number);
    }
    if kind(value) != Kind::Text {
        return None;
    }
    let text = text(value)?;
    let text = text.trim();
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(local).ok()
    });
    time.map(Timestamp::as_millisecond)
}

/// Seconds are told from their thousandths by their size: 100 billion seconds are the year 5138.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, and the bounds are below that"
)]
fn from_number(number: f64) -> Option<i64> {
    let millis = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        size if size < 1e20 => number / 1e6,
        _ => return None,
    };
    Some(millis.round() as i64)
}

/// How long the answer took, where the line tells it.
pub(super) fn latency(members: &Members<'_>, begun: Option<i64>) -> Option<Duration> {
    let seconds = |number: f64| Duration::try_from_secs_f64(number.max(0.0)).ok();
    let told = members
        .number(&MILLIS)
        .and_then(|millis| seconds(millis / 1e3))
        .or_else(|| members.number(&SECONDS).and_then(seconds))
        .or_else(|| {
            let end = time(members.find(&ENDS)?)?;
            let took = u64::try_from(end.checked_sub(begun?)?).ok()?;
            Some(Duration::from_millis(took))
        });
    told.map(|latency| latency.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        time(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn times_are_read_in_all_their_spellings() {
        let expected = Some(1_748_772_721_500);
        for spelling in [
            "1748772721.5",
            "\"1748772721.5\"",
            "1748772721500",
            "1748772721500000",
            "1748772721500000000",
            "\"2025-06-01T10:12:01.5Z\"",
            "\" 2025-06-01T12:12:01.500+02:00 \"",
            "\"2025-06-01 10:12:01.5\"",
            "\"2025-06-01T10:12:01.5\"",
        ] {
            assert_eq!(read(spelling), expected, "{spelling}");
        }
        for nothing in [
            "null", "\"soon\"", "\"\"", "[1]", "1e300", "true", "\"NaN\"",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn latencies_are_read_by_their_units() {
        let of = |text: &str| {
            let members: Members<'_> = serde_json::from_str(text).unwrap();
            latency(&members, Some(1_000)).map(|latency| latency.as_millis())
        };
        assert_eq!(of(r#"{"latency_ms": 250}"#), Some(250));
        assert_eq!(of(r#"{"latency": "1.5"}"#), Some(1_500));
        assert_eq!(of(r#"{"endTime": 3}"#), Some(2_000));
        assert_eq!(of(r#"{"endTime": 0}"#), None);
        assert_eq!(of(r#"{"latency_ms": -5}"#), Some(0));
        assert_eq!(of(r#"{"latency_ms": 1e300}"#), None);
        assert_eq!(of("{}"), None);
    }
}
