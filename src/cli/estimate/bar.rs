//! A bar that shows how far a replay is, on a terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::estimate::Progress;
use crate::words::{about, count};

/// How often it is drawn.
const PACE: Duration = Duration::from_millis(100);
/// How many characters the bar itself has.
const WIDTH: u64 = 24;

/// A bar that is drawn by a thread of its own, and wiped off when dropped.
pub(super) struct Bar {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Draws from now on how much has been read of so many bytes, where that is known.
    pub(super) fn start(progress: &Arc<Progress>, length: Option<u64>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (progress, over) = (Arc::clone(progress), Arc::clone(&is_over));
        let draw = move || {
            #[expect(
                clippy::disallowed_types,
                reason = "the replay has stopped tokio's clock"
            )]
            let begun = std::time::Instant::now();
            while !over.load(Ordering::Relaxed) {
                let line = line(&progress, length, begun.elapsed());
                // A terminal that is gone takes no bar.
                let _ = write!(io::stderr(), "\r\x1b[K{line}");
                thread::park_timeout(PACE);
            }
            let _ = write!(io::stderr(), "\r\x1b[K");
        };
        Self {
            is_over,
            thread: thread::Builder::new()
                .name("bar".to_owned())
                .spawn(draw)
                .ok(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// The bar after so much time.
fn line(progress: &Progress, length: Option<u64>, passed: Duration) -> String {
    let read = progress.bytes.load(Ordering::Relaxed);
    let requests = progress.requests.load(Ordering::Relaxed);
    let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = requests.saturating_mul(1_000) / millis;
    let mut line = String::new();
    if let Some(length) = length.filter(|length| *length > 0) {
        // A log that is being written to grows beyond what it was.
        let read = read.min(length);
        let done = read.saturating_mul(WIDTH) / length;
        let at = |place| if place < done { '█' } else { '░' };
        line.extend((0..WIDTH).map(at));
        let _ = write!(line, " {:>3} %  ", read.saturating_mul(100) / length);
    }
    let _ = write!(
        line,
        "{} requests, {} a second",
        count(requests),
        count(rate)
    );
    if let Some(length) = length.filter(|_| read > 0 && millis > 1_000) {
        let left = length.saturating_sub(read);
        let left = u128::from(left) * u128::from(millis) / u128::from(read);
        let _ = write!(
            line,
            ", {} left",
            about(u64::try_from(left).unwrap_or(u64::MAX))
        );
    }
    if progress.stop.load(Ordering::Relaxed) {
        line.push_str(", ending");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_how_fast_and_how_long() {
        let progress = Progress::default();
        let shown = |length| line(&progress, length, Duration::from_secs(10));
        assert_eq!(shown(None), "0 requests, 0 a second");
        progress.bytes.store(50, Ordering::Relaxed);
        progress.requests.store(20_000, Ordering::Relaxed);
        let half = format!("{}{}", "█".repeat(12), "░".repeat(12));
        let expected = format!("{half}  50 %  20,000 requests, 2,000 a second, 10 seconds left");
        assert_eq!(shown(Some(100)), expected);
        assert!(shown(Some(0)).starts_with("20,000"));
        // It may have grown meanwhile.
        progress.bytes.store(500, Ordering::Relaxed);
        assert!(shown(Some(100)).contains(" 100 %  "));
    }
}
