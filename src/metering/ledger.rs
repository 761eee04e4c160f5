//! The ledger: each request as a row that outlasts the process, without a word of what was asked or answered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::sqlite::Sqlite;
use super::Counter;
use super::account::Row;
use super::books::Reader;
use super::hand::{HOUR, Hand};
use super::tally::Tally;

mod entry;
mod schema;
mod sqlite;

/// Rows that are kept in memory while the ledger cannot be written.
const MAX_PENDING: usize = 64 * 1024;
/// Groups in one report. More are no report.
const MAX_GROUPS: usize = 10_000;

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    sqlite: Mutex<Sqlite>,
    keep_for: i64,
    lost: Counter,
}

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory: it ends with the process.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str(":memory:"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why the ledger cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// What sums are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Days, in UTC.
    Day,
    /// Hours.
    Hour,
    /// The model that was asked.
    Model,
    /// Whose requests they are.
    Caller,
    /// Whom their clients attribute them to.
    User,
    /// The endpoint.
    Endpoint,
    /// Where the answers came from.
    Source,
}

/// Sums of the requests of some time.
#[derive(Debug, Default)]
pub struct Report {
    /// A line for each group: its keys and its sums.
    pub lines: Vec<(Vec<String>, Tally)>,
    /// There are more groups than are reported.
    pub is_cut: bool,
}

/// Writes what is in the books into the ledger.
struct Keeper {
    shared: Arc<Shared>,
    pending: Vec<Row>,
    tidied: Option<Instant>,
    is_failing: bool,
}

// === impl Ledger ===

impl Ledger {
    /// Opens the ledger, and makes it where there is none.
    pub fn open(place: &Place, retention: Duration) -> Result<Self, Failed> {
        let path = match place {
            Place::Memory => None,
            Place::File(path) => Some(&**path),
        };
        Self::at(path, retention.as_millis())
    }

    fn at(path: Option<&Path>, keep_for: u128) -> Result<Self, Failed> {
        let shared = Shared {
            sqlite: Mutex::new(Sqlite::open(path)?),
            keep_for: i64::try_from(keep_for).unwrap_or(i64::MAX),
            lost: Counter::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What writes into it.
    pub fn keeper(&self) -> Box<dyn Reader> {
        Box::new(Keeper {
            shared: Arc::clone(&self.shared),
            pending: Vec::new(),
            tidied: None,
            is_failing: false,
        })
    }

    /// Rows that could not be written.
    pub fn lost(&self) -> u64 {
        self.shared.lost.get()
    }

    /// The sums of the requests from one time until before another, in milliseconds since 1970, by these groups.
    pub async fn report(&self, from: i64, until: i64, by: Vec<Group>) -> Result<Report, Failed> {
        let shared = Arc::clone(&self.shared);
        let looked = spawn_blocking(move || shared.report(from, until, &by)).await;
        looked.unwrap_or_else(|_| Err(Failed("the look into the ledger ended early".to_owned())))
    }

    /// The same for whoever may wait for the disk.
    pub fn report_now(&self, from: i64, until: i64, by: &[Group]) -> Result<Report, Failed> {
        self.shared.report(from, until, by)
    }
}

// === impl Shared ===

impl Shared {
    fn report(&self, from: i64, until: i64, by: &[Group]) -> Result<Report, Failed> {
        let columns: Vec<_> = by.iter().map(|group| group.column()).collect();
        // What lies between two full hours is in their sums, also when the rows themselves are gone.
        let first = from.saturating_add(HOUR - 1).div_euclid(HOUR) * HOUR;
        let last = until.div_euclid(HOUR) * HOUR;
        let times = if first <= last {
            [from, first, last, until]
        } else {
            [from, until, until, until]
        };
        let mut lines = self.sqlite.lock().sums(&columns, times, MAX_GROUPS + 1)?;
        let is_cut = lines.len() > MAX_GROUPS;
        lines.truncate(MAX_GROUPS);
        for (keys, _) in &mut lines {
            for (group, key) in by.iter().zip(keys) {
                group.show(key);
            }
        }
        Ok(Report { lines, is_cut })
    }
}

// === impl Group ===

impl Group {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Hour,
        Self::Model,
        Self::Caller,
        Self::User,
        Self::Endpoint,
        Self::Source,
    ];

    /// Its name in requests and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Model => "model",
            Self::Caller => "caller",
            Self::User => "user",
            Self::Endpoint => "endpoint",
            Self::Source => "source",
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Day => "hour - hour % 86400000",
            Self::User => "\"user\"",
            other => other.as_str(),
        }
    }

    /// Makes a key one for people.
    fn show(self, key: &mut String) {
        let format = match self {
            Self::Day => "%Y-%m-%d",
            Self::Hour => "%Y-%m-%dT%H:%M:%SZ",
            _ => return,
        };
        let time = key
            .parse()
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        if let Some(time) = time {
            *key = time.strftime(format).to_string();
        }
    }
}

// === impl Keeper ===

impl Keeper {
    fn enter(&mut self, hand: &Hand<'_>) {
        let entered = if self.pending.is_empty() {
            self.shared.sqlite.lock().enter(&hand.groups)
        } else {
            self.pending.extend_from_slice(hand.rows);
            let all = Hand::new(&self.pending);
            self.shared.sqlite.lock().enter(&all.groups)
        };
        match entered {
            Ok(()) => {
                self.pending = Vec::new();
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the ledger can be written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the ledger cannot be written; its rows are kept in memory for now");
                }
                if self.pending.is_empty() {
                    self.pending = hand.rows.to_vec();
                }
                let beyond = self.pending.len().saturating_sub(MAX_PENDING);
                self.pending.drain(..beyond);
                self.shared.lost.add(beyond as u64);
            }
        }
    }

    /// Removes what is too old, at first and once an hour.
    fn tidy(&mut self, newest: i64) {
        let is_recent = |tidied: Instant| tidied.elapsed() < Duration::from_hours(1);
        if self.tidied.is_some_and(is_recent) {
            return;
        }
        self.tidied = Some(Instant::now());
        let before = newest.saturating_sub(self.shared.keep_for);
        match self.shared.sqlite.lock().forget(before) {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old rows of the ledger removed"),
            Err(error) => tracing::warn!(%error, "old rows of the ledger cannot be removed"),
        }
    }
}

impl Reader for Keeper {
    fn read(&mut self, hand: &Hand<'_>) {
        if !hand.rows.is_empty() || !self.pending.is_empty() {
            self.enter(hand);
        }
        if let Some(row) = hand.rows.last() {
            self.tidy(row.at);
        }
    }

    fn close(&mut self) {
        self.read(&Hand::new(&[]));
        let lost = self.pending.len();
        if lost > 0 {
            tracing::error!(lost, "the ledger could not be written to the end");
        }
    }
}

#[cfg(test)]
mod tests;
