//! Reads the durations and sizes that bound a request, as an operator writes them.

use std::time::Duration;

/// The longest duration accepted: far beyond any use, well within what timers can add to the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);
/// The largest size accepted, in bytes (1 TiB): sums of sizes cannot overflow.
const LARGEST: u64 = 1 << 40;

const DURATION: &str = "a duration such as \"30s\" (a whole number and ms, s, m, h or d)";
const SIZE: &str = "a size such as \"64MiB\" (bytes, or a whole number and B, KiB, MiB or GiB)";

/// Reads "250ms", "30s", "5m", "1h" or "7d"; the error says what is accepted.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let whole = || number.parse::<u64>().map_err(|_| DURATION.to_owned());
    let scale = match unit {
        "ms" => {
            let read = Duration::from_millis(whole()?);
            return within_longest(Some(read));
        }
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "" if !number.is_empty() => return Err(format!("{DURATION}: the unit is missing")),
        _ => return Err(DURATION.to_owned()),
    };
    within_longest(whole()?.checked_mul(scale).map(Duration::from_secs))
}

fn within_longest(read: Option<Duration>) -> Result<Duration, String> {
    read.filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{DURATION}, of 365d at most"))
}

/// Reads "1048576" or "64MiB" into bytes; the error says what is accepted.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "kB" | "KB" | "MB" | "GB" => {
            let binary = format!("{number}{}iB", unit[..1].to_uppercase());
            return Err(format!(
                "{SIZE}: {unit} stands for powers of 1000 to some and of 1024 to others, \
                 so write {binary:?}"
            ));
        }
        _ => return Err(SIZE.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| SIZE.to_owned())?;
    bytes(number.checked_mul(1 << shift))
}

/// Checks a number of bytes; `None` stands for one too large to count.
pub(super) fn bytes(read: Option<u64>) -> Result<u64, String> {
    match read {
        Some(0) => Err(format!("{SIZE}, of 1 byte at least")),
        Some(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err(format!("{SIZE}, of 1024GiB at most")),
    }
}

/// What is accepted as a size, for values that are neither text nor a whole number.
pub(super) fn size_accepted() -> String {
    SIZE.to_owned()
}

/// What is accepted as a duration, for values that are not text.
pub(super) fn duration_accepted() -> String {
    DURATION.to_owned()
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            (" 5m ", 300_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "", "30", "-1s", "s", "30sec", "1.5s", "30 s", "1h30m", "366d",
        ] {
            let error = duration(text).unwrap_err();
            assert!(
                error.contains("a duration such as \"30s\""),
                "{text}: {error}"
            );
        }
        assert!(duration("18446744073709551615d").is_err());
        assert!(duration("18446744073709551616s").is_err());
    }

    #[test]
    fn sizes_are_binary() {
        for (text, expected) in [
            ("1", 1),
            ("12B", 12),
            ("2KiB", 2048),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "1.5MiB",
            "10 MiB",
            "10mib",
            "10M",
            "1025GiB",
            "9999999999GiB",
        ] {
            assert!(size(text).unwrap_err().contains("64MiB"), "{text}");
        }
        assert!(size("10MB").unwrap_err().contains("write \"10MiB\""));
        assert!(size("10kB").unwrap_err().contains("write \"10KiB\""));
    }
}
