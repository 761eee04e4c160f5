//! One flight across instances: who holds the lease asks the upstream, the others wait for what it is told.
//!
//! A lease is short and renewed while its call runs, so that a holder that is killed is followed soon. It carries a
//! token that fences its holder off from those that follow: only by that can it be renewed or ended, so that one that
//! was away for longer than its lease does no harm. The answer that such a one writes late is as good as theirs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisResult, Script};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::link::Link;
use super::writer::Job;
use super::{Redis, Shared};
use crate::fingerprint::Fingerprint;

/// How long a lease lasts that is not renewed: so long do others wait for an instance that is gone.
const LEASE: Duration = Duration::from_secs(2);
/// How often it is renewed; three times may fail.
const RENEWAL: Duration = Duration::from_millis(500);
/// How long what a flight brought is there for those who waited for it, where it is no answer for the cache.
const LANDED: Duration = Duration::from_secs(10);

/// Takes the lease, or gives what is there: `>token` is a flight in the air, `=token` and what it brought one that has
/// landed, which is only for those who waited for that token. `?token` is a flight that somebody waits for.
///
/// A lease that lasts longer than one can, or for ever, is none of ours.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('GET', KEYS[1])
if found then
  local mark, left = string.sub(found, 1, 1), redis.call('PTTL', KEYS[1])
  if (mark == '>' or mark == '?') and left > 0 and left <= tonumber(ARGV[2]) then
    if mark == '>' then redis.call('SET', KEYS[1], '?' .. string.sub(found, 2), 'PX', left) end
    return '>' .. string.sub(found, 2)
  end
  if mark == '=' and ARGV[3] ~= '' and string.sub(found, 2, #ARGV[3] + 1) == ARGV[3] then return found end
end
redis.call('SET', KEYS[1], '>' .. ARGV[1], 'PX', ARGV[2])
return ''
",
    )
});

/// Prolongs a lease that is still the caller's.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('GET', KEYS[1])
if found ~= '>' .. ARGV[1] and found ~= '?' .. ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
",
    )
});

/// Ends a lease that is still the caller's. Those who wait are told, and find what the flight brought, if that is given.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('GET', KEYS[1])
if found ~= '>' .. ARGV[1] and found ~= '?' .. ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if found == '>' .. ARGV[1] then return 1 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], '=' .. ARGV[1] .. ARGV[2], 'PX', ARGV[3]) end
redis.pcall('PUBLISH', ARGV[4], ARGV[5])
return 1
",
    )
});

/// The scripts of leases.
pub(super) fn scripts() -> [&'static Script; 3] {
    [&ACQUIRE, &RENEW, &END]
}

/// The leave to ask the upstream for all instances. Dropped, it ends, and another instance may ask.
pub(crate) struct Lease {
    redis: Redis,
    ending: Option<Ending>,
}

/// What it takes to end a lease.
pub(super) struct Ending {
    fingerprint: Fingerprint,
    key: String,
    token: String,
    /// What those who wait are given, where the answer is not in the cache.
    pub(super) brought: Vec<u8>,
}

/// What became of the wish to ask the upstream.
pub(crate) enum Acquired {
    /// Nobody else is asking.
    Lease(Lease),
    /// Somebody is.
    Held(Token),
    /// The flight that was waited for has landed and brought this, which is no answer for the cache.
    Brought(Vec<u8>),
}

/// Names a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// Who waits for landings.
#[derive(Default)]
pub(super) struct Landings {
    waiting: Mutex<HashMap<Fingerprint, (usize, Arc<Notify>)>>,
}

/// A place among those who wait; given up when dropped.
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    fingerprint: Fingerprint,
    landed: Arc<Notify>,
}

// === impl Redis ===

impl Redis {
    /// Asks for the lease, having `waited` for a flight or not. `None` where Redis does not answer within `budget`.
    pub(crate) async fn acquire(
        &self,
        fingerprint: Fingerprint,
        waited: Option<&Token>,
        budget: Duration,
    ) -> Option<Acquired> {
        let generation = self.shared.known.lock().position().generation;
        let key = self.shared.keys.flight(fingerprint, generation);
        if !self.shared.can_ask(budget) {
            return None;
        }
        // It is there before it is asked for: who leaves without an answer may have been given it.
        let lease = Lease {
            redis: self.clone(),
            ending: Some(Ending {
                fingerprint,
                key: key.clone(),
                token: format!("{:032x}", fastrand::u128(..)),
                brought: Vec::new(),
            }),
        };
        let mut acquire = ACQUIRE.key(key);
        acquire
            .arg(lease.token())
            .arg(millis(LEASE))
            .arg(waited.map_or("", |token| &token.0));
        let asked = self.shared.ask(budget, |mut link: Link| async move {
            acquire.invoke_async::<Vec<u8>>(&mut link).await
        });
        let found = asked.await?;
        let Some((mark, rest)) = found.split_first() else {
            return Some(Acquired::Lease(lease));
        };
        let mark = *mark;
        lease.forget();
        Some(if mark == b'>' {
            Acquired::Held(Token(String::from_utf8_lossy(rest).into_owned()))
        } else {
            let length = waited.map_or(0, |token| token.0.len());
            Acquired::Brought(rest.get(length..).unwrap_or_default().to_vec())
        })
    }

    /// Waits until the tier is on, if it went off only a moment ago, for as long as a look-up may take.
    pub(crate) async fn patience(&self) {
        let _ = timeout(self.shared.timeout, self.shared.switch.patience()).await;
    }

    /// From now on a landing is noticed.
    pub(crate) fn wait_for(&self, fingerprint: Fingerprint) -> Waiting {
        let mut waiting = self.shared.landings.waiting.lock();
        let (count, landed) = waiting.entry(fingerprint).or_default();
        *count += 1;
        Waiting {
            shared: Arc::clone(&self.shared),
            fingerprint,
            landed: Arc::clone(landed),
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Keeps the lease; never ends.
    pub(crate) async fn keep(&self) -> Infallible {
        let mut ticks = interval(RENEWAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Some(Ending { key, token, .. }) = &self.ending else {
                continue;
            };
            // A lease that is lost changes nothing: the call under way is answered either way.
            let mut renew = RENEW.key(key);
            renew.arg(token).arg(millis(LEASE));
            let shared = &self.redis.shared;
            let renewed = shared.ask(shared.timeout, |mut link: Link| async move {
                renew.invoke_async::<u64>(&mut link).await
            });
            let _ = renewed.await;
        }
    }

    /// Ends it with what the flight brought, for those who wait on other instances.
    pub(crate) fn end_with(mut self, brought: Vec<u8>) {
        if let Some(ending) = &mut self.ending {
            ending.brought = brought;
        }
    }

    /// It was not given.
    fn forget(mut self) {
        self.ending = None;
    }

    fn token(&self) -> &str {
        self.ending.as_ref().map_or("", |ending| &ending.token)
    }

    /// Hands its ending over to the write of the answer, after which it ends.
    pub(super) fn into_ending(mut self) -> Option<Ending> {
        self.ending.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            self.redis.shared.queue.push(Job::End(ending));
        }
    }
}

// === impl Ending ===

impl Ending {
    /// How much room it takes in a queue, in bytes.
    pub(super) fn len(&self) -> usize {
        self.brought.len()
    }

    pub(super) async fn run(&self, shared: &Shared, link: &mut Link) -> RedisResult<()> {
        let Self {
            fingerprint,
            key,
            token,
            brought,
        } = self;
        END.key(key)
            .arg(token)
            .arg(&brought[..])
            .arg(millis(LANDED))
            .arg(shared.keys.channel())
            .arg(format!("landed {fingerprint}"))
            .invoke_async(link)
            .await
    }
}

// === impl Landings ===

impl Landings {
    /// Wakes those who wait for a landing that a message tells of.
    pub(super) fn tell(&self, message: &[u8]) {
        let fingerprint = message
            .strip_prefix(b"landed ")
            .and_then(|hex| Fingerprint::from_hex(std::str::from_utf8(hex).ok()?));
        let Some(fingerprint) = fingerprint else {
            return;
        };
        if let Some((_, landed)) = self.waiting.lock().get(&fingerprint) {
            landed.notify_waiters();
        }
    }

    /// Wakes everybody, when messages may have been lost or no more will come.
    pub(super) fn tell_all(&self) {
        for (_, landed) in self.waiting.lock().values() {
            landed.notify_waiters();
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Tells of the next landing after this call.
    pub(crate) fn landing(&self) -> tokio::sync::futures::Notified<'_> {
        self.landed.notified()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.shared.landings.waiting.lock();
        if let Some((count, _)) = waiting.get_mut(&self.fingerprint) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.fingerprint);
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
