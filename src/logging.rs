//! Sets up where the story of each request is told: standard error, for people or for collectors.

use std::any::Any;
use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::sleep;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

use line::Plain;
use outlet::OutletGuard;

mod line;
mod outlet;

/// How often somebody looks whether lines were lost.
const LOSS_INTERVAL: Duration = Duration::from_mins(1);

/// Keeps the log going; whoever drops it waits, briefly, for the last lines.
pub struct LogGuard {
    outlet: OutletGuard,
}

impl LogGuard {
    /// Says, for ever, how many lines were lost because nobody read them.
    pub async fn tell_losses(&self) {
        let mut told = 0;
        loop {
            sleep(LOSS_INTERVAL).await;
            let lost = self.outlet.outlet().lost();
            if lost > told {
                tracing::warn!(
                    lost = lost - told,
                    "log lines were lost: their reader is too slow"
                );
                told = lost;
            }
        }
    }
}

/// Starts logging; a later call changes nothing.
pub fn init(log: &Log) -> LogGuard {
    let (writer, outlet) = outlet::open(std::io::stderr());
    let variable = std::env::var_os("RUST_LOG").map(|value| value.to_string_lossy().into_owned());
    let (filter, is_bad) = filter(variable.as_deref(), &log.level);
    // An error on the way to a closed pipe must not be told on that pipe: it would panic.
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false);
    // Who logged first keeps the right to: tests start several servers in one process.
    let _ = match log.format {
        LogFormat::Text if has_colours() => builder.with_ansi(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(false)
            .event_format(Plain::default())
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_ansi(false)
            .try_init(),
    };
    if is_bad {
        tracing::warn!(filter = %log.level, "RUST_LOG is no valid filter and is not used");
    }
    LogGuard { outlet }
}

/// Lets a panic tell where it was, in the log like everything else, and no more than that: its message can quote the
/// text that it was about, as that of a slice between two bytes of a character does.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let what = harmless(panic.payload());
        tracing::error!(at, what, "a defect: a task panicked");
    }));
}

/// A panic's message where it is a part of the program's text.
fn harmless(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

/// What goes wrong with Redis is told once by `store::redis`, not once a try by its crate. The settings outrank this.
const QUIET: &str = "redis=off";

/// The filter to use, and whether the variable had to be passed over.
fn filter(variable: Option<&str>, level: &str) -> (EnvFilter, bool) {
    let wish = variable
        .filter(|value| !value.trim().is_empty())
        .map(EnvFilter::try_new);
    match wish {
        Some(Ok(filter)) => (filter, false),
        other => (EnvFilter::new(format!("{QUIET},{level}")), other.is_some()),
    }
}

/// Whether standard error takes colours, by the convention of <https://no-color.org>.
fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_refused && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_if_it_is_valid() {
        let used = |variable, level| {
            let (filter, is_bad) = filter(variable, level);
            (filter.to_string(), is_bad)
        };
        assert_eq!(used(None, "info"), ("redis=off,info".to_owned(), false));
        assert_eq!(
            used(Some(" "), "info"),
            ("redis=off,info".to_owned(), false)
        );
        assert_eq!(used(Some("debug"), "info"), ("debug".to_owned(), false));
        assert_eq!(
            used(Some("a=loud"), "warn"),
            ("redis=off,warn".to_owned(), true)
        );
    }

    #[test]
    fn a_panic_tells_no_text_but_the_programs_own() {
        let of = |panic: fn()| {
            let payload = std::panic::catch_unwind(panic).unwrap_err();
            harmless(&*payload)
        };
        assert_eq!(of(|| panic!("a literal")), Some("a literal"));
        assert_eq!(of(|| panic!("about {}", "a prompt".to_owned())), None);
        let inside_a_character = || {
            let _ = &String::from("prompté")[..7];
        };
        assert_eq!(of(inside_a_character), None);
    }

    #[test]
    fn starting_twice_is_harmless() {
        let log = |format| Log {
            level: "off".to_owned(),
            format,
            summary_interval: Duration::ZERO,
        };
        let _first = init(&log(LogFormat::Text));
        let _second = init(&log(LogFormat::Json));
    }
}
