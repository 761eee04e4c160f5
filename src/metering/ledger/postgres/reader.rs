//! Reads reports from a shared ledger: over connections of its own, so that they and the writer do not wait for each
//! other.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::address::Address;
use super::link::Link;
use super::trouble::Trouble;
use crate::metering::tally::Tally;

/// Reports that are read at once. More wait: the database has other things to do as well.
const AT_ONCE: usize = 2;

/// Reads reports.
pub(super) struct Reader {
    address: Arc<Address>,
    turns: Semaphore,
    /// A connection that nobody uses at the moment.
    idle: Mutex<Option<Link>>,
}

impl Reader {
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            turns: Semaphore::new(AT_ONCE),
            idle: Mutex::new(None),
        }
    }

    /// Sums by these columns.
    pub(super) async fn sums(
        &self,
        by: &[&str],
        times: [i64; 4],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, Tally)>, Trouble> {
        let _turn = self.turns.acquire().await;
        let idle = self.idle.lock().take();
        let link = match idle {
            Some(link) if link.is_open().await? => link,
            _ => Link::connect(&self.address).await?,
        };
        let sums = link.sums(by, times, limit).await?;
        *self.idle.lock() = Some(link);
        Ok(sums)
    }
}
