//! Clears across instances: a numbered log of them in Redis, which every instance follows.
//!
//! A clear of everything makes its own number the *generation* that is part of every key, so that what an instance
//! writes which has not heard of it yet is written where nobody reads. A narrowed clear deletes what it is about; and
//! every value holds the number of the latest clear when its call began, so that one written behind the deletion's
//! back is refused when it is read. Instances hear of a clear by a message, and where that is lost from the
//! number itself, which they see with each look-up and once a second.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{RedisResult, Script};
use tokio::time::Instant;

use super::Shared;
use super::link::Link;
use super::writer::Job;
use crate::store::clears::{Clears, Filter, REMEMBERED};

/// What this instance knows of the log.
#[derive(Default)]
pub(super) struct Known {
    /// The clears, by their numbers in the log.
    pub(super) clears: Clears,
    /// The number of the latest clear of everything.
    pub(super) generation: u64,
}

/// Where in the order of clears a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Position {
    /// The number of the latest clear.
    pub(super) clears: u64,
    /// The number of the latest clear of everything.
    pub(super) generation: u64,
}

/// What both scripts begin with. Fields that hold no count are none: Lua's numbers are exact up to 2^53 only, and a
/// loop beyond that never ends. The first write is one that a full Redis allows, after which it allows the others.
const PRELUDE: &str = r"
local key, life, remembered = KEYS[1], ARGV[3], tonumber(ARGV[4])
redis.call('PEXPIRE', key, life)
if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end
local function count(text)
  local number = tonumber(text or '')
  if not number or number ~= number or number < 0 or number >= 2^52 or number % 1 ~= 0 then return 0 end
  return number
end
local function text(number) return string.format('%.0f', number) end
local mine, generation = count(ARGV[1]), count(ARGV[2])
local said, said_current = redis.call('HGET', key, 'latest'), redis.call('HGET', key, 'generation')
local latest = count(said)
local current = math.min(count(said_current), latest)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// Brings the log to what this instance knows, should Redis have lost it, and gives what the instance does not know:
/// the latest clear, the latest of everything, and for each new one its number, its age in milliseconds and its filter.
///
/// Numbers never go back: an instance that knows a higher one raises it. The key's life is renewed, so that it
/// outlives every answer for as long as an instance lives.
static SYNC: LazyLock<Script> = LazyLock::new(|| {
    let body = r"
latest, current = math.max(latest, mine), math.max(current, generation)
if (said or latest > 0) and said ~= text(latest) then redis.call('HSET', key, 'latest', text(latest)) end
if (said_current or current > 0) and said_current ~= text(current) then redis.call('HSET', key, 'generation', text(current)) end
redis.call('PEXPIRE', key, life)
local out = {text(latest), text(current)}
for back = math.min(latest - mine, remembered) - 1, 0, -1 do
  local number = text(latest - back)
  local at, filter = string.match(redis.call('HGET', key, number) or '', '^(%d+) (.*)$')
  out[#out + 1] = number
  out[#out + 1] = text(math.max(now - count(at), 0))
  out[#out + 1] = filter or ''
end
return out
";
    Script::new(&format!("{PRELUDE}{body}"))
});

/// Adds a clear to the log, and tells everybody.
static CLEAR: LazyLock<Script> = LazyLock::new(|| {
    let body = r"
local filter, is_all, channel = ARGV[5], ARGV[6] == '1', ARGV[7]
latest = math.max(latest, mine) + 1
current = math.max(current, generation)
if is_all then current = latest; redis.call('DEL', key) end
redis.call('HSET', key, 'latest', text(latest), 'generation', text(current), text(latest), text(now) .. ' ' .. filter)
redis.call('HDEL', key, text(latest - remembered))
redis.call('PEXPIRE', key, life)
redis.pcall('PUBLISH', channel, 'clears')
return text(latest)
";
    Script::new(&format!("{PRELUDE}{body}"))
});

/// A clear that is in the log, to be carried out on the keys.
pub(super) struct Ordered {
    /// Its number.
    pub(super) number: u64,
    /// The generation before it.
    pub(super) before: u64,
}

/// A clear that Redis could not be told of.
pub(super) struct Owed {
    filter: Filter,
    at: Instant,
    /// Whether it is on its way: an equal one that is ordered meanwhile is another one.
    is_sent: bool,
    number: u64,
}

/// What is owed, in order.
#[derive(Default)]
pub(super) struct Debts {
    owed: Vec<Owed>,
    /// How many there were.
    count: u64,
}

/// A clear that another instance has ordered.
struct News {
    number: u64,
    filter: Filter,
    at: Instant,
}

impl Known {
    pub(super) fn position(&self) -> Position {
        Position {
            clears: self.clears.latest(),
            generation: self.generation,
        }
    }
}

impl Shared {
    /// How long what is kept of clears lives, in milliseconds: longer than any answer.
    fn clears_life(&self) -> u64 {
        let life = self.life.saturating_mul(2).max(Duration::from_hours(24));
        u64::try_from(life.as_millis()).unwrap_or(u64::MAX)
    }

    /// Learns of the clears that others have ordered, and carries them out on the first tier.
    pub(super) async fn sync(&self, link: &mut Link) -> RedisResult<()> {
        let known = self.known.lock().position();
        let reply: Vec<Vec<u8>> = SYNC
            .key(self.keys.clears())
            .arg(known.clears)
            .arg(known.generation)
            .arg(self.clears_life())
            .arg(REMEMBERED)
            .invoke_async(link)
            .await?;
        let mut reply = reply.into_iter();
        let mut next = || reply.next();
        let (latest, generation) = (number(next()), number(next()));
        let mut news = Vec::new();
        while let (Some(at), Some(age), Some(filter)) = (next(), next(), next()) {
            let age = Duration::from_millis(number(Some(age)));
            let now = Instant::now();
            news.push(News {
                number: number(Some(at)),
                filter: Filter::from_wire(&filter),
                at: now.checked_sub(age).unwrap_or(now),
            });
        }
        self.learn(latest, generation, news);
        Ok(())
    }

    /// First what is known, then the first tier: what is read in between is judged by the new knowledge.
    fn learn(&self, latest: u64, generation: u64, news: Vec<News>) {
        let mut fresh = Vec::new();
        {
            let mut known = self.known.lock();
            let before = known.position();
            if latest <= before.clears && generation <= before.generation {
                return;
            }
            // More than the log remembers, or a log that was lost: whatever it was about, it is carried out.
            let first = news.first().map_or(latest, |news| news.number);
            let forgotten = first.saturating_sub(1);
            let is_complete = forgotten <= before.clears;
            if generation > before.generation || !is_complete {
                known.generation = known.generation.max(generation);
                let all = Filter::default();
                let number = if is_complete {
                    generation
                } else {
                    generation.max(forgotten)
                };
                known.clears.note_as(number, all.clone(), Instant::now());
                fresh.push(all);
            }
            for News { number, filter, at } in news {
                if number > before.clears && number > generation {
                    known.clears.note_as(number, filter.clone(), at);
                    fresh.push(filter.delayed(at.elapsed()));
                }
            }
            known.clears.note_latest(latest);
        }
        for filter in fresh {
            self.memory.clear(&filter);
        }
    }

    /// Orders a clear: from now on no instance reads what it is about, or writes it to where it is read.
    pub(super) async fn order(&self, link: &mut Link, filter: &Filter) -> RedisResult<Ordered> {
        let before = self.known.lock().position();
        let number = self.send(link, filter).await?;
        self.acknowledge(link, number, filter).await?;
        Ok(Ordered {
            number,
            before: before.generation,
        })
    }

    /// Adds a clear to the log, which gives it its number.
    async fn send(&self, link: &mut Link, filter: &Filter) -> RedisResult<u64> {
        let known = self.known.lock().position();
        let ordered: Vec<u8> = CLEAR
            .key(self.keys.clears())
            .arg(known.clears)
            .arg(known.generation)
            .arg(self.clears_life())
            .arg(REMEMBERED)
            .arg(filter.to_wire())
            .arg(u8::from(filter.is_all()))
            .arg(self.keys.channel())
            .invoke_async(link)
            .await?;
        Ok(number(Some(ordered)))
    }

    /// Learns of an own clear: without a further round trip, unless others came in between.
    async fn acknowledge(&self, link: &mut Link, number: u64, filter: &Filter) -> RedisResult<()> {
        let known = self.known.lock().position();
        if number != known.clears + 1 {
            return self.sync(link).await;
        }
        let generation = if filter.is_all() {
            number
        } else {
            known.generation
        };
        let own = News {
            number,
            filter: filter.clone(),
            at: Instant::now(),
        };
        self.learn(number, generation, vec![own]);
        Ok(())
    }

    /// Notes a clear that Redis could not be told of.
    pub(super) fn owe(&self, filter: &Filter) {
        self.debts.lock().note(filter);
        // Should the tier be on again already.
        self.news.notify_one();
    }

    /// Tells Redis of the clears that it could not be told of before.
    pub(super) async fn settle(&self, link: &mut Link) -> RedisResult<()> {
        loop {
            let Some((debt, filter)) = self.debts.lock().next() else {
                return Ok(());
            };
            let before = self.known.lock().position().generation;
            let number = self.send(link, &filter).await?;
            // Before anything else can fail: told twice, it would be carried out twice.
            self.debts.lock().strike(debt);
            tracing::info!("redis: told of a clear that was ordered while it was away");
            self.acknowledge(link, number, &filter).await?;
            // Readers keep to the log by now; what still stands there only takes room.
            let order = Ordered { number, before };
            self.sweeps.lock().push(Job::Sweep { filter, order });
        }
    }

    /// Has deleted what those clears were about, now that the tier is on.
    pub(super) fn start_sweeps(&self) {
        for sweep in self.sweeps.lock().drain(..) {
            self.queue.push(sweep);
        }
    }
}

impl Debts {
    fn note(&mut self, filter: &Filter) {
        let waiting = |owed: &Owed| !owed.is_sent;
        let is_known = |owed: &Owed| owed.filter.is_all() || owed.filter == *filter;
        let filter = if filter.is_all() || self.owed.len() >= REMEMBERED {
            self.owed.clear();
            Filter::default()
        } else if self.owed.iter().any(|owed| waiting(owed) && is_known(owed)) {
            return;
        } else {
            filter.clone()
        };
        self.count += 1;
        self.owed.push(Owed {
            filter,
            at: Instant::now(),
            is_sent: false,
            number: self.count,
        });
    }

    /// The next one to be told, as it is by now.
    fn next(&mut self) -> Option<(u64, Filter)> {
        let owed = self.owed.first_mut()?;
        owed.is_sent = true;
        let filter = owed.filter.clone().delayed(owed.at.elapsed());
        Some((owed.number, filter))
    }

    fn strike(&mut self, number: u64) {
        self.owed.retain(|owed| owed.number != number);
    }
}

/// The scripts of clears.
pub(super) fn scripts() -> [&'static Script; 2] {
    [&SYNC, &CLEAR]
}

/// What PTTL says is left of a life; `None` for a key that is gone or has no end.
pub(super) fn left_of(pttl: i64) -> Option<Duration> {
    u64::try_from(pttl).ok().map(Duration::from_millis)
}

fn number(text: Option<Vec<u8>>) -> u64 {
    text.and_then(|text| String::from_utf8(text).ok()?.parse().ok())
        .unwrap_or(0)
}
