//! The ledger in a file of its own, or in memory: SQLite.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::entry::{self, Value};
use super::{Failed, schema};
use crate::metering::hand::Group;
use crate::metering::tally::Tally;

/// How long a look waits for somebody who writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Sqlite {
    connection: Connection,
    insert: String,
    add: String,
}

impl Sqlite {
    /// Opens a ledger, and makes it where there is none; without a path one that ends with the process.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failed> {
        let connection = match path {
            Some(path) => {
                // Who asked is in it: nobody else on the machine needs to read that. SQLite's own files beside it
                // take over its mode.
                let new = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(path);
                new.map_err(|error| Failed::Broken(error.to_string()))?;
                Connection::open(path)?
            }
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(PATIENCE)?;
        // Readers and the writer do not wait for each other; a crash of the machine may cost the last commits, one of
        // the process none.
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        // Two processes may open a new one at once: the second finds what the first has made.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => {
                connection.execute_batch(&schema::create())?;
                connection.pragma_update(None, "user_version", schema::VERSION)?;
            }
            schema::VERSION => {}
            other => {
                return Err(Failed::Broken(schema::unknown(other)));
            }
        }
        connection.execute_batch("COMMIT")?;
        Ok(Self {
            connection,
            insert: numbered(&schema::insert_request()),
            add: numbered(&schema::add_to_hour()),
        })
    }

    /// Enters requests, all or none of them.
    pub(super) fn enter(&mut self, groups: &[Group<'_>]) -> Result<(), Failed> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(&self.insert)?;
            for group in groups {
                insert.execute(params_from_iter(entry::request(group)))?;
            }
            let mut add = transaction.prepare_cached(&self.add)?;
            for (key, tally) in entry::hours(groups) {
                add.execute(params_from_iter(entry::hour(&key, &tally)))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Sums by these columns, each with its keys: from and until the outer two times, in whole hours between the inner
    /// two.
    pub(super) fn sums(
        &self,
        by: &[&str],
        times: [i64; 4],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, Tally)>, Failed> {
        let mut statement = self
            .connection
            .prepare_cached(&numbered(&schema::sums(by, limit)))?;
        let mut found = statement.query(times)?;
        let mut sums = Vec::new();
        while let Some(row) = found.next()? {
            let mut keys = Vec::with_capacity(by.len());
            for at in 0..by.len() {
                keys.push(match row.get_ref(at)? {
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    _ => String::new(),
                });
            }
            let mut tally = Tally::default();
            for (at, sum) in tally.0.iter_mut().enumerate() {
                *sum = row.get::<_, i64>(by.len() + at)?.cast_unsigned();
            }
            sums.push((keys, tally));
        }
        Ok(sums)
    }

    #[cfg(test)]
    pub(super) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// Removes the rows before a time; their sums by hour stay.
    pub(super) fn forget(&mut self, before: i64) -> Result<usize, Failed> {
        Ok(self
            .connection
            .execute(&numbered(schema::FORGET), [before])?)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Name(text) => ValueRef::Text(text.as_bytes()),
            Value::Null => ValueRef::Null,
        }))
    }
}

/// SQLite takes `$2` for a name, and `?2` for the second value.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}
