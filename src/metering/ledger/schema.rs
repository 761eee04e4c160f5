//! The tables of the ledger and what is asked of them, in SQL that SQLite and PostgreSQL both read.
//!
//! `requests` has a row for each request, or for some that are alike; `hours` has the sums of each
//! hour by all that reports can be grouped by, and is kept when the rows are gone. Both are written in one transaction.

use std::fmt::Write as _;

use crate::metering::hand::HOUR;
use crate::metering::tally::Tally;

/// Changes with the tables; a ledger of a later version is refused.
pub(super) const VERSION: i64 = 1;

/// What requests can be grouped by, as the tables name it.
pub(super) const DIMENSIONS: [&str; 5] = ["model", "caller", "\"user\"", "endpoint", "source"];

/// Why a ledger of another version is refused.
pub(super) fn unknown(version: i64) -> String {
    format!("it is of version {version}; this program knows version {VERSION}")
}

fn columns(prefix: &str, suffix: &str) -> String {
    let mut text = String::new();
    for (_, name) in Tally::FIGURES {
        let _ = write!(text, ", {prefix}{name}{suffix}");
    }
    text
}

/// Makes the tables.
pub(super) fn create() -> String {
    let figures = columns("", " BIGINT NOT NULL");
    format!(
        "CREATE TABLE requests (at BIGINT NOT NULL, id TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, \
         served TEXT NOT NULL, caller TEXT NOT NULL, \"user\" TEXT NOT NULL, source TEXT NOT NULL, \
         status BIGINT NOT NULL, error TEXT NOT NULL, certainty TEXT NOT NULL, added_us BIGINT NOT NULL, \
         upstream_us BIGINT NOT NULL, first_token_us BIGINT{figures});
         CREATE INDEX requests_at ON requests (at);
         CREATE TABLE hours (hour BIGINT NOT NULL, model TEXT NOT NULL, caller TEXT NOT NULL, \"user\" TEXT NOT NULL, \
         endpoint TEXT NOT NULL, source TEXT NOT NULL{figures}, \
         PRIMARY KEY (hour, model, caller, \"user\", endpoint, source));"
    )
}

/// Makes the tables of a ledger that instances share. `writers` has the last batch that each process has entered, so that
/// one whose fate was unknown is not entered twice; `spending` what clients with names have spent in a day, which every
/// instance asks for every second. Texts are compared by their bytes, as in SQLite.
pub(super) fn create_shared() -> String {
    let create = create()
        + "CREATE TABLE writers (name TEXT NOT NULL PRIMARY KEY, batch BIGINT NOT NULL, at BIGINT NOT NULL);
         CREATE TABLE spending (day BIGINT NOT NULL, caller TEXT NOT NULL, cost_nano_usd BIGINT NOT NULL, \
         PRIMARY KEY (day, caller));
         CREATE TABLE pegasus_nest (version BIGINT NOT NULL);";
    let create = create.replace("TEXT NOT NULL", "TEXT COLLATE \"C\" NOT NULL");
    format!("{create} INSERT INTO pegasus_nest VALUES ({VERSION});")
}

fn places(count: usize) -> String {
    let numbers: Vec<_> = (1..=count).map(|n| format!("${n}")).collect();
    numbers.join(", ")
}

/// Enters one row: 14 columns of its own, then the figures.
pub(super) fn insert_request() -> String {
    let count = 14 + Tally::FIGURES.len();
    format!(
        "INSERT INTO requests (at, id, endpoint, model, served, caller, \"user\", source, status, error, certainty, \
         added_us, upstream_us, first_token_us{}) VALUES ({})",
        columns("", ""),
        places(count)
    )
}

/// Adds to the sums of an hour: 6 columns of its own, then the figures.
pub(super) fn add_to_hour() -> String {
    let sums: Vec<_> = Tally::FIGURES
        .iter()
        .map(|(_, name)| match *name {
            "longest_us" => format!(
                "{name} = CASE WHEN excluded.{name} > hours.{name} THEN excluded.{name} ELSE hours.{name} END"
            ),
            name => format!("{name} = hours.{name} + excluded.{name}"),
        })
        .collect();
    format!(
        "INSERT INTO hours (hour, model, caller, \"user\", endpoint, source{}) VALUES ({}) \
         ON CONFLICT (hour, model, caller, \"user\", endpoint, source) DO UPDATE SET {}",
        columns("", ""),
        places(6 + Tally::FIGURES.len()),
        sums.join(", ")
    )
}

/// Removes the rows before a time.
pub(super) const FORGET: &str = "DELETE FROM requests WHERE at < $1";

/// Removes some of the rows that are more than $2 older than $1, and none that another instance is removing: all of them
/// at once would take longer than a statement may. The server's clock has a say, for one instance whose clock is wrong
/// must not remove what the others have entered.
pub(super) const FORGET_SOME: &str = "DELETE FROM requests WHERE ctid = ANY(ARRAY(\
     SELECT ctid FROM requests WHERE at < LEAST($1, CAST(extract(epoch FROM now()) * 1000 AS BIGINT)) - $2 \
     ORDER BY at LIMIT 10000 FOR UPDATE SKIP LOCKED))";

/// Removes writers that entered nothing for as long as $1.
pub(super) const FORGET_WRITERS: &str =
    "DELETE FROM writers WHERE at < CAST(extract(epoch FROM now()) * 1000 AS BIGINT) - $1";

/// Marks a batch as entered by a writer; touches no row where it is already.
pub(super) const MARK: &str = "INSERT INTO writers (name, batch, at) \
     VALUES ($1, $2, CAST(extract(epoch FROM now()) * 1000 AS BIGINT)) \
     ON CONFLICT (name) DO UPDATE SET batch = excluded.batch, at = excluded.at WHERE writers.batch < excluded.batch";

/// Adds to what a client has spent in a day.
pub(super) const SPEND: &str = "INSERT INTO spending (day, caller, cost_nano_usd) VALUES ($1, $2, $3) \
     ON CONFLICT (day, caller) DO UPDATE SET cost_nano_usd = spending.cost_nano_usd + excluded.cost_nano_usd";

/// What some clients have spent on each day since one.
pub(super) const SPENT: &str =
    "SELECT day, caller, cost_nano_usd FROM spending WHERE day >= $1 AND caller = ANY($2)";

/// Sums from $1 until before $4 by these columns: of whole hours from $2 until before $3, and of the rows around them.
pub(super) fn sums(by: &[&str], limit: usize) -> String {
    let keys = by.iter().fold(String::new(), |keys, key| keys + key + ", ");
    let inner = |hour: &str| {
        let mut text = format!("SELECT {hour} AS hour");
        for dimension in DIMENSIONS {
            let _ = write!(text, ", {dimension}");
        }
        text + &columns("", "")
    };
    let mut sums = String::new();
    for (at, (_, name)) in Tally::FIGURES.iter().enumerate() {
        let how = if *name == "longest_us" { "max" } else { "sum" };
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(sums, "{comma}CAST(COALESCE({how}({name}), 0) AS BIGINT)");
    }
    // As they stand in a tally: what was fetched before anybody asked comes last.
    sums += ", CAST(COALESCE(sum(CASE WHEN source = 'prefetch' \
             THEN cost_nano_usd + provider_cache_saved_nano_usd ELSE 0 END), 0) AS BIGINT)";
    let group = if by.is_empty() {
        String::new()
    } else {
        let numbers: Vec<_> = (1..=by.len()).map(|n| n.to_string()).collect();
        let numbers = numbers.join(", ");
        format!(" GROUP BY {numbers} ORDER BY {numbers} LIMIT {limit}")
    };
    format!(
        "SELECT {keys}{sums} FROM ({} FROM hours WHERE hour >= $2 AND hour < $3 UNION ALL {} FROM requests \
         WHERE at >= $1 AND at < $4 AND (at < $2 OR at >= $3)) AS sums{group}",
        inner("hour"),
        inner(&format!("at - at % {HOUR}")),
    )
}
