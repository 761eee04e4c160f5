//! Means and shares, and how sure they are.

use serde::{Deserialize, Serialize};

/// Half of an interval that holds 95 %, in standard errors.
pub(super) const NINETY_FIVE: f64 = 1.96;

/// Numbers by their sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    pub(super) count: u64,
    sum: f64,
    squares: f64,
}

/// Pairs of numbers by their sums, for the share that the ones are of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ratio {
    pub(super) part: f64,
    whole: f64,
    parts_squared: f64,
    wholes_squared: f64,
    products: f64,
}

/// A figure and half the width of the interval that holds it with 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Half the width.
    pub give: f64,
}

/// How many standard errors the first share is above the second.
pub(super) fn distance((cases, of): (u64, u64), (other_cases, other_of): (u64, u64)) -> f64 {
    if of == 0 || other_of == 0 {
        return 0.0;
    }
    let pooled = number(cases + other_cases) / number(of + other_of);
    let variance = pooled * (1.0 - pooled) * (1.0 / number(of) + 1.0 / number(other_of));
    if variance <= 0.0 {
        return 0.0;
    }
    (number(cases) / number(of) - number(other_cases) / number(other_of)) / variance.sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 here")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

// === impl Moments ===

impl Moments {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / number(self.count))
    }

    /// The standard error of their mean.
    pub(super) fn error(&self) -> Option<f64> {
        let count = number(self.count);
        (self.count > 1).then(|| {
            let variance = (self.squares - self.sum * self.sum / count).max(0.0) / (count - 1.0);
            (variance / count).sqrt()
        })
    }
}

// === impl Ratio ===

impl Ratio {
    pub(super) fn add(&mut self, part: f64, whole: f64) {
        self.part += part;
        self.whole += whole;
        self.parts_squared += part * part;
        self.wholes_squared += whole * whole;
        self.products += part * whole;
    }

    /// The ratio of the sums; its error is that of its linear approximation (Cochran, Sampling Techniques, section 6.4).
    pub(super) fn estimate(&self) -> Option<Estimate> {
        if self.whole <= 0.0 {
            return None;
        }
        let value = self.part / self.whole;
        let squares =
            self.parts_squared - 2.0 * value * self.products + value * value * self.wholes_squared;
        Some(Estimate {
            value,
            give: NINETY_FIVE * squares.max(0.0).sqrt() / self.whole,
        })
    }
}
