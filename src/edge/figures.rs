//! Figures as dashboards and people read them.

use std::time::{Duration, SystemTime};

/// `part` of `whole` as "14.2%".
pub(super) fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    };
    format!("{share:.1}%")
}

/// A time as RFC 3339 with milliseconds, in UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map(|timestamp| format!("{timestamp:.3}"))
        .unwrap_or_default()
}
