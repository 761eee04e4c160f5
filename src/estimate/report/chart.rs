//! Charts as SVG: shapes alone, stretched to whatever room there is. Their words stand around them in HTML, so that they
//! keep their size on a phone; their colours are the style sheet's.

use std::fmt::Write as _;

use super::{OverTime, Slice, share};
use crate::estimate::sums::Part;
use crate::metering::tally::Figure;
use crate::words::dollars_to;

/// The room that a chart is drawn in; it has no unit.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 240.0;
/// So many steps of time are shown at most.
const STEPS: usize = 60;

/// One step of time in a chart.
pub(super) struct Step {
    /// When it begins, in milliseconds.
    pub(super) from: i64,
    pub(super) part: Part,
}

/// A chart and the words at its axes, from the bottom to the top and from left to right.
pub(super) struct Chart {
    pub(super) svg: String,
    pub(super) up: Vec<String>,
}

/// What money became, from what is paid to what each layer saved, with the class of each.
pub(super) fn shares(part: &Part) -> [(&'static str, u64); 4] {
    let get = |figure| part.tally.get(figure);
    [
        ("paid", part.cost()),
        ("compression", get(Figure::SavedByCompression)),
        ("dedup", get(Figure::SavedByDedup)),
        ("cache", get(Figure::SavedByCache)),
    ]
}

/// Slices of time, put together until they are few enough to be told apart.
pub(super) fn steps(time: &OverTime) -> (i64, Vec<Step>) {
    let each = time.slices.len().div_ceil(STEPS).max(1);
    let steps = time.slices.chunks(each).map(|slices: &[Slice]| {
        let mut part = Part::default();
        for slice in slices {
            part.add(&slice.sum.part);
        }
        Step {
            from: slices[0].from_ms,
            part,
        }
    });
    let width = time.slice_ms * i64::try_from(each).unwrap_or(1);
    (width, steps.collect())
}

/// One bar that is all of the money.
pub(super) fn bar(part: &Part, title: &str) -> String {
    let mut svg = open(title, 40.0);
    let whole = part.without();
    let mut at = 0.0;
    for (class, amount) in shares(part) {
        let width = share(amount, whole) * WIDTH;
        if width > 0.0 {
            rect(&mut svg, class, [at, 0.0, width, 40.0]);
        }
        at += width;
    }
    svg + "</svg>"
}

/// What each step cost and saved, as bars on each other.
pub(super) fn bars(steps: &[Step], title: &str) -> Chart {
    let top = nice(
        steps
            .iter()
            .map(|step| step.part.without())
            .max()
            .unwrap_or(0),
    );
    let mut svg = open(title, HEIGHT);
    grid(&mut svg);
    let width = WIDTH / real(steps.len().max(1) as u64);
    for (number, step) in steps.iter().enumerate() {
        let x = real(number as u64) * width;
        let mut y = HEIGHT;
        for (class, amount) in shares(&step.part) {
            let height = share(amount, top) * HEIGHT;
            y -= height;
            if height > 0.0 {
                rect(&mut svg, class, [x + width * 0.08, y, width * 0.84, height]);
            }
        }
    }
    Chart {
        svg: svg + "</svg>",
        up: money(top),
    }
}

/// What was paid so far, with the proxy and without it, and what lies between.
pub(super) fn cumulated(steps: &[Step], title: &str) -> Chart {
    let (mut with, mut without) = (0_u64, 0_u64);
    let mut sums = vec![(0, 0)];
    for step in steps {
        with = with.saturating_add(step.part.cost());
        without = without.saturating_add(step.part.without());
        sums.push((with, without));
    }
    let top = nice(without);
    let place = |number: usize, amount: u64| {
        let x = real(number as u64) / real(steps.len().max(1) as u64) * WIDTH;
        format!("{x:.1} {:.1}", HEIGHT - share(amount, top) * HEIGHT)
    };
    let line = |of: fn(&(u64, u64)) -> u64| {
        let places = sums
            .iter()
            .enumerate()
            .map(|(number, sum)| place(number, of(sum)));
        places.collect::<Vec<_>>()
    };
    let (lower, upper) = (line(|sum| sum.0), line(|sum| sum.1));
    let back: Vec<_> = lower.iter().rev().cloned().collect();
    let mut svg = open(title, HEIGHT);
    grid(&mut svg);
    let _ = write!(
        svg,
        r#"<path class="between" d="M{} L{} Z"/><path class="line without" d="M{}"/><path class="line with" d="M{}"/></svg>"#,
        upper.join(" L"),
        back.join(" L"),
        upper.join(" L"),
        lower.join(" L"),
    );
    Chart {
        svg,
        up: money(top),
    }
}

/// The share of requests that needed no call of their own; steps without requests are left out.
pub(super) fn rates(steps: &[Step], title: &str) -> Chart {
    let width = WIDTH / real(steps.len().max(1) as u64);
    let mut svg = open(title, HEIGHT);
    grid(&mut svg);
    let some = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.part.requests() > 0);
    let places: Vec<_> = some
        .map(|(number, Step { part, .. })| {
            let rate = share(part.hits + part.joined, part.requests());
            let x = (real(number as u64) + 0.5) * width;
            format!("{x:.1} {:.1}", HEIGHT - rate * HEIGHT)
        })
        .collect();
    // A path of one place shows nothing: it goes as far as its step.
    let end = format!(" h{:.1}", if places.len() == 1 { width / 2.0 } else { 0.0 });
    let _ = write!(
        svg,
        r#"<path class="line with" d="M{}{end}"/></svg>"#,
        places.join(" L")
    );
    let up = [0, 25, 50, 75, 100].map(|percent| format!("{percent} %"));
    Chart { svg, up: up.into() }
}

fn open(title: &str, height: f64) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img" aria-label="{title}">"#
    )
}

fn rect(svg: &mut String, class: &str, [x, y, width, height]: [f64; 4]) {
    let _ = write!(
        svg,
        r#"<rect class="{class}" x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}"/>"#
    );
}

fn grid(svg: &mut String) {
    for quarter in 0..=4 {
        let y = HEIGHT * f64::from(quarter) / 4.0;
        let _ = write!(svg, r#"<path class="grid" d="M0 {y:.1} H{WIDTH}"/>"#);
    }
}

/// The words at the height of each line of the grid.
fn money(top: u64) -> Vec<String> {
    let step = top / 4;
    // As many digits as the step has, so that they stand in line.
    let digits = (0..=9).find(|digits| step.is_multiple_of(10_u64.pow(9 - digits)));
    let digits = match digits.unwrap_or(9) {
        1 => 2,
        digits => digits,
    };
    (0..=4)
        .map(|quarter| dollars_to(step * quarter, digits))
        .collect()
}

/// The next number that people count in, whose quarters are whole.
fn nice(most: u64) -> u64 {
    let mut scale = 100_u64;
    while scale.saturating_mul(10) <= most {
        scale *= 10;
    }
    let steps = [10, 12, 16, 20, 24, 32, 40, 48, 60, 80, 100];
    let fits = steps
        .iter()
        .map(|step| scale / 10 * step)
        .find(|top| *top >= most);
    fits.unwrap_or(scale.saturating_mul(10))
}

#[expect(clippy::cast_precision_loss, reason = "places of shapes")]
fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_people_count_in() {
        for (most, top) in [
            (0, 100),
            (100, 100),
            (101, 120),
            (1_234_567_890, 1_600_000_000),
            (9_999, 10_000),
        ] {
            assert_eq!(nice(most), top);
        }
        for most in (0..100_000).step_by(37) {
            let top = nice(most);
            assert!(top >= most && top.is_multiple_of(4), "{most}: {top}");
        }
        assert_eq!(
            money(1_600_000_000),
            ["$0.00", "$0.40", "$0.80", "$1.20", "$1.60"]
        );
    }
}
