//! Says in words what the figures rest on beside the log itself.

use super::money::{about, count, percent};
use super::share;
use crate::config::Config;
use crate::estimate::sums::Sums;
use crate::estimate::{Options, Pass};
use crate::metering::tally::Figure;

/// All of it, what matters most first.
pub(super) fn list(
    config: &Config,
    options: &Options,
    pass: &Pass<'_>,
    sums: &Sums,
) -> Vec<String> {
    let (facts, order) = (&pass.facts, &pass.order);
    let counts = pass.upstream.counts();
    let mut all = Vec::new();
    let mut say = |text: String| all.push(text);
    let calls = counts.recorded.get() + counts.simulated.get();
    if counts.simulated.get() > 0 {
        let simulated = percent(share(counts.simulated.get(), calls));
        let lengths = if facts.answered > 0 {
            "are as long as those that the log has".to_owned()
        } else {
            let [shortest, .., longest] = super::ASSUMED_TOKENS;
            format!(
                "are assumed to have {shortest} to {longest} tokens, 200 in the median and 295 in the mean"
            )
        };
        say(format!(
            "{simulated} of the calls have no recorded answer. Theirs are simulated: they {lengths}, and their prompts \
             are counted here. Put a usage or a response on each line to replace this by facts."
        ));
    }
    if order.untimed > 0 {
        let lines = if order.timed == 0 {
            "The log does not say when its requests came".to_owned()
        } else {
            format!("{} lines do not say when they came", count(order.untimed))
        };
        say(format!(
            "{lines}: they are taken to have come one after another, {} a second (--rate). Times to live and shared \
             calls depend on it.",
            options.rate
        ));
    }
    if facts.clocked < facts.requests {
        let latencies = if facts.clocked > 0 {
            "as long as those that do".to_owned()
        } else {
            let (first, each) = (
                super::FIRST_TOKEN.as_millis(),
                super::EACH_TOKEN.as_millis(),
            );
            format!("{first} ms and {each} ms more for each token")
        };
        say(format!(
            "{} requests do not say how long their answers took; they are taken to have taken {latencies}. Only what \
             dedup saves depends on it.",
            count(facts.requests - facts.clocked)
        ));
    }
    if order.late > 0 {
        say(format!(
            "{} lines were out of order by more than 4,096 lines, and are taken to have come with the line before them.",
            count(order.late)
        ));
    }
    if pass.replay.held_back > 0 {
        say(format!(
            "More requests than 8,192 were under way at once; {} of them were held back until others had ended.",
            count(pass.replay.held_back)
        ));
    }
    if !sums.unpriced.is_empty() {
        let names: Vec<_> = sums.unpriced.iter().take(5).map(|name| &**name).collect();
        let unpriced = count(sums.total.tally.get(Figure::Unpriced));
        say(format!(
            "{unpriced} answers came from models without a price, which count nothing: {}. metering.prices_file can \
             name their prices.",
            names.join(", ")
        ));
    }
    say("Prices are those of the built-in table and of metering.prices_file, but where a recorded usage says what its \
         call cost. A service before OpenRouter asks it for today's."
        .to_owned());
    if sums.total.tally.get(Figure::CompressionTokensSaved) > 0 {
        say("Recorded prompts are taken to have been sent as they stand in the log; what compression takes out of them is \
             subtracted from their tokens, counted in o200k_base."
            .to_owned());
    }
    if counts.failed.get() > 0 {
        say(format!(
            "{} calls failed as recorded. They are neither repeated nor do they open a circuit: what another attempt \
             would have got is in no log.",
            count(counts.failed.get())
        ));
    }
    if counts.unusable.get() > 0 {
        say(format!(
            "{} recorded answers are no chat completions and count as failures that cost nothing.",
            count(counts.unusable.get())
        ));
    }
    if facts.too_slow > 0 {
        let patience = u64::try_from(config.upstream.total_timeout.as_millis()).unwrap_or(u64::MAX);
        say(format!(
            "{} recorded answers took longer than upstream.total_timeout, {}: whole ones the service would have given \
             up. Here they are given all the same; raise it before deploying.",
            count(facts.too_slow),
            about(patience)
        ));
    }
    if facts.forwarded > 0 {
        say(format!(
            "{} requests went to other endpoints, which are passed on as they are: nothing is saved on them.",
            count(facts.forwarded)
        ));
    }
    let is_varied = config.cache.variants > 1 || !config.cache.stale_while_revalidate.is_zero();
    if options.sweep && is_varied {
        say(
            "Other settings were tried without cache.variants and cache.stale_while_revalidate."
                .to_owned(),
        );
    }
    say("One instance was replayed, from an empty cache. Limits of clients, budgets, load shedding, the circuit breaker, \
         retries, Redis, the snapshot and the ledger are left out."
        .to_owned());
    all
}
