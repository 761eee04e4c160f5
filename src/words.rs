//! Amounts, counts and times as people read them.

/// Nano-dollars as dollars: to the cent where there are many, to as many digits as tell something where there are few.
pub(crate) fn dollars(nano: u64) -> String {
    let digits = match nano {
        0 | 1_000_000_000.. => 2,
        10_000_000.. => 4,
        _ => 6,
    };
    dollars_to(nano, digits)
}

/// The same to so many digits, nine at most.
pub(crate) fn dollars_to(nano: u64, digits: u32) -> String {
    let unit = 10_u64.pow(9 - digits);
    // Half up, and no more than there is.
    let rounded = nano / unit + u64::from(nano % unit >= unit.div_ceil(2));
    let scale = 10_u64.pow(digits);
    if digits == 0 {
        return format!("${}", count(rounded));
    }
    let width = usize::try_from(digits).unwrap_or(2);
    format!("${}.{:0width$}", count(rounded / scale), rounded % scale)
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// So many of something, whose name forms its plural with an s.
pub(crate) fn some(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A share from 0 to 1 in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A time in its largest unit, as settings have it where it is a whole number of them.
pub(crate) fn duration(millis: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let whole = UNITS
        .iter()
        .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    whole.map_or("0s".to_owned(), |(unit, name)| {
        format!("{}{name}", millis / unit)
    })
}

/// A time roughly, for sentences.
pub(crate) fn about(millis: u64) -> String {
    let (number, unit) = match millis {
        172_800_000.. => (millis / 86_400_000, "day"),
        7_200_000.. => (millis / 3_600_000, "hour"),
        120_000.. => (millis / 60_000, "minute"),
        _ => (millis.div_ceil(1_000), "second"),
    };
    some(number, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_write_them() {
        for (nano, shown) in [
            (0, "$0.00"),
            (1, "$0.000000"),
            (1_500, "$0.000002"),
            (9_999_499, "$0.009999"),
            (10_000_000, "$0.0100"),
            (999_949_999, "$0.9999"),
            (1_234_567_890, "$1.23"),
            (1_999_999_999, "$2.00"),
            (1_234_567_890_000_000, "$1,234,567.89"),
        ] {
            assert_eq!(dollars(nano), shown);
        }
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(percent(0.1234), "12.3 %");
        let settings = [0, 1, 1_000, 90_000, 3_600_000, 86_400_000].map(duration);
        assert_eq!(settings, ["0s", "1ms", "1s", "90s", "1h", "1d"]);
        assert_eq!(
            [1, 60_000, 119_999, 7_200_000].map(about),
            ["1 second", "60 seconds", "120 seconds", "2 hours"]
        );
    }
}
