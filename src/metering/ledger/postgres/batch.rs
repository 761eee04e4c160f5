//! A batch of requests on its way into the tables.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::trouble::Trouble;
use crate::metering::hand::Group;
use crate::metering::ledger::entry::{self, Value};
use crate::metering::ledger::schema;

/// Begins what is written. The server ends it by itself when somebody else is in the way for long, or when this process
/// stands still in the middle of it: nobody may hold up the other instances.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '8s'; SET LOCAL lock_timeout = '4s'; \
     SET LOCAL idle_in_transaction_session_timeout = '8s'";
/// A batch of requests, which is entered once however often it is tried.
pub(super) struct Batch<'b> {
    /// Who enters it.
    pub(super) writer: &'b str,
    /// Which one of theirs it is.
    pub(super) number: i64,
    pub(super) groups: &'b [Group<'b>],
}

/// The statements by which a batch is entered.
pub(super) struct Statements {
    mark: Statement,
    request: Statement,
    hour: Statement,
    spend: Statement,
}

// === impl Statements ===

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            mark: client.prepare(schema::MARK).await?,
            request: client.prepare(&schema::insert_request()).await?,
            hour: client.prepare(&schema::add_to_hour()).await?,
            spend: client.prepare(schema::SPEND).await?,
        })
    }
}

// === impl Batch ===

impl Batch<'_> {
    /// Enters it. After a failure the transaction is open.
    pub(super) async fn enter(
        &self,
        client: &Client,
        statements: &Statements,
    ) -> Result<(), Trouble> {
        client.batch_execute(BEGIN).await?;
        // Alone and first: it waits for an earlier try of the same batch that the server is still busy with, and then
        // knows what became of it. Nothing else is sent before its answer is here.
        let mark: [&(dyn ToSql + Sync); 2] = [&self.writer, &self.number];
        let marked = client.execute(&statements.mark, &mark).await?;
        if marked == 0 {
            client.batch_execute("ROLLBACK").await?;
            return Ok(());
        }
        let mut rows: Vec<(&Statement, Vec<Value<'_>>)> = self
            .groups
            .iter()
            .map(|group| (&statements.request, entry::request(group)))
            .collect();
        // In the order of their keys, so that no two instances wait for each other.
        let hours = entry::hours(self.groups);
        let mut hours: Vec<_> = hours
            .iter()
            .map(|(key, tally)| (key.order(), entry::hour(key, tally)))
            .collect();
        hours.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows.extend(
            hours
                .into_iter()
                .map(|(_, values)| (&statements.hour, values)),
        );
        let mut spending: Vec<_> = entry::spending(self.groups).into_iter().collect();
        spending.sort();
        rows.extend(spending.into_iter().map(|((day, caller), cost)| {
            let values = vec![
                Value::Integer(day),
                Value::Name(caller),
                entry::integer(cost),
            ];
            (&statements.spend, values)
        }));
        // All of them are on their way before the first answer is here.
        let entering = rows
            .into_iter()
            .map(|(statement, values)| client.execute_raw(statement, values));
        let mut failures = join_all(entering).await.into_iter().filter_map(Result::err);
        let first = failures.find(|error| !Trouble::is_consequence(error));
        if let Some(error) = first {
            return Err(error.into());
        }
        client.batch_execute("COMMIT").await?;
        Ok(())
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
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}
