//! Puts the lines of a log into the order of their times, as far as a bounded window reaches: logs are mostly written when
//! answers end, and are to be replayed as requests came.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::log::Logged;

/// So many lines, and so many bytes of them, are held back for others that may come before them.
const LINES: usize = 4_096;
const BYTES: usize = 64 * 1024 * 1024;

/// A request of the log with its place in time.
pub(super) struct Placed {
    /// When it came, in milliseconds since 1970 or, where no line says so, since the first one.
    pub(super) at: i64,
    /// The number of its line.
    pub(super) line: u64,
    /// The request.
    pub(super) logged: Logged,
}

/// Lines on their way.
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<ByTime>>,
    bytes: usize,
    /// Microseconds between lines that tell no time.
    step: i64,
    /// Where the next of them belongs, in microseconds.
    next: i64,
    /// When the last one came that has left.
    latest: Option<i64>,
    /// How many lines came at a time that they tell, and how many do not tell one.
    pub(super) timed: u64,
    pub(super) untimed: u64,
    /// How many came too late for the window and are taken as if they came with the line before them.
    pub(super) late: u64,
}

struct ByTime(Placed);

// === impl Order ===

impl Order {
    /// Lines that tell no time come at `rate` a second.
    pub(super) fn new(rate: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the rate is checked to be from a thousandth to a million"
        )]
        let step = (1e6 / rate) as i64;
        Self {
            waiting: BinaryHeap::new(),
            bytes: 0,
            step,
            next: 0,
            latest: None,
            timed: 0,
            untimed: 0,
            late: 0,
        }
    }

    /// Takes a line in, and gives one back where there are too many.
    pub(super) fn push(&mut self, line: u64, logged: Logged) -> Option<Placed> {
        let at = if let Some(time) = logged.time {
            self.timed += 1;
            self.next = time.saturating_mul(1_000);
            time
        } else {
            self.untimed += 1;
            self.next.div_euclid(1_000)
        };
        self.next = self.next.saturating_add(self.step);
        self.bytes += logged.body.len();
        self.waiting
            .push(Reverse(ByTime(Placed { at, line, logged })));
        let is_full = self.waiting.len() > LINES || self.bytes > BYTES;
        // Where nothing is timed nothing can come before.
        if is_full || self.timed == 0 {
            self.pop()
        } else {
            None
        }
    }

    /// The next one, when no more come.
    pub(super) fn pop(&mut self) -> Option<Placed> {
        let Reverse(ByTime(mut placed)) = self.waiting.pop()?;
        self.bytes -= placed.logged.body.len();
        let latest = self.latest.unwrap_or(placed.at);
        if placed.at < latest {
            self.late += 1;
            placed.at = latest;
        }
        self.latest = Some(placed.at);
        Some(placed)
    }
}

// === impl ByTime ===

impl ByTime {
    fn key(&self) -> (i64, u64) {
        (self.0.at, self.0.line)
    }
}

impl PartialEq for ByTime {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByTime {}

impl PartialOrd for ByTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::estimate::log::Recorded;

    fn logged(time: Option<i64>) -> Logged {
        Logged {
            time,
            path: "/create".into(),
            body: Bytes::new(),
            caller: None,
            recorded: Recorded::Nothing,
            latency: None,
        }
    }

    fn ordered(times: impl IntoIterator<Item = Option<i64>>, rate: f64) -> (Vec<i64>, u64) {
        let mut order = Order::new(rate);
        let mut all = Vec::new();
        for (line, time) in (1..).zip(times) {
            all.extend(order.push(line, logged(time)));
        }
        all.extend(std::iter::from_fn(|| order.pop()));
        (all.iter().map(|placed| placed.at).collect(), order.late)
    }

    #[test]
    fn lines_are_sorted_within_the_window_and_come_late_beyond_it() {
        let times = [5, 3, 4, 1].map(Some);
        assert_eq!(ordered(times, 10.0), (vec![1, 3, 4, 5], 0));
        // Two thousand places back is within it, ten thousand are not.
        let jumble = (0..20_000).map(|n| if n % 2_000 == 1_999 { n - 1_999 } else { n });
        let (at, late) = ordered(jumble.map(Some), 10.0);
        assert!(at.is_sorted() && late == 0);
        let (at, late) = ordered((0..20_000).chain([1, 2]).map(Some), 10.0);
        assert!(at.is_sorted());
        assert_eq!(late, 2);
    }

    #[test]
    fn lines_without_times_come_at_the_rate() {
        let none = [None, None, None, None];
        assert_eq!(ordered(none, 10.0).0, [0, 100, 200, 300]);
        assert_eq!(ordered(none, 2_000.0).0, [0, 0, 1, 1]);
        let mixed = [Some(1_000), None, Some(5_000), None];
        assert_eq!(ordered(mixed, 10.0).0, [1_000, 1_100, 5_000, 5_100]);
    }
}
