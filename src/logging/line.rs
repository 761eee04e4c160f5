//! How a line is written for people: what `tracing_subscriber`'s own format would write without colours, byte for byte.
//! With that, and a wake-up for each, a quarter of a hit went into its line (benches/README.md).

use std::cell::Cell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::VisitOutput as _;
use tracing_subscriber::fmt::format::{DefaultVisitor, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes lines without colours.
#[derive(Default)]
pub(super) struct Plain {
    /// Writes what is rare: events within spans, and those of crates that log otherwise.
    usual: Format,
}

/// Writes an event's fields.
struct Fields<'w> {
    to: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

/// Most messages are no longer.
const MESSAGE: usize = 64;

/// The bytes of `2026-11-27T01:22:21`.
const SECOND: usize = 19;

thread_local! {
    /// The second that was written last, and how.
    static SECONDS: Cell<(u64, [u8; SECOND])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        if metadata.target() == "log" || context.event_scope().is_some() {
            return self.usual.format_event(context, writer, event);
        }
        write_time(&mut writer, SystemTime::now())?;
        writer.write_str(match *metadata.level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        })?;
        writer.write_str(metadata.target())?;
        writer.write_str(": ")?;
        let mut fields = Fields {
            to: writer.by_ref(),
            is_first: true,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writer.write_char('\n')
    }
}

/// Writes a time as RFC 3339 has it, in UTC, with microseconds.
fn write_time(to: &mut Writer<'_>, time: SystemTime) -> fmt::Result {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs();
    let (known, mut text) = SECONDS.get();
    if known != second {
        let Some(written) = write_second(second) else {
            return to.write_str("<unknown time>");
        };
        text = written;
        SECONDS.set((second, text));
    }
    to.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
    to.write_char('.')?;
    write_padded(to, since.subsec_micros(), 6)?;
    to.write_char('Z')
}

fn write_second(second: u64) -> Option<[u8; SECOND]> {
    let second = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    second.to_string().as_bytes().get(..SECOND)?.try_into().ok()
}

/// Writes a number in so many digits, at most nine.
fn write_padded(to: &mut Writer<'_>, mut number: u32, digits: usize) -> fmt::Result {
    let mut text = [b'0'; 9];
    for digit in text[..digits].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    to.write_str(std::str::from_utf8(&text[..digits]).unwrap_or_default())
}

impl Fields<'_> {
    /// Writes a field whose name and value need no care.
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.append(|to| {
            to.write_str(field.name())?;
            to.write_char('=')?;
            value(to)
        });
    }

    /// Writes what comes next.
    fn append(&mut self, next: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        let to = &mut self.to;
        let pad = if std::mem::take(&mut self.is_first) {
            ""
        } else {
            " "
        };
        self.result = to.write_str(pad).and_then(|()| next(to));
    }

    /// Leaves a field to the usual format, which knows what terminals must not see.
    fn leave(&mut self, tell: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_err() {
            return;
        }
        let is_first = std::mem::take(&mut self.is_first);
        let mut usual = DefaultVisitor::new(self.to.by_ref(), is_first);
        tell(&mut usual);
        self.result = usual.finish();
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let mut message = String::with_capacity(MESSAGE);
            let written = fmt::write(&mut message, format_args!("{value:?}"));
            if written.is_ok() && message.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return self.append(|to| to.write_str(&message));
            }
        }
        self.leave(|usual| usual.record_debug(field, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if is_usual(field) {
            self.leave(|usual| usual.record_u64(field, value));
        } else {
            self.write(field, |to| to.write_str(itoa::Buffer::new().format(value)));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.leave(|usual| usual.record_error(field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !is_usual(field) && value.bytes().all(is_plain) {
            self.write(field, |to| {
                to.write_char('"')?;
                to.write_str(value)?;
                to.write_char('"')
            });
        } else {
            self.leave(|usual| usual.record_str(field, value));
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match thousandths(value).filter(|_| !is_usual(field)) {
            Some((whole, rest)) => self.write(field, |to| {
                to.write_str(itoa::Buffer::new().format(whole))?;
                to.write_char('.')?;
                match rest {
                    _ if rest % 100 == 0 => write_padded(to, rest / 100, 1),
                    _ if rest % 10 == 0 => write_padded(to, rest / 10, 2),
                    _ => write_padded(to, rest, 3),
                }
            }),
            None => self.leave(|usual| usual.record_f64(field, value)),
        }
    }
}

/// Whether the usual format does something of its own with a field of this name.
fn is_usual(field: &Field) -> bool {
    let name = field.name();
    name == "message" || name.starts_with("log.") || name.starts_with("r#")
}

/// A number that is written as thousandths: what is before and what is behind the point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "what is lost shows in the comparison, which is meant to be exact"
)]
fn thousandths(value: f64) -> Option<(u32, u32)> {
    /// A quarter of an hour in milliseconds, and far from where floating point gets coarse.
    const MOST: f64 = 1_000_000.0;
    if value.is_sign_negative() || value >= MOST {
        return None;
    }
    let all = (value * 1_000.0).round() as u32;
    (f64::from(all) / 1_000.0 == value).then_some((all / 1_000, all % 1_000))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;
    use proptest::prelude::*;
    use tracing_subscriber::fmt::time::FormatTime;
    use tracing_subscriber::fmt::{MakeWriter, layer};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What both formats make of the same events, less their times.
    fn both(tell: impl Fn()) -> [String; 2] {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let (to_ours, to_theirs) = (ours.clone(), theirs.clone());
        let plain = layer().with_ansi(false).event_format(Plain::default());
        let usual = layer().with_ansi(false);
        let subscriber = tracing_subscriber::registry()
            .with(plain.with_writer(to_ours))
            .with(usual.with_writer(to_theirs));
        tracing::subscriber::with_default(subscriber, tell);
        [ours, theirs].map(|lines| {
            let text = String::from_utf8(lines.0.lock().clone()).unwrap();
            let cut = |line: &str| match line.split_once("Z ") {
                Some((time, rest)) if time.len() == 26 => rest.to_owned(),
                _ => format!("no time: {line}"),
            };
            text.lines().map(cut).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn writes_what_the_usual_format_writes() {
        let error = io::Error::other("broken pipe");
        let tell = || {
            let absent: Option<&str> = None;
            let (method, status) = ("POST", 200_u16);
            tracing::info!(
                method,
                status,
                absent,
                ms = 0.016,
                model = "a\"b\\c",
                "request"
            );
            tracing::warn!(error = %error, number = -5, yes = true, "it {} {}", "went", 1);
            tracing::error!(?error, big = u128::MAX, "x");
            tracing::debug!(target: "elsewhere", text = "é\n\u{1b}[0m", "quoted");
            tracing::trace!(
                ms = 12.5,
                more = 3.0,
                tiny = 1e-9,
                large = 1e12,
                not = f64::NAN,
                "numbers"
            );
            tracing::info!(error = &error as &dyn std::error::Error, "an error");
            tracing::info!(status = ?Some(1), addr = %"127.0.0.1:1");
            tracing::info_span!("outer", n = 1).in_scope(|| tracing::info!("within a span"));
            tracing::info!(target: "log", { log.target = "a::b" }, "as the log crate's events come");
            tracing::info!("\u{1b}[31mred\u{1b}[0m and\nmore");
        };
        let [ours, theirs] = both(tell);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn times_are_what_the_usual_format_writes() {
        let of = |micros: u64| {
            let time = UNIX_EPOCH + std::time::Duration::from_micros(micros);
            let mut text = String::new();
            write_time(&mut Writer::new(&mut text), time).unwrap();
            text
        };
        assert_eq!(of(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(of(1_795_742_541_935_321), "2026-11-27T01:22:21.935321Z");
        assert_eq!(of(1_795_742_541_000_001), "2026-11-27T01:22:21.000001Z");
        assert_eq!(of(4_102_444_799_999_999), "2099-12-31T23:59:59.999999Z");
        let mut now = String::new();
        let usual = tracing_subscriber::fmt::time::SystemTime;
        usual.format_time(&mut Writer::new(&mut now)).unwrap();
        assert_eq!(now.len(), of(0).len());
    }

    proptest! {
        #[test]
        fn any_text_and_number_is_written_alike(text in any::<String>(), number in any::<f64>(), micros in 0_u32..2_000_000_000) {
            let ms = f64::from(micros) / 1_000.0;
            let [ours, theirs] = both(|| tracing::info!(text = &*text, number, ms, "said"));
            prop_assert_eq!(ours, theirs);
        }
    }
}
