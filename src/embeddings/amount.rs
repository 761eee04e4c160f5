//! Decimal numbers as they are written, added and shared out to the last digit.

use std::fmt;

/// A number that is not negative: its digits, and how many of them stand behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    digits: u128,
    scale: u32,
}

/// More digits than any count of tokens or price has; as many may be added up a million times.
const MOST_DIGITS: u32 = 30;

// === impl Amount ===

impl Amount {
    /// Reads a number of JSON. `None` where it is negative, or longer than any that is meant.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let digits = digits.trim_start_matches('0');
        let zeros = scale.min(0).unsigned_abs();
        let scale = u32::try_from(scale.max(0)).ok()?;
        let length = u32::try_from(digits.len()).ok()?;
        if length.max(scale).checked_add(zeros)? > MOST_DIGITS {
            return None;
        }
        let digits = if digits.is_empty() {
            0
        } else {
            digits.parse::<u128>().ok()?
        };
        Some(Self {
            digits: digits.checked_mul(10_u128.checked_pow(zeros)?)?,
            scale,
        })
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let at = |amount: Self| {
            let more = 10_u128.saturating_pow(scale - amount.scale);
            amount.digits.saturating_mul(more)
        };
        Self {
            digits: at(self).saturating_add(at(other)),
            scale,
        }
    }

    /// Its shares by these weights, whose sum it is.
    pub(super) fn shared(self, weights: &[u64]) -> Vec<Self> {
        let shares = shares(self.digits, weights).into_iter();
        shares
            .map(|digits| Self {
                digits,
                scale: self.scale,
            })
            .collect()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.digits);
        }
        let unit = 10_u128.saturating_pow(self.scale);
        let (whole, rest) = (self.digits / unit, self.digits % unit);
        let width = self.scale as usize;
        write!(f, "{whole}.{rest:0width$}")
    }
}

/// Shares out a whole number by weights, by the largest remainders (Hamilton's method): each share is its quota rounded
/// down or up, and their sum is the number. Weights that are all zero count alike; of equal remainders the first is served
/// first.
pub(crate) fn shares(total: u128, weights: &[u64]) -> Vec<u128> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let alike = sum == 0;
    let sum = if alike { weights.len() as u128 } else { sum };
    let mut rest = total;
    let mut remainders = Vec::with_capacity(weights.len());
    let mut shares: Vec<u128> = Vec::with_capacity(weights.len());
    for (at, weight) in weights.iter().enumerate() {
        let weight = if alike { 1 } else { u128::from(*weight) };
        let (share, remainder) = quota(total, weight, sum);
        rest = rest.saturating_sub(share);
        shares.push(share);
        remainders.push((std::cmp::Reverse(remainder), at));
    }
    remainders.sort_unstable();
    for (_, at) in remainders {
        if rest == 0 {
            break;
        }
        shares[at] += 1;
        rest -= 1;
    }
    shares
}

/// `total * weight / sum` and what is left of it, where the product may be longer than a number holds.
fn quota(total: u128, weight: u128, sum: u128) -> (u128, u128) {
    let (whole, part) = (total / sum, total % sum);
    // `part` and `weight` are below 2^74: 1,024 weights of 64 bits, and more where they are of any use.
    let product = part.saturating_mul(weight);
    (
        whole.saturating_mul(weight).saturating_add(product / sum),
        product % sum,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_json_has_them() {
        for (text, read) in [
            ("0", "0"),
            ("12", "12"),
            ("1.50", "1.50"),
            ("0.00000125", "0.00000125"),
            ("1.2e-05", "0.000012"),
            ("1.5E+3", "1500"),
            ("12e0", "12"),
        ] {
            assert_eq!(
                Amount::read(text)
                    .map(|amount| amount.to_string())
                    .as_deref(),
                Some(read),
                "{text}"
            );
        }
        for text in [
            "-1",
            "",
            "x",
            "1e99",
            "1e-99",
            "1e99999999999",
            &"9".repeat(31),
        ] {
            assert_eq!(Amount::read(text), None, "{text}");
        }
    }

    #[test]
    fn shares_follow_the_largest_remainders() {
        assert_eq!(shares(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(shares(7, &[3, 4]), [3, 4]);
        assert_eq!(shares(2, &[0, 0, 0]), [1, 1, 0]);
        assert_eq!(shares(5, &[0, 9]), [0, 5]);
        assert_eq!(shares(0, &[1, 2]), [0, 0]);
        assert_eq!(shares(1, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_is_more_than_one_off(
            total in 0_u128..1_000_000_000_000,
            weights in prop::collection::vec(0_u64..1_000_000, 1..300),
        ) {
            let shared = shares(total, &weights);
            prop_assert_eq!(shared.iter().sum::<u128>(), total);
            let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            for (share, weight) in shared.iter().zip(&weights) {
                let exact = (total * u128::from(*weight)).checked_div(sum);
                prop_assert!(exact.is_none_or(|exact| (exact..=exact + 1).contains(share)));
            }
        }

        #[test]
        fn shares_of_a_price_add_up_to_it(
            digits in 0_u64..1_000_000_000, scale in 0_u32..20, weights in prop::collection::vec(0_u64..10_000, 1..50),
        ) {
            let price = Amount { digits: digits.into(), scale };
            let sum = price.shared(&weights).into_iter().fold(Amount::default(), Amount::plus);
            prop_assert_eq!(sum.to_string(), price.to_string());
            prop_assert_eq!(Amount::read(&price.to_string()), Some(price));
        }
    }
}
