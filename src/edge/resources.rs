//! What the process holds at present: memory, descriptors, places, queues.

use serde_json::{Value, json};

use super::Edge;
use crate::metering::books::Books;
use crate::metering::ledger::Ledger;
use crate::upstream::{SocketUse, Upstream};

/// What the process holds at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resources {
    /// Resident memory in bytes; zero where the system does not tell.
    pub(super) resident_bytes: u64,
    /// Of it, what no file backs: the heap and the stacks.
    pub(super) heap_bytes: u64,
    /// Open descriptors; zero where the system does not tell.
    pub(super) descriptors: u64,
    /// Sockets to the upstream; none where something else stands for it.
    pub(super) sockets: SocketUse,
    /// Requests that are worked on.
    pub(super) in_flight: u64,
    /// Rows that wait for the ledger.
    pub(super) books_waiting: u64,
    /// Rows that there was no room for.
    pub(super) rows_dropped: u64,
    /// Rows that could not be written.
    pub(super) rows_lost: u64,
}

impl Edge {
    /// Reads them.
    pub(super) fn resources(&self) -> Resources {
        let (resident_bytes, heap_bytes) = memory();
        let shared = &self.shared;
        let free = shared.in_flight.available_permits();
        let (books, ledger) = (shared.stack.books.as_ref(), shared.stack.ledger.as_ref());
        Resources {
            resident_bytes,
            heap_bytes,
            descriptors: descriptors(),
            sockets: shared
                .stack
                .upstream
                .as_ref()
                .map_or_else(SocketUse::default, Upstream::sockets),
            in_flight: shared.config.server.max_in_flight.saturating_sub(free) as u64,
            books_waiting: books.map_or(0, |books| books.waiting() as u64)
                + ledger.map_or(0, Ledger::waiting),
            rows_dropped: books.map_or(0, Books::dropped),
            rows_lost: ledger.map_or(0, Ledger::lost),
        }
    }
}

impl Resources {
    /// As the page and operators read them.
    pub(super) fn to_json(self, edge: &Edge) -> Value {
        let stack = &edge.shared.stack;
        let SocketUse {
            in_use,
            idle,
            waiting,
            limit,
        } = self.sockets;
        json!({
            "residentBytes": self.resident_bytes,
            "heapBytes": self.heap_bytes,
            "descriptors": self.descriptors,
            "upstreamSockets": {"inUse": in_use, "idle": idle, "waiting": waiting, "limit": limit},
            "inFlight": self.in_flight,
            "ledgerQueue": self.books_waiting,
            "ledgerDropped": self.rows_dropped + self.rows_lost,
            "cacheEntries": stack.store.memory.len(),
            "cacheBytes": stack.store.memory.bytes(),
        })
    }
}

/// Resident bytes, and those of them that no file backs, which is the heap and the stacks. Zero where the
/// system does not tell.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("RssAnon:"))
}

/// Open descriptors, less the one that this look opens.
fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd")
        .map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}
