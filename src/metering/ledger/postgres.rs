//! The ledger that instances share: PostgreSQL.
//!
//! A thread of its own talks to the database. Whoever keeps the books only lays rows into its queue, and reports wait
//! for it no longer than they say: a server that is away, slow or stands still holds up nobody else.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::queue::Queue;
use self::reader::Reader;
use self::writer::Writer;
use super::Failed;
use crate::metering::Counter;
use crate::metering::account::Row;
use crate::metering::books;
use crate::metering::budget::Budgets;
use crate::metering::hand::Hand;
use crate::metering::overview::Overview;
use crate::metering::tally::Tally;

pub use self::address::Address;

mod address;
mod batch;
mod certificate;
mod link;
mod queue;
mod reader;
mod tidying;
mod tls;
mod trouble;
mod writer;

/// How long a report waits for what was entered before it.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the start waits for what earlier processes have spent.
const FIRST: Duration = Duration::from_secs(1);

/// Who is to know what is in a shared ledger.
pub struct Learners {
    /// What each client has spent on other instances, and by earlier processes.
    pub budgets: Budgets,
    /// The sums of earlier times.
    pub overview: Overview,
}

/// A shared ledger. Cheap to clone.
#[derive(Clone)]
pub(super) struct Postgres {
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What its thread and those who wait for it have in common.
struct Shared {
    address: Arc<Address>,
    /// How long each request is kept, in milliseconds.
    keep_for: i64,
    queue: Queue,
    reader: Reader,
    lost: Counter,
}

/// Lays rows into the queue.
struct Clerk {
    shared: Arc<Shared>,
}

// === impl Postgres ===

impl Postgres {
    /// Begins to look for the database. Whether it is there is found out later.
    pub(super) fn open(
        address: &Address,
        keep_for: i64,
        learners: Learners,
    ) -> Result<Self, Failed> {
        let address = Arc::new(address.clone());
        let shared = Arc::new(Shared {
            reader: Reader::new(Arc::clone(&address)),
            address,
            keep_for,
            queue: Queue::new(),
            lost: Counter::default(),
        });
        let writer = Writer::new(Arc::clone(&shared), learners);
        let over = Over(Arc::clone(&shared));
        let (tell, told) = mpsc::channel();
        let run = move || {
            let _over = over;
            match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = tell.send(Ok(runtime.handle().clone()));
                    runtime.block_on(writer.run());
                    // A name that is looked up for ever would hold up its end.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        };
        let failed = |error: &dyn ToString| Failed::Broken(error.to_string());
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(run);
        thread.map_err(|error| failed(&error))?;
        let runtime = told.recv().map_err(|error| failed(&error))?;
        Ok(Self {
            shared,
            runtime: runtime.map_err(|error| failed(&error))?,
        })
    }

    /// Waits until it is known what earlier processes have spent, but not for long.
    pub(super) async fn begun(&self) {
        let tried = self.shared.queue.until(|progress| progress.has_tried);
        let _ = timeout(FIRST, tried).await;
    }

    /// What hands rows to it.
    pub(super) fn clerk(&self) -> Box<dyn books::Reader> {
        Box::new(Clerk {
            shared: Arc::clone(&self.shared),
        })
    }

    /// Rows that could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.get()
    }

    /// Rows that are not written yet.
    pub(super) fn waiting(&self) -> u64 {
        self.shared.queue.waiting()
    }

    /// Sums by these columns, with all that was put in before in them where that can be written.
    pub(super) async fn sums(
        &self,
        by: Vec<&'static str>,
        times: [i64; 4],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, Tally)>, Failed> {
        let shared = Arc::clone(&self.shared);
        // Ends with whoever waits for it.
        let mut looking = JoinSet::new();
        let look = async move {
            let _ = timeout(SETTLE, shared.queue.settled()).await;
            shared.reader.sums(&by, times, limit).await
        };
        looking.spawn_on(look, &self.runtime);
        match looking.join_next().await {
            Some(Ok(looked)) => looked.map_err(|trouble| Failed::Away(trouble.to_string())),
            _ => Err(Failed::Away("the ledger is closed".to_owned())),
        }
    }

    /// Writes what is left, and ends.
    pub(super) async fn close(&self) {
        self.shared.queue.close();
        self.shared.queue.until(|_| false).await;
    }
}

/// However the thread ends, nobody waits for it after that.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.queue.note(|progress| progress.is_over = true);
    }
}

// === impl Clerk ===

impl books::Reader for Clerk {
    fn read(&mut self, hand: &Hand<'_>) {
        self.put(hand.rows);
    }
}

impl Clerk {
    fn put(&self, rows: &[Row]) {
        if !rows.is_empty() {
            let lost = self.shared.queue.put(rows);
            self.shared.lost.add(lost);
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

#[cfg(test)]
mod tests;
