//! The text in which Prometheus reads metrics (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

use super::histogram::{BUCKETS, Histogram};

/// Metrics in the making.
#[derive(Default)]
pub struct Exposition(String);

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// Names and values of labels.
pub type Labels<'l> = &'l [(&'static str, &'l str)];

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        self.labels(labels, None);
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric with one sample.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram, in seconds.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let mut below = 0;
        for (at, count) in histogram.counts.iter().enumerate() {
            below += count;
            let border = BUCKETS
                .get(at)
                .map_or_else(|| "+Inf".to_owned(), |micros| seconds(*micros));
            let _ = write!(self.0, "{name}_bucket");
            self.labels(labels, Some(&border));
            let _ = writeln!(self.0, " {below}");
        }
        self.sample(&format!("{name}_sum"), labels, seconds(histogram.sum));
        self.sample(&format!("{name}_count"), labels, below);
    }

    /// All that was written.
    pub fn into_text(self) -> String {
        self.0
    }

    fn labels(&mut self, labels: Labels<'_>, border: Option<&str>) {
        let border = border.map(|border| ("le", border));
        let mut before = "{";
        for (name, value) in labels.iter().copied().chain(border) {
            let _ = write!(self.0, "{before}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
            before = ",";
        }
        if before == "," {
            self.0.push('}');
        }
    }
}

/// Microseconds as seconds, exactly.
pub fn seconds(micros: u64) -> String {
    decimal(micros, 6)
}

/// Nano-dollars as dollars, exactly.
pub fn dollars(nano: u64) -> String {
    decimal(nano, 9)
}

/// A whole number with its last digits behind a point, without the zeros at its end.
fn decimal(number: u64, digits: usize) -> String {
    let text = format!("{number:0>width$}", width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(dollars(nano), text);
        }
        assert_eq!(seconds(50), "0.00005");
    }

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.metric("x_total", Kind::Counter, "Things.");
        text.sample("x_total", &[("model", "a\"b\\c\nd"), ("y", "z")], 3);
        text.single("g", Kind::Gauge, "One.", 4);
        text.metric("h_seconds", Kind::Histogram, "Times.");
        let mut histogram = Histogram::default();
        histogram.add(60);
        histogram.add(99_000_000);
        text.histogram("h_seconds", &[("s", "t")], &histogram);
        let text = text.into_text();
        assert!(text.starts_with(
            "# HELP x_total Things.\n# TYPE x_total counter\nx_total{model=\"a\\\"b\\\\c\\nd\",y=\"z\"} 3\n\
             # HELP g One.\n# TYPE g gauge\ng 4\n"
        ));
        assert!(text.contains("h_seconds_bucket{s=\"t\",le=\"0.00005\"} 0\nh_seconds_bucket{s=\"t\",le=\"0.0001\"} 1\n"));
        assert!(text.ends_with(
            "h_seconds_bucket{s=\"t\",le=\"+Inf\"} 2\nh_seconds_sum{s=\"t\"} 99.00006\nh_seconds_count{s=\"t\"} 2\n"
        ));
    }
}
