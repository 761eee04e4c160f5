//! The ledger: each request as a row that outlasts the process, without a word of what was asked or answered.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use self::keeper::{Embedded, Keeper};
use self::postgres::Postgres;
use super::books::Reader;
use super::hand::HOUR;
use super::tally::{Figure, Tally};

pub use self::group::Group;
pub use self::postgres::{Address, Learners};

mod entry;
mod group;
mod keeper;
mod postgres;
mod schema;
mod sqlite;

/// Rows that are kept in memory while the ledger cannot be written.
const MAX_PENDING: usize = 64 * 1024;
/// Groups in one report. More are no report.
const MAX_GROUPS: usize = 10_000;
/// More than there can be.
const ALL_GROUPS: usize = u32::MAX as usize;

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Embedded(Arc<Embedded>),
    Shared(Postgres),
}

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory: it ends with the process.
    Memory,
    /// In a file.
    File(PathBuf),
    /// In a database that instances share.
    Shared(Address),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str(":memory:"),
            Self::File(path) => path.display().fmt(f),
            Self::Shared(address) => address.fmt(f),
        }
    }
}

/// Why the ledger cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Something is wrong with it.
    #[error("{0}")]
    Broken(String),
    /// The database does not answer, or not as it should. That may pass.
    #[error("{0}")]
    Away(String),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Sums of the requests of some time.
#[derive(Debug, Default)]
pub struct Report {
    /// A line for each group: its keys and its sums.
    pub lines: Vec<Line>,
    /// There are more groups than are reported.
    pub is_cut: bool,
}

/// The keys of a group, and its sums.
type Line = (Vec<String>, Tally);

// === impl Ledger ===

impl Ledger {
    /// Opens the ledger, and makes it where there is none. One that instances share is looked for from now on, and tells
    /// what it finds to those who learn from it.
    pub fn open(place: &Place, retention: Duration, learners: Learners) -> Result<Self, Failed> {
        let keep_for = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        match place {
            Place::Memory => Self::embedded(None, keep_for),
            Place::File(path) => Self::embedded(Some(path), keep_for),
            Place::Shared(address) => {
                let kind = Kind::Shared(Postgres::open(address, keep_for, learners)?);
                Ok(Self { kind })
            }
        }
    }

    fn embedded(path: Option<&Path>, keep_for: i64) -> Result<Self, Failed> {
        let kind = Kind::Embedded(Arc::new(Embedded::open(path, keep_for)?));
        Ok(Self { kind })
    }

    /// What writes into it.
    pub fn keeper(&self) -> Box<dyn Reader> {
        match &self.kind {
            Kind::Embedded(ledger) => Box::new(Keeper::new(Arc::clone(ledger))),
            Kind::Shared(postgres) => postgres.clerk(),
        }
    }

    /// Rows that could not be written.
    pub fn lost(&self) -> u64 {
        match &self.kind {
            Kind::Embedded(ledger) => ledger.lost.get(),
            Kind::Shared(postgres) => postgres.lost(),
        }
    }

    /// Rows that the books have handed on and that are not written yet.
    pub fn waiting(&self) -> u64 {
        match &self.kind {
            Kind::Embedded(_) => 0,
            Kind::Shared(postgres) => postgres.waiting(),
        }
    }

    /// Waits until it is known what is in it, but not for long.
    pub async fn begun(&self) {
        if let Kind::Shared(postgres) = &self.kind {
            postgres.begun().await;
        }
    }

    /// Writes what the books have handed on, at the end.
    pub async fn close(&self) {
        if let Kind::Shared(postgres) = &self.kind {
            postgres.close().await;
        }
    }

    /// The sums of the requests from one time until before another, in milliseconds since 1970, by these groups.
    pub async fn report(&self, from: i64, until: i64, by: Vec<Group>) -> Result<Report, Failed> {
        let (columns, times, limit) = (columns(&by), times(from, until), MAX_GROUPS + 1);
        let lines = match &self.kind {
            Kind::Embedded(ledger) => {
                let ledger = Arc::clone(ledger);
                let looking =
                    spawn_blocking(move || ledger.sqlite.lock().sums(&columns, times, limit));
                let ended = |_| Failed::Broken("the look into the ledger ended early".to_owned());
                looking.await.map_err(ended)??
            }
            Kind::Shared(postgres) => postgres.sums(columns, times, limit).await?,
        };
        Ok(Report::of(lines, &by))
    }

    /// What the requests since a time have cost, by caller, for whoever may wait for the disk; nothing where instances
    /// share the ledger, which tells it by itself.
    pub fn costs_since(&self, from: i64) -> Result<HashMap<String, u64>, Failed> {
        let lines = self.look(from, &[Group::Caller])?;
        let cost = |(mut keys, sums): Line| Some((keys.pop()?, sums.get(Figure::Cost)));
        Ok(lines.into_iter().filter_map(cost).collect())
    }

    /// The sums of all requests since a time, on the same terms.
    pub fn sums_since(&self, from: i64) -> Result<Tally, Failed> {
        Ok(tally_of(self.look(from, &[])?))
    }

    fn look(&self, from: i64, by: &[Group]) -> Result<Vec<Line>, Failed> {
        let Kind::Embedded(ledger) = &self.kind else {
            return Ok(Vec::new());
        };
        let times = times(from, i64::MAX / 2);
        ledger.sqlite.lock().sums(&columns(by), times, ALL_GROUPS)
    }
}

fn columns(by: &[Group]) -> Vec<&'static str> {
    by.iter().map(|group| group.column()).collect()
}

/// The times between which sums are asked for, and between these the full hours: what lies there is in their sums, also
/// when the rows themselves are gone.
fn times(from: i64, until: i64) -> [i64; 4] {
    let first = from.saturating_add(HOUR - 1).div_euclid(HOUR) * HOUR;
    let last = until.div_euclid(HOUR) * HOUR;
    if first <= last {
        [from, first, last, until]
    } else {
        [from, until, until, until]
    }
}

/// The sums of all, where nothing was grouped.
fn tally_of(lines: Vec<Line>) -> Tally {
    let sums = lines.into_iter().next();
    sums.map_or_else(Tally::default, |(_, tally)| tally)
}

// === impl Report ===

impl Report {
    fn of(mut lines: Vec<Line>, by: &[Group]) -> Self {
        let is_cut = lines.len() > MAX_GROUPS;
        lines.truncate(MAX_GROUPS);
        for (keys, _) in &mut lines {
            for (group, key) in by.iter().zip(keys) {
                group.show(key);
            }
        }
        Self { lines, is_cut }
    }
}

#[cfg(test)]
mod tests;
