//! The first tier: the answers of this process, bounded in entries and in bytes.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use foldhash::quality::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::books::{Books, Cause};
use self::shelf::Shelf;
use super::clears::{Clears, Filter};
use super::{Entry, NotKept, SharedEntry};
use crate::compressor::Memo;
use crate::config::{self, Eviction};
use crate::fingerprint::Fingerprint;
use crate::request::Saved;
use crate::tuning::accesses::Accesses;

pub use self::books::Evictions;

mod books;
mod lru;
mod shelf;
mod value;

/// What an entry weighs beside its texts (bytes): key, pointers, the shelf's own nodes and [`Entry`] itself. Measured on
/// 240,000 tiny entries: 550 by use, 440 to 515 by value.
const ENTRY_OVERHEAD: u64 = 576;
/// Several spellings of one request lead to one entry.
const ALIASES_PER_ENTRY: u64 = 4;

/// What is kept by digests. The standard library's hash would cost ten times as much, for keys that are hashes.
type ByName<V> = Cache<Fingerprint, V, RandomState>;

/// The bounds of a [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long an answer is of any use, stale or not.
    pub life: Duration,
    /// At most so many entries.
    pub max_entries: u64,
    /// At most so many bytes.
    pub max_bytes: u64,
    /// What goes first when there is no room.
    pub eviction: Eviction,
}

impl From<&config::Cache> for Limits {
    fn from(config: &config::Cache) -> Self {
        Self {
            life: config.life(),
            max_entries: config.max_entries,
            max_bytes: config.max_bytes,
            eviction: config.eviction,
        }
    }
}

/// The answers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    /// What is kept by way of this one is nothing that those who watch are to know.
    is_quiet: bool,
}

struct Shared {
    limits: Limits,
    entries: Shelf,
    aliases: ByName<Spelling>,
    /// What became of texts; it is kept and cleared with the answers.
    memo: Arc<Memo>,
    /// What the entries weigh together, and what became of others.
    books: Arc<Books>,
    /// The clears so far. Held while storing, for two reasons: an answer that was in flight during a clear is
    /// either stored before it, and cleared, or not at all; and threads that write one key at once leave the
    /// sum of moka 0.12.16 too high for good, which costs the store a place each time.
    clears: Mutex<Clears>,
    changes: AtomicU64,
    /// Who is told of what is kept and cleared, if anybody.
    watch: OnceLock<Arc<Accesses>>,
    /// Tells of clears.
    cleared: Notify,
}

/// What the bytes of a request came to when they were read.
#[derive(Debug, Clone)]
pub struct Spelling {
    /// The question that they ask.
    pub question: Fingerprint,
    /// What compression took out of them.
    pub saved: Saved,
    /// Whether they ask for an answer piece by piece.
    pub wants_stream: bool,
    /// Whom they attribute it to.
    pub user: Option<Arc<str>>,
}

/// The number of clears that a call began after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

impl Memory {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self::within(limits, None)
    }

    /// An empty store whose bounds may move, up to so many entries.
    pub fn that_moves(limits: Limits, most_entries: u64) -> Self {
        Self::within(limits, Some(most_entries))
    }

    fn within(limits: Limits, most_entries: Option<u64>) -> Self {
        let books = Arc::new(Books::default());
        let entries = Shelf::new(&limits, most_entries.is_some(), &books);
        let most = most_entries.map_or(limits.max_entries, |most| most.max(limits.max_entries));
        let aliases = Cache::builder()
            .name("aliases")
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(most.saturating_mul(ALIASES_PER_ENTRY))
            .time_to_live(limits.life.min(MOKA_LONGEST))
            .build_with_hasher(RandomState::default());
        let shared = Shared {
            limits,
            entries,
            aliases,
            memo: Arc::default(),
            books,
            clears: Mutex::default(),
            changes: AtomicU64::new(0),
            watch: OnceLock::new(),
            cleared: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            is_quiet: false,
        }
    }

    /// The same store, for answers of which those who watch are told neither that they are asked for nor that they are kept.
    pub(crate) fn quietly(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_quiet: true,
        }
    }

    /// From now on these are told what is kept and cleared.
    pub(crate) fn watched_by(&self, accesses: &Arc<Accesses>) {
        let _ = self.shared.watch.set(Arc::clone(accesses));
    }

    /// Who is told of what is kept by way of this one.
    pub(crate) fn watch(&self) -> Option<&Arc<Accesses>> {
        self.shared.watch.get().filter(|_| !self.is_quiet)
    }

    /// How long an answer is of any use.
    pub(crate) fn life(&self) -> Duration {
        self.shared.limits.life
    }

    /// How many entries and bytes there is room for.
    pub(crate) fn capacity(&self) -> (u64, u64) {
        let limits = &self.shared.limits;
        let set = (limits.max_entries, limits.max_bytes);
        self.shared.entries.bounds().unwrap_or(set)
    }

    /// Makes room for other numbers of them, where the bounds may move; what has none any more goes.
    pub(crate) fn resize(&self, max_entries: u64, max_bytes: u64) {
        let _storing = self.shared.clears.lock();
        self.shared.entries.resize(max_entries, max_bytes);
    }

    /// The entry of a request, as long as it is of any use.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<SharedEntry> {
        self.kept(fingerprint, Entry::age)
    }

    /// The same for who knows what time it is.
    pub fn find_at(&self, fingerprint: Fingerprint, now: Instant) -> Option<SharedEntry> {
        self.kept(fingerprint, |entry| entry.age_at(now))
    }

    fn kept(
        &self,
        fingerprint: Fingerprint,
        age: impl FnOnce(&Entry) -> Duration,
    ) -> Option<SharedEntry> {
        let entry = self.shared.entries.get(fingerprint)?;
        (age(&entry) <= self.shared.limits.life).then_some(entry)
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (Fingerprint, SharedEntry)> {
        self.shared.entries.iter()
    }

    /// What the bytes of an earlier request came to.
    pub fn resolve(&self, alias: Fingerprint) -> Option<Spelling> {
        self.shared.aliases.get(&alias)
    }

    /// What became of texts that came before.
    pub fn memo(&self) -> Arc<Memo> {
        Arc::clone(&self.shared.memo)
    }

    /// Remembers what these bytes come to.
    pub fn remember(&self, alias: Fingerprint, spelling: Spelling) {
        self.shared.aliases.insert(alias, spelling);
    }

    /// To be read before the upstream is asked, for [`Memory::store`].
    pub fn generation(&self) -> Generation {
        Generation(self.shared.clears.lock().latest())
    }

    /// Keeps an answer, unless it was cleared since the call began or is larger than all the store.
    pub fn store(
        &self,
        fingerprint: Fingerprint,
        entry: SharedEntry,
        begun: Generation,
    ) -> Result<(), NotKept> {
        let clears = self.shared.clears.lock();
        self.put(&clears, fingerprint, entry, begun)
    }

    /// Keeps an answer of an earlier process, unless there is a newer one. Says whether it is kept.
    pub fn restore(&self, fingerprint: Fingerprint, entry: SharedEntry, begun: Generation) -> bool {
        let clears = self.shared.clears.lock();
        let is_new = self.shared.entries.get(fingerprint).is_none();
        is_new && self.put(&clears, fingerprint, entry, begun).is_ok()
    }

    /// Only under the lock of the clears.
    fn put(
        &self,
        clears: &Clears,
        fingerprint: Fingerprint,
        entry: SharedEntry,
        begun: Generation,
    ) -> Result<(), NotKept> {
        if !self.shared.entries.could_hold(&entry) {
            return Err(NotKept::TooLarge);
        }
        if !clears.admit(begun.0, &entry) {
            return Err(NotKept::Cleared);
        }
        if let Some(watch) = self.watch() {
            watch.stored(fingerprint, weight(&entry), entry.age());
        }
        self.shared.entries.insert(fingerprint, entry);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The body of an entry that was found under this fingerprint, in gzip. Made when it is first asked for, and then kept
    /// with the entry, which from then on weighs what both weigh.
    pub fn gzip(&self, fingerprint: Fingerprint, entry: &SharedEntry) -> io::Result<Bytes> {
        if let Some(gzip) = &entry.gzip {
            return Ok(gzip.clone());
        }
        let gzip = compress(&entry.body)?;
        let both = Arc::new(entry.with_gzip(gzip.clone()));
        let _storing = self.shared.clears.lock();
        let Shared { entries, books, .. } = &*self.shared;
        let is_there = entries
            .get(fingerprint)
            .is_some_and(|known| Arc::ptr_eq(&known, entry));
        // Not where it was cleared or followed by another in the meantime.
        if is_there && entries.could_hold(&both) {
            entries.insert(fingerprint, both);
            books.same_again();
        }
        Ok(gzip)
    }

    /// Grows with everything that a snapshot would show.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// Forgets the answers that `filter` is about and says which those were. Such answers in flight will not be
    /// stored.
    pub fn clear(&self, filter: &Filter) -> Vec<Fingerprint> {
        let mut clears = self.shared.clears.lock();
        clears.note(filter.clone());
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.shared.cleared.notify_one();
        let cleared = self.matching(filter);
        let all = self.select(|entry| filter.matches(entry));
        self.shared.entries.remove(all, Cause::Cleared);
        if filter.is_all() {
            self.shared.aliases.invalidate_all();
            self.shared.aliases.run_pending_tasks();
            self.shared.memo.clear();
            if let Some(watch) = self.shared.watch.get() {
                watch.cleared();
            }
        }
        cleared
    }

    /// Waits for the next clear, or tells of one since the last time. There is one who waits.
    pub async fn cleared(&self) {
        self.shared.cleared.notified().await;
    }

    /// The answers that `filter` is about, as far as they are of any use.
    pub fn matching(&self, filter: &Filter) -> Vec<Fingerprint> {
        let life = self.shared.limits.life;
        self.select(|entry| entry.age() <= life && filter.matches(entry))
            .collect()
    }

    /// Removes what can no longer answer anything and says how many entries that were.
    pub fn sweep(&self) -> u64 {
        let life = self.shared.limits.life;
        // No answer may be stored between the look at an entry and its removal.
        let _storing = self.shared.clears.lock();
        let over = self.select(|entry| entry.age() > life);
        let expired = self.shared.entries.remove(over, Cause::Expired);
        self.shared.aliases.run_pending_tasks();
        expired
    }

    /// The answers of which `wanted` holds.
    fn select<'a>(
        &'a self,
        wanted: impl Fn(&Entry) -> bool + 'a,
    ) -> impl Iterator<Item = Fingerprint> + 'a {
        self.shared
            .entries
            .iter()
            .filter_map(move |(fingerprint, entry)| wanted(&entry).then_some(fingerprint))
    }

    /// How many answers are kept.
    pub fn len(&self) -> u64 {
        self.shared.entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the answers kept, bodies and an allowance for each entry.
    pub fn bytes(&self) -> u64 {
        self.shared.books.bytes()
    }

    /// The answers that are kept no more, by what took them.
    pub fn evictions(&self) -> Evictions {
        self.shared.books.evictions()
    }
}

/// What an entry costs in bytes: its body in either form, its model's name and an allowance for what stands around it.
fn weight(entry: &Entry) -> u64 {
    let gzip = entry.gzip.as_ref().map_or(0, Bytes::len);
    (entry.body.len() + gzip + entry.model.len()) as u64 + ENTRY_OVERHEAD
}

/// At the level that the edge has for all else.
fn compress(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body)?;
    let mut gzip = encoder.finish()?;
    // It stays for as long as the entry does.
    gzip.shrink_to_fit();
    Ok(gzip.into())
}

/// moka refuses longer lives (1,000 years).
const MOKA_LONGEST: Duration = Duration::from_hours(1_000 * 365 * 24);

#[cfg(test)]
mod tests;
