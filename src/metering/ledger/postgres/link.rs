//! One connection to the database of a shared ledger, and all that is said over it.
//!
//! Each exchange has a limit: by the server for what it works on, and here for one that says nothing any more. After
//! one that ran out the connection is thrown away, for nobody knows where it stands.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use super::address::Address;
use super::trouble::Trouble;
use crate::metering::hand::Group;
use crate::metering::ledger::entry::{self, Value};
use crate::metering::ledger::schema;
use crate::metering::tally::Tally;

/// A server that has not done within this what the writer asks for is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// A report may take so long.
pub(super) const REPORT: Duration = Duration::from_secs(20);
/// Whether a server is there it says within this.
const PING: Duration = Duration::from_secs(2);

/// Begins what is written. The server ends it by itself when somebody else is in the way for long, or when this process
/// stands still in the middle of it: nobody may hold up the other instances.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// Begins a report.
const BEGIN_REPORT: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '19s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'";
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
    enter: Option<Enter>,
}

/// The statements by which a batch is entered.
struct Enter {
    mark: Statement,
    request: Statement,
    hour: Statement,
    spend: Statement,
}

/// A batch of requests, which is entered once however often it is tried.
pub(super) struct Batch<'b> {
    /// Who enters it.
    pub(super) writer: &'b str,
    /// Which one of theirs it is.
    pub(super) number: i64,
    /// When the last of its requests came.
    pub(super) at: i64,
    pub(super) groups: &'b [Group<'b>],
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
        let preparing = async {
            Ok::<_, Trouble>(Enter {
                mark: link.client.prepare(schema::MARK).await?,
                request: link.client.prepare(&schema::insert_request()).await?,
                hour: link.client.prepare(&schema::add_to_hour()).await?,
                spend: link.client.prepare(schema::SPEND).await?,
            })
        };
        let enter = timeout(PATIENCE, preparing)
            .await
            .map_err(Trouble::slow)??;
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

    /// Whether the server is still there.
    pub(super) async fn is_alive(&self) -> bool {
        let asked = timeout(PING, self.client.check_connection()).await;
        matches!(asked, Ok(Ok(())))
    }

    /// Enters a batch, all or nothing of it, unless it is entered already.
    pub(super) async fn enter(&self, batch: &Batch<'_>) -> Result<(), Trouble> {
        let entering = Box::pin(self.try_to_enter(batch));
        let entered = timeout(PATIENCE, entering).await.map_err(Trouble::slow)?;
        if let Err(Trouble::Refused(_) | Trouble::Clash(_)) = &entered {
            self.exchange(self.client.batch_execute("ROLLBACK")).await?;
        }
        entered
    }

    async fn try_to_enter(&self, batch: &Batch<'_>) -> Result<(), Trouble> {
        let Some(enter) = &self.enter else {
            return Err(Trouble::Away("this connection is for reports".to_owned()));
        };
        self.client.batch_execute(BEGIN).await?;
        // Alone and first: it waits for an earlier try of the same batch that the server is still busy with, and then
        // knows what became of it. Nothing else is sent before its answer is here.
        let marked = self
            .client
            .execute(&enter.mark, &[&batch.writer, &batch.number, &batch.at])
            .await?;
        if marked == 0 {
            self.client.batch_execute("ROLLBACK").await?;
            return Ok(());
        }
        let mut rows: Vec<(&Statement, Vec<Value<'_>>)> = batch
            .groups
            .iter()
            .map(|group| (&enter.request, entry::request(group)))
            .collect();
        // In the order of their keys, so that no two instances wait for each other.
        let hours = entry::hours(batch.groups);
        let mut hours: Vec<_> = hours
            .iter()
            .map(|(key, tally)| (key.order(), entry::hour(key, tally)))
            .collect();
        hours.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows.extend(hours.into_iter().map(|(_, values)| (&enter.hour, values)));
        let mut spending: Vec<_> = entry::spending(batch.groups).into_iter().collect();
        spending.sort();
        rows.extend(spending.into_iter().map(|((day, caller), cost)| {
            let values = vec![
                Value::Integer(day),
                Value::Name(caller),
                entry::integer(cost),
            ];
            (&enter.spend, values)
        }));
        // All of them are on their way before the first answer is here.
        let entering = rows
            .into_iter()
            .map(|(statement, values)| self.client.execute_raw(statement, values));
        let mut failures = join_all(entering).await.into_iter().filter_map(Result::err);
        let first = failures.find(|error| !Trouble::is_consequence(error));
        if let Some(error) = first {
            return Err(error.into());
        }
        self.client.batch_execute("COMMIT").await?;
        Ok(())
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
            let times: [&(dyn ToSql + Sync); 4] = [&times[0], &times[1], &times[2], &times[3]];
            let found = self.client.query(&schema::sums(by, limit), &times).await?;
            self.client.batch_execute("COMMIT").await?;
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
        });
        timeout(REPORT, asking).await.map_err(Trouble::slow)?
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

    /// Removes some of the rows before a time, and says how many.
    pub(super) async fn forget(&self, before: i64) -> Result<u64, Trouble> {
        self.exchange(self.client.execute(schema::FORGET_SOME, &[&before]))
            .await
    }

    /// Removes the marks of writers that entered nothing since a time.
    pub(super) async fn forget_writers(&self, before: i64) -> Result<u64, Trouble> {
        self.exchange(self.client.execute(schema::FORGET_WRITERS, &[&before]))
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

// === impl Value ===

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Text(text) => without_nul(text).to_sql(kind, out),
            Value::Name(text) => without_nul(text).to_sql(kind, out),
            Value::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <i64 as ToSql>::accepts(kind) || <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// PostgreSQL takes every character but one.
fn without_nul(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}
