//! What the instances have spent of a client's budget: a hash for each period, with a field for each process.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Redis;
use super::link::Link;

/// Notes what a process has spent, unless more of it is there, and gives what is there of all. What comes late, or twice,
/// so changes nothing.
static SPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
end
return redis.call('HGETALL', KEYS[1])
",
    )
});

/// The script of budgets.
pub(super) fn script() -> &'static Script {
    &SPEND
}

impl Redis {
    /// Notes that the process of this name has spent so much (nano-dollars), until a time in milliseconds since 1970, and
    /// gives what all others have. `None` where Redis does not say so within `budget`.
    pub(crate) async fn spend(
        &self,
        purse: &str,
        process: &str,
        own: u64,
        until: i64,
        budget: Duration,
    ) -> Option<u64> {
        let shared = &self.shared;
        let mut spend = SPEND.key(shared.keys.budget(purse));
        spend.arg(process).arg(own).arg(until);
        let asked = shared.ask(budget, |mut link: Link| async move {
            spend.invoke_async::<HashMap<String, u64>>(&mut link).await
        });
        let mut all = asked.await?;
        all.remove(process);
        Some(all.into_values().fold(0, u64::saturating_add))
    }
}
