//! Figures in the sentences of decisions.

use std::time::Duration;

use crate::words;

pub(super) use crate::words::percent;

/// A duration as settings have it: "90m", "1h", "2d".
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (length, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ] {
        if millis != 0 && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    format!("{millis}ms")
}

/// About how long something took or is old.
pub(super) fn about(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// A size as settings have it.
pub(super) fn bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A count that was estimated.
pub(super) fn count(n: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is saturated"
    )]
    let whole = n.round() as u64;
    words::count(whole)
}

/// An amount of money.
pub(super) fn usd(amount: f64) -> String {
    let sign = if amount < 0.0 { "−" } else { "" };
    let amount = amount.abs();
    match amount {
        _ if amount == 0.0 => "$0".to_owned(),
        _ if amount < 0.000_1 => format!("{sign}under $0.0001"),
        _ if amount < 1.0 => format!("{sign}${amount:.4}"),
        _ => format!("{sign}${amount:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let secs = Duration::from_secs;
        for (length, settings, people) in [
            (secs(3_600), "1h", "60 min"),
            (secs(5_400), "90m", "90 min"),
            (secs(172_800), "2d", "2 days"),
            (secs(61), "61s", "61 s"),
            (secs(0), "0ms", "0 s"),
            (Duration::from_millis(1_500), "1500ms", "1 s"),
        ] {
            assert_eq!(
                (duration(length), about(length)),
                (settings.into(), people.into())
            );
        }
        assert_eq!(bytes(256 << 20), "256MiB");
        assert_eq!(bytes(1_000), "1000");
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(-0.0), "0");
        assert_eq!(
            [usd(0.0), usd(0.00001), usd(0.25), usd(-3.0)],
            ["$0", "under $0.0001", "$0.2500", "−$3.00"]
        );
        assert_eq!(percent(0.1425), "14.2 %");
    }
}
