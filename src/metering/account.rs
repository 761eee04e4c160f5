//! What one request runs up: what it was, what became of it, what it cost and what was saved.
//!
//! The edge and the request share an account, and with the request whoever works for it: the flight that it began and
//! the calls upstream. When the last of them is done the account closes, and goes into the [`Books`] as one row. So a
//! call whose client left is in the row of that client, whoever else got its answer, and no call is in two.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::books::Books;
use super::budget::Budget;
use super::gathered::Sums;
use crate::chat::Usage;
use crate::fingerprint::{Fingerprint, Scope};
use crate::reply::Provenance;
use crate::request::Route;

/// The account of a request under way.
#[derive(Default)]
pub struct Account {
    row: Mutex<Row>,
    /// Where it goes at the end; nowhere where nobody keeps books.
    books: Option<Books>,
    /// What its calls are paid from, where that has an end.
    budget: OnceLock<Arc<Budget>>,
}

/// One request, as it stands in the books.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// When its head had been read, in milliseconds since 1970 (UTC).
    pub at: i64,
    /// Its id, as the log and the client have it.
    pub id: Box<str>,
    /// The endpoint; none: it is not for the books.
    pub endpoint: Option<Route>,
    /// The model that was asked.
    pub model: Option<Arc<str>>,
    /// The model that answered, if it said so.
    pub served: Option<Arc<str>>,
    /// Whose request it was.
    pub who: Who,
    /// Whom its client attributes it to; at most [`MAX_USER`] characters of it.
    pub user: Option<Arc<str>>,
    /// The status of the response; zero: the client left before there was one.
    pub status: u16,
    /// What went wrong, by the code that clients are told.
    pub error: Option<&'static str>,
    /// The client left before the end of the response.
    pub is_aborted: bool,
    /// Where the answer came from.
    pub source: Source,
    /// The tokens of the calls that this request began: those that were paid for.
    pub bought: Option<Usage>,
    /// The tokens of an answer that it was given: from the cache, or from another request's call.
    pub given: Option<Usage>,
    /// Whether the model has a price.
    pub is_priced: bool,
    /// What the calls that this request began have cost, in nano-dollars.
    pub cost: u64,
    /// What was saved, in nano-dollars.
    pub saved: Savings,
    /// Prompt tokens that compression took out.
    pub compressed_tokens: u64,
    /// Attempts upstream.
    pub attempts: u32,
    /// How long it took.
    pub took: Took,
    /// Where it stands for others, too, that are alike: what all of them were. All else is then the first one's.
    pub sums: Option<Box<Sums>>,
}

/// What was saved, in nano-dollars, by what saved it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Savings {
    /// The answer came from the cache: what it had cost.
    pub cache: u64,
    /// Another request's call brought the answer: what that cost.
    pub dedup: u64,
    /// Prompt tokens that were not sent.
    pub compression: u64,
    /// Prompt tokens that the provider's own cache made cheaper.
    pub provider_cache: u64,
    /// Nobody knows how long an answer would have been that was cut at a limit of ours. Always zero.
    pub max_tokens: u64,
}

/// How long the parts of a request took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// From its head to the last byte of its response.
    pub total: u64,
    /// Waiting for the upstream's head, all attempts and shared calls included.
    pub upstream: u64,
    /// From its head to the head of its response, less the wait for the upstream: what the proxy added.
    pub added: u64,
    /// From its head to the first event of its stream.
    pub first_token: Option<u64>,
}

/// Whose request it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Who {
    /// Nobody who showed a credential.
    #[default]
    Anonymous,
    /// A client with a name.
    Named(Arc<str>),
    /// Somebody who shares answers with nobody else: the beginning of the digest of their scope.
    Scope([u8; 6]),
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// There is none: the request was turned away, or failed.
    #[default]
    None,
    /// From the upstream.
    Upstream,
    /// From the upstream, past a cache that was not asked.
    Bypass,
    /// From the cache.
    Cache,
    /// From the cache, past its life.
    Stale,
    /// From a call that another request had begun.
    Dedup,
    /// From the upstream, before anybody asked.
    Prefetch,
}

/// Whose money a call costs.
#[derive(Clone, Default)]
pub struct Payer {
    /// Whose request it was.
    pub who: Who,
    /// Whom its client attributes it to.
    pub user: Option<Arc<str>>,
    /// What it is paid from, where that has an end.
    pub budget: Option<Arc<Budget>>,
}

/// So many characters of the name of a user are kept: clients choose its length.
pub const MAX_USER: usize = 120;

/// As much of the name of a user as is kept.
pub fn clip(user: &str) -> &str {
    let end = user.char_indices().nth(MAX_USER);
    end.map_or(user, |(end, _)| &user[..end])
}

// === impl Account ===

impl Account {
    /// An account that goes into these books.
    pub fn open(books: Books, row: Row) -> Arc<Self> {
        Arc::new(Self {
            row: Mutex::new(row),
            books: Some(books),
            budget: OnceLock::new(),
        })
    }

    /// Writes something down.
    pub fn note(&self, write: impl FnOnce(&mut Row)) {
        write(&mut self.row.lock());
    }

    /// Whose request it is.
    pub fn who(&self) -> Who {
        self.row.lock().who.clone()
    }

    /// From now on its calls are paid from this budget.
    pub fn pay_from(&self, budget: Arc<Budget>) {
        let _ = self.budget.set(budget);
    }

    /// What its calls are paid from, where that has an end.
    pub fn budget(&self) -> Option<&Arc<Budget>> {
        self.budget.get()
    }

    /// Whose money its calls cost.
    pub fn payer(&self) -> Payer {
        let row = self.row.lock();
        Payer {
            who: row.who.clone(),
            user: row.user.clone(),
            budget: self.budget().cloned(),
        }
    }

    /// What its calls have cost, in nano-dollars, and how many attempts they took.
    pub fn spent(&self) -> (u64, u32) {
        let row = self.row.lock();
        (row.cost, row.attempts)
    }

    /// One more attempt upstream.
    pub fn attempted(&self) {
        self.note(|row| row.attempts = row.attempts.saturating_add(1));
    }

    /// A call that this request began has brought an answer, or as much of it as came.
    pub fn paid(&self, usage: Usage, served: Option<&Arc<str>>, cost: Option<u64>, discount: u64) {
        let mut came = 0;
        self.note(|row| {
            came = row.at;
            row.is_priced = cost.is_some() && (row.is_priced || row.bought.is_none());
            row.bought = Some(row.bought.map_or(usage, |before| before.plus(usage)));
            row.served = served.cloned();
            row.cost = row.cost.saturating_add(cost.unwrap_or(0));
            row.saved.provider_cache = row.saved.provider_cache.saturating_add(discount);
        });
        if let Some(budget) = self.budget() {
            budget.charge(came, cost.unwrap_or(0));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let row = std::mem::take(self.row.get_mut());
        if let Some(books) = &self.books
            && row.endpoint.is_some()
        {
            books.enter(row);
        }
    }
}

// === impl Row ===

impl Row {
    /// The tokens of its answer, whoever paid for them; `None` where there is none, or it was not counted.
    pub fn usage(&self) -> Option<Usage> {
        self.given.or(self.bought)
    }

    /// Whether the request failed: by its status, or after it.
    pub fn is_failure(&self) -> bool {
        self.status >= 400 || self.error.is_some()
    }
}

// === impl Savings ===

impl Savings {
    /// All together.
    pub fn total(&self) -> u64 {
        [
            self.cache,
            self.dedup,
            self.compression,
            self.provider_cache,
            self.max_tokens,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

// === impl Who ===

impl Who {
    /// Whoever shares answers with this scope.
    pub fn of(scope: Scope) -> Self {
        match scope {
            Scope::Global | Scope::Anonymous => Self::Anonymous,
            Scope::Credential(_) => Self::Scope(beginning(scope.digest())),
        }
    }

    /// Their name in reports: that of their settings, else the beginning of the digest of their scope.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Anonymous => "anonymous".into(),
            Self::Named(name) => Arc::clone(name),
            Self::Scope(bytes) => {
                let mut name = String::with_capacity(2 * bytes.len());
                for byte in bytes {
                    // A string takes whatever is written to it.
                    let _ = write!(name, "{byte:02x}");
                }
                name.into()
            }
        }
    }
}

fn beginning(digest: Fingerprint) -> [u8; 6] {
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&digest.as_bytes()[..6]);
    bytes
}

// === impl Source ===

impl Source {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Upstream,
        Self::Bypass,
        Self::Cache,
        Self::Stale,
        Self::Dedup,
        Self::Prefetch,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Upstream => "upstream",
            Self::Bypass => "bypass",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Dedup => "dedup",
            Self::Prefetch => "prefetch",
        }
    }
}

impl From<Provenance> for Source {
    fn from(provenance: Provenance) -> Self {
        match provenance {
            Provenance::Miss { .. } => Self::Upstream,
            Provenance::Bypass { .. } => Self::Bypass,
            Provenance::Hit { .. } => Self::Cache,
            Provenance::Stale { .. } => Self::Stale,
            Provenance::Coalesced { .. } => Self::Dedup,
        }
    }
}
