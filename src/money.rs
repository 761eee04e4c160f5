//! Amounts of money as whole nano-dollars, read from decimals without a float on the way: sums never drift.

/// Nano-dollars in a dollar, as a power of ten.
const NANO: i32 = 9;

/// A decimal amount of dollars ("0.00123", "1.5e-7") in nano-dollars, rounded half up; `None` if it is no amount, is
/// negative or more than there are numbers for.
pub fn nano_usd(text: &str) -> Option<u64> {
    scaled(text, NANO)
}

/// The number times ten to the power of `exponent`, rounded half up.
fn scaled(text: &str, exponent: i32) -> Option<u64> {
    let (mantissa, own) = match text.split_once(['e', 'E']) {
        Some((mantissa, own)) => (mantissa, own.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    // So many digits of both together are before the point of the result.
    let before = i32::try_from(whole.len())
        .ok()?
        .checked_add(own)?
        .checked_add(exponent)?;
    let mut digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|byte| u64::from(byte - b'0'));
    let mut sum = 0_u64;
    let mut at = 0;
    while at < before {
        let Some(digit) = digits.next() else {
            let zeros = u32::try_from(before - at).ok()?;
            return if sum == 0 {
                Some(0)
            } else {
                sum.checked_mul(10_u64.checked_pow(zeros)?)
            };
        };
        sum = sum.checked_mul(10)?.checked_add(digit)?;
        at += 1;
    }
    // A point before all digits leaves zeros between it and them.
    let half = before >= 0 && digits.next().is_some_and(|digit| digit >= 5);
    sum.checked_add(u64::from(half))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, nano) in [
            ("0", 0),
            ("0.0", 0),
            ("1", 1_000_000_000),
            ("0.00123", 1_230_000),
            ("1.5e-7", 150),
            ("1.5E-07", 150),
            ("12e3", 12_000_000_000_000),
            ("0.0000000004", 0),
            ("0.0000000005", 1),
            ("0.00000000049999", 0),
            ("0.00000000005", 0),
            ("5e-11", 0),
            ("0.9999999995", 1_000_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("0e9999", 0),
            ("9999999999.999999999", 9_999_999_999_999_999_999),
        ] {
            assert_eq!(nano_usd(text), Some(nano), "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1e",
            "e1",
            "1 ",
            "0x1",
            "1,5",
            "NaN",
            "1e99",
            "20000000000",
        ] {
            assert_eq!(nano_usd(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_float_prints_is_read_back(nano in 0_u64..1_000_000_000_000_000) {
            #[expect(clippy::cast_precision_loss, reason = "a float holds fifteen digits")]
            let usd = nano as f64 / 1e9;
            prop_assert_eq!(nano_usd(&usd.to_string()), Some(nano));
            prop_assert_eq!(nano_usd(&format!("{usd:e}")), Some(nano));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.eE+-]{0,24}") {
            let _ = nano_usd(&text);
        }
    }
}
