//! One connection to the database of a shared ledger, and all that is said over it.
//!
//! Each exchange has a limit: by the server for what it works on, and here for one that says nothing any more. After
//! one that ran out the connection is thrown away, for nobody knows where it stands.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::address::Address;
use super::batch::{BEGIN, Batch, Statements};
use super::trouble::Trouble;
use crate::metering::ledger::{schema, tally_of, times};
use crate::metering::tally::Tally;

/// A server that has not done within this what the writer asks for is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// And for each row that it is given.
const PER_ROW: Duration = Duration::from_millis(5);
/// A report may take so long.
const REPORT: Duration = Duration::from_secs(20);
/// Whether a server is there it says within this.
const PING: Duration = Duration::from_secs(2);

/// Begins a report.
const BEGIN_REPORT: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '19s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// Begins a look at the tables as they are now.
const BEGIN_LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '60s'; SELECT version FROM pegasus_nest";
/// It may take so long: nobody waits for it.
const LOOK: Duration = Duration::from_mins(2);
/// One at a time makes the tables. The number is of no meaning, and the same everywhere.
const MAKE_ALONE: &str = "SELECT pg_advisory_xact_lock(8030598271443)";
/// Whether there are tables. `to_regclass` would still say no after a wait for somebody who made them.
const IS_MADE: &str = "SELECT oid FROM pg_catalog.pg_class WHERE relname = 'pegasus_nest' \
     AND pg_catalog.pg_table_is_visible(oid)";
/// Their version.
const VERSION: &str = "SELECT version FROM pegasus_nest";

/// A connection; it is closed when dropped.
pub(super) struct Link {
    client: Client,
    /// Moves what is said between the client and the socket.
    driver: JoinHandle<()>,
    enter: Option<Statements>,
}

/// A look at the tables as they were when it began, over a connection of its own.
pub(super) struct Look {
    link: Link,
}

/// What a client has spent in a day.
pub(super) struct Spent {
    pub(super) day: i64,
    pub(super) caller: String,
    pub(super) cost: u64,
}

// === impl Link ===

impl Link {
    /// Connects, and makes the tables where there are none.
    pub(super) async fn connect(address: &Address) -> Result<Self, Trouble> {
        let connecting = Box::pin(async {
            let (client, connection) = address.config().connect(address.tls()?).await?;
            let driving = async {
                // How it ended is told to whoever waits for an answer.
                let _ = connection.await;
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "it is the connection, and ends with the link"
            )]
            let driver = tokio::spawn(driving);
            let link = Self {
                client,
                driver,
                enter: None,
            };
            link.make_tables().await?;
            Ok(link)
        });
        timeout(address.patience(), connecting)
            .await
            .map_err(Trouble::slow)?
    }

    /// The same for a writer.
    pub(super) async fn connect_writer(address: &Address) -> Result<Self, Trouble> {
        let mut link = Self::connect(address).await?;
        let enter = link.exchange(Statements::prepare(&link.client)).await?;
        link.enter = Some(enter);
        Ok(link)
    }

    async fn make_tables(&self) -> Result<(), Trouble> {
        if let Some(version) = self.version().await? {
            return judged(&version);
        }
        self.client.batch_execute(BEGIN).await?;
        self.client.batch_execute(MAKE_ALONE).await?;
        // Somebody else may have made them meanwhile.
        let version = self.version().await?;
        if version.is_none() {
            let made = self.client.batch_execute(&schema::create_shared()).await;
            made.map_err(|error| {
                let why = Trouble::from(error);
                let hint = "give it a database of its own, or a schema by options=-csearch_path%3Dname in its URL";
                Trouble::Away(format!("the ledger's tables cannot be made: {why}; {hint}"))
            })?;
        }
        self.client.batch_execute("COMMIT").await?;
        version.map_or(Ok(()), |version| judged(&version))
    }

    /// The version of the tables, if there are any.
    async fn version(&self) -> Result<Option<String>, Trouble> {
        if self.first(IS_MADE).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.first(VERSION).await?.unwrap_or_default()))
    }

    /// The first column of the first row, if that is anything.
    async fn first(&self, query: &str) -> Result<Option<String>, Trouble> {
        let answer = self.client.simple_query(query).await?;
        let value = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
            _ => None,
        });
        Ok(value)
    }

    /// Whether it is still a connection. A server that says nothing is a failure: with another one it would be the same.
    pub(super) async fn is_open(&self) -> Result<bool, Trouble> {
        let asked = timeout(PING, self.client.check_connection()).await;
        Ok(asked.map_err(Trouble::slow)?.is_ok())
    }

    /// Enters a batch, all or nothing of it, unless it is entered already.
    pub(super) async fn enter(&self, batch: &Batch<'_>) -> Result<(), Trouble> {
        let Some(statements) = &self.enter else {
            return Err(Trouble::Away("this connection is for reports".to_owned()));
        };
        let entering = Box::pin(batch.enter(&self.client, statements));
        let rows = u32::try_from(batch.groups.len()).unwrap_or(u32::MAX);
        let patience = PATIENCE.saturating_add(PER_ROW.saturating_mul(rows));
        let entered = timeout(patience, entering).await.map_err(Trouble::slow)?;
        if let Err(Trouble::Refused(_) | Trouble::Clash(_)) = &entered {
            self.exchange(self.client.batch_execute("ROLLBACK")).await?;
        }
        entered
    }

    /// Sums by these columns, as [`super::super::sqlite::Sqlite::sums`].
    pub(super) async fn sums(
        &self,
        by: &[&str],
        times: [i64; 4],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, Tally)>, Trouble> {
        let asking = Box::pin(async {
            self.client.batch_execute(BEGIN_REPORT).await?;
            let sums = self.read_sums(by, times, limit).await?;
            self.client.batch_execute("COMMIT").await?;
            Ok(sums)
        });
        timeout(REPORT, asking).await.map_err(Trouble::slow)?
    }

    async fn read_sums(
        &self,
        by: &[&str],
        times: [i64; 4],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, Tally)>, Trouble> {
        let times: [&(dyn ToSql + Sync); 4] = [&times[0], &times[1], &times[2], &times[3]];
        let found = self.client.query(&schema::sums(by, limit), &times).await?;
        let mut sums = Vec::with_capacity(found.len());
        for row in found {
            let mut keys = Vec::with_capacity(by.len());
            for at in 0..by.len() {
                keys.push(if *row.columns()[at].type_() == Type::INT8 {
                    row.try_get::<_, i64>(at)?.to_string()
                } else {
                    row.try_get(at)?
                });
            }
            let mut tally = Tally::default();
            for (at, sum) in tally.0.iter_mut().enumerate() {
                *sum = row.try_get::<_, i64>(by.len() + at)?.cast_unsigned();
            }
            sums.push((keys, tally));
        }
        Ok(sums)
    }

    /// What these clients have spent on each day since one.
    pub(super) async fn spent(&self, since: i64, clients: &[&str]) -> Result<Vec<Spent>, Trouble> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&since, Type::INT8), (&clients, Type::TEXT_ARRAY)];
        let asking = self.client.query_typed(schema::SPENT, &parameters);
        let rows = self.exchange(asking).await?;
        let spent = rows.iter().map(|row| {
            Ok(Spent {
                day: row.try_get(0)?,
                caller: row.try_get(1)?,
                cost: row.try_get::<_, i64>(2)?.cast_unsigned(),
            })
        });
        spent.collect()
    }

    /// Removes some of the rows that are older than the newest, and than now, by more than this, in milliseconds. Says
    /// how many.
    pub(super) async fn forget(&self, newest: i64, keep_for: i64) -> Result<u64, Trouble> {
        let times: [&(dyn ToSql + Sync); 2] = [&newest, &keep_for];
        self.exchange(self.client.execute(schema::FORGET_SOME, &times))
            .await
    }

    /// Removes the marks of writers that have entered nothing for so long, in milliseconds.
    pub(super) async fn forget_writers(&self, keep_for: i64) -> Result<u64, Trouble> {
        self.exchange(self.client.execute(schema::FORGET_WRITERS, &[&keep_for]))
            .await
    }

    #[cfg(test)]
    pub(super) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn exchange<T>(
        &self,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let answer = timeout(PATIENCE, Box::pin(asking)).await;
        Ok(answer.map_err(Trouble::slow)??)
    }
}

// === impl Look ===

impl Look {
    /// What is in the ledger at this moment.
    pub(super) async fn begin(address: &Address) -> Result<Self, Trouble> {
        let link = Link::connect(address).await?;
        link.exchange(link.client.batch_execute(BEGIN_LOOK)).await?;
        Ok(Self { link })
    }

    /// The sums since a time, and of all times.
    pub(super) async fn sums_since(self, time: i64) -> Result<[Tally; 2], Trouble> {
        let link = &self.link;
        let asking = Box::pin(async {
            let end = i64::MAX / 2;
            let since = link.read_sums(&[], times(time, end), 1).await?;
            let all = link.read_sums(&[], times(0, end), 1).await?;
            Ok([tally_of(since), tally_of(all)])
        });
        timeout(LOOK, asking).await.map_err(Trouble::slow)?
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Without this it would go on until a server that stands still has taken leave.
        self.driver.abort();
    }
}

fn judged(version: &str) -> Result<(), Trouble> {
    match version.parse() {
        Ok(schema::VERSION) => Ok(()),
        Ok(other) => Err(Trouble::Away(schema::unknown(other))),
        Err(_) => Err(Trouble::Away(
            "its table pegasus_nest has no version".to_owned(),
        )),
    }
}
