//! Reads money as it is written, digit for digit: a binary float would have rounded it already.

/// More digits than any price has; up to here the digits fit the integer they are gathered in.
const MAX_DIGITS: usize = 30;

/// A decimal number that is not negative: `digits` × 10^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u128,
    exponent: i32,
}

/// An amount of dollars in nano-dollars, rounded half up; `None` if it is no amount, or a billion dollars or more.
pub(crate) fn nano_usd(dollars: &str) -> Option<u64> {
    Decimal::read(dollars)?.rounded(9)
}

/// An amount of dollars in nano-dollars; `None` if it is no amount of whole ones, or a billion dollars or more.
pub(crate) fn exact_nano_usd(dollars: &str) -> Option<u64> {
    Decimal::read(dollars)?.exact(9)
}

impl Decimal {
    /// Reads a number such as `3`, `0.0375` or `3.75e-8`, as JSON and TOML write it; `None` if it is
    /// negative or no such number.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (number, power) = match text.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i16>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let fraction = fraction.trim_end_matches('0');
        let whole = whole.strip_prefix('+').unwrap_or(whole);
        if whole.is_empty()
            || !whole
                .bytes()
                .chain(fraction.bytes())
                .all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let mut digits = 0_u128;
        let all = whole.bytes().chain(fraction.bytes());
        for (at, digit) in all.skip_while(|&digit| digit == b'0').enumerate() {
            if at == MAX_DIGITS {
                return None;
            }
            digits = digits * 10 + u128::from(digit - b'0');
        }
        let exponent = i32::from(power) - i32::try_from(fraction.len()).ok()?;
        Some(Self { digits, exponent })
    }

    /// The number × 10^`power`, if that is whole and below 10^18.
    pub(crate) fn exact(self, power: i32) -> Option<u64> {
        self.parts(power)
            .and_then(|(whole, rest)| rest.is_none().then_some(whole))
    }

    /// The number × 10^`power`, rounded half up, if that is below 10^18.
    pub(crate) fn rounded(self, power: i32) -> Option<u64> {
        let (whole, rest) = self.parts(power)?;
        Some(whole + u64::from(rest == Some(Half::Upper)))
    }

    /// The whole part of the number × 10^`power`, and in which half of one what is left over lies.
    fn parts(self, power: i32) -> Option<(u64, Option<Half>)> {
        if self.digits == 0 {
            return Some((0, None));
        }
        let shift = self.exponent + power;
        let by = 10_u128.checked_pow(shift.unsigned_abs());
        let (whole, rest) = if shift >= 0 {
            (self.digits.checked_mul(by?)?, None)
        } else if let Some(by) = by {
            let rest = self.digits % by;
            let half = if rest >= by.div_ceil(2) {
                Half::Upper
            } else {
                Half::Lower
            };
            (self.digits / by, (rest > 0).then_some(half))
        } else {
            (0, Some(Half::Lower))
        };
        let whole = u64::try_from(whole)
            .ok()
            .filter(|&whole| whole < 10_u64.pow(18))?;
        Some((whole, rest))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Lower,
    Upper,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_json_and_toml_write() {
        for (text, picos) in [
            ("0", 0),
            ("3", 3_000_000),
            ("+3", 3_000_000),
            ("0.075", 75_000),
            ("0.0375", 37_500),
            ("3.750e-2", 37_500),
            ("1E+2", 100_000_000),
            ("0.000001", 1),
            ("0.0000010000000000000000000000000000000000000000", 1),
            ("000.5", 500_000),
        ] {
            let read = Decimal::read(text).and_then(|decimal| decimal.exact(6));
            assert_eq!(read, Some(picos), "{text}");
        }
        for text in [
            "", "-1", "-0.5", "nan", "inf", ".5", "1.2.3", "1e", "e3", "1_000", " 1", "0x10", "1,5",
        ] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn rounds_half_up_and_only_where_asked() {
        for (text, rounded) in [
            ("0.4", 0),
            ("0.5", 1),
            ("0.49999999999999999999", 0),
            ("1.5", 2),
            ("2.5000001", 3),
            ("1e-9", 0),
            ("1e-300", 0),
        ] {
            let decimal = Decimal::read(text).unwrap();
            assert_eq!(decimal.rounded(0), Some(rounded), "{text}");
            assert_eq!(decimal.exact(0), None, "{text}");
        }
        assert_eq!(Decimal::read("1e18").unwrap().rounded(0), None);
        assert_eq!(Decimal::read("1e300").unwrap().exact(0), None);
        assert_eq!(Decimal::read("0e300").unwrap().exact(0), Some(0));
    }

    proptest! {
        #[test]
        fn every_price_is_kept_digit_for_digit(picos in 0..10_u64.pow(17), zeros in 0..5_usize) {
            let text = format!("{}.{:06}{}", picos / 1_000_000, picos % 1_000_000, "0".repeat(zeros));
            prop_assert_eq!(Decimal::read(&text).unwrap().exact(6), Some(picos));
            let text = format!("{picos}e-6");
            prop_assert_eq!(Decimal::read(&text).unwrap().exact(6), Some(picos));
            prop_assert_eq!(Decimal::read(&text).unwrap().rounded(6), Some(picos));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,50}") {
            if let Some(decimal) = Decimal::read(&text) {
                let _ = (decimal.exact(6), decimal.rounded(12));
            }
        }
    }
}
