//! Says in words what the figures rest on beside the log itself.

use super::{ASSUMED_TOKENS, EACH_TOKEN, FIRST_TOKEN, share};
use crate::config::{Config, PromptCache, TuningMode};
use crate::estimate::sums::Sums;
use crate::estimate::{Options, Pass};
use crate::metering::fetch::is_openrouter;
use crate::metering::tally::Figure;
use crate::tuning::learn::Mode;
use crate::words::{about, count, percent, some};

/// All of it, what matters most first.
pub(super) fn list(
    config: &Config,
    options: &Options,
    pass: &Pass<'_>,
    sums: &Sums,
) -> Vec<String> {
    let said = [
        simulated(pass),
        untimed(options, pass),
        unclocked(pass),
        late(pass),
        held_back(pass),
        unpriced(sums),
        Some(
            "Prices are those of the built-in table and of metering.prices_file, but where a recorded usage says what its \
             call cost. A service before OpenRouter asks it for today's."
                .to_owned(),
        ),
        compressed(sums),
        failed(pass),
        unusable(pass),
        too_slow(config, pass),
        forwarded(config, pass),
        left_out(config),
        untried(config, options),
        Some(
            "One instance was replayed, from an empty cache. Limits of clients, budgets, load shedding, the circuit \
             breaker, retries, Redis, the snapshot and the ledger are left out."
                .to_owned(),
        ),
    ];
    said.into_iter().flatten().collect()
}

fn simulated(pass: &Pass<'_>) -> Option<String> {
    let counts = pass.upstream.counts();
    let (simulated, recorded) = (counts.simulated.get(), counts.recorded.get());
    let lengths = if pass.facts.answered > 0 {
        "are as long as those that the log has".to_owned()
    } else {
        let [shortest, .., longest] = ASSUMED_TOKENS;
        format!(
            "are assumed to have {shortest} to {longest} tokens, 200 in the median and 295 in the mean"
        )
    };
    (simulated > 0).then(|| {
        format!(
            "{} of the calls have no recorded answer. Theirs are simulated: they {lengths}, and their prompts are counted \
             here. Put a usage or a response on each line to replace this by facts.",
            percent(share(simulated, simulated + recorded))
        )
    })
}

fn untimed(options: &Options, pass: &Pass<'_>) -> Option<String> {
    let order = &pass.order;
    let lines = if order.timed == 0 {
        "The log does not say when its requests came".to_owned()
    } else {
        format!("{} of the log without a time", some(order.untimed, "line"))
    };
    (order.untimed > 0).then(|| {
        format!(
            "{lines}: they are taken to have come one after another, {} a second (--rate). Times to live and shared calls \
             depend on it.",
            options.rate
        )
    })
}

fn unclocked(pass: &Pass<'_>) -> Option<String> {
    let facts = &pass.facts;
    let latencies = if facts.clocked > 0 {
        "as long as with those that tell it".to_owned()
    } else {
        let (first, each) = (FIRST_TOKEN.as_millis(), EACH_TOKEN.as_millis());
        format!("{first} ms and {each} ms more for each token")
    };
    (facts.clocked < facts.requests).then(|| {
        format!(
            "{} without the time that the answer took: it is taken to have taken {latencies}. Only what dedup saves \
             depends on it.",
            some(facts.requests - facts.clocked, "request")
        )
    })
}

fn late(pass: &Pass<'_>) -> Option<String> {
    let late = pass.order.late;
    (late > 0).then(|| {
        format!(
            "{} out of order by more than the replay looks ahead: taken to have come with the line before.",
            some(late, "line")
        )
    })
}

fn held_back(pass: &Pass<'_>) -> Option<String> {
    let held_back = pass.replay.held_back;
    (held_back > 0).then(|| {
        format!(
            "More requests were under way at once than are replayed at once; {} of them were held back until others had \
             ended.",
            count(held_back)
        )
    })
}

fn unpriced(sums: &Sums) -> Option<String> {
    let names: Vec<_> = sums.unpriced.iter().take(5).map(|name| &**name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} answers came from models without a price, which count nothing: {}. metering.prices_file can name their \
             prices.",
            count(sums.total.tally.get(Figure::Unpriced)),
            names.join(", ")
        )
    })
}

fn compressed(sums: &Sums) -> Option<String> {
    let is_some = sums.total.tally.get(Figure::CompressionTokensSaved) > 0;
    is_some.then(|| {
        "Recorded prompts are taken to have been sent as they stand in the log; what compression takes out of them is \
         subtracted from their tokens, counted in o200k_base."
            .to_owned()
    })
}

fn failed(pass: &Pass<'_>) -> Option<String> {
    let failed = pass.upstream.counts().failed.get();
    (failed > 0).then(|| {
        format!(
            "{} calls failed as recorded. They are neither repeated nor do they open a circuit: what another attempt \
             would have got is in no log.",
            count(failed)
        )
    })
}

fn unusable(pass: &Pass<'_>) -> Option<String> {
    let unusable = pass.upstream.counts().unusable.get();
    (unusable > 0).then(|| {
        format!(
            "{} recorded answers are no chat completions and count as failures that cost nothing.",
            count(unusable)
        )
    })
}

fn too_slow(config: &Config, pass: &Pass<'_>) -> Option<String> {
    let too_slow = pass.facts.too_slow;
    let patience = u64::try_from(config.upstream.total_timeout.as_millis()).unwrap_or(u64::MAX);
    (too_slow > 0).then(|| {
        format!(
            "{} recorded answers took longer than upstream.total_timeout, {}: whole ones the service would have given up. \
             Here they are given all the same; raise it before deploying.",
            count(too_slow),
            about(patience)
        )
    })
}

fn forwarded(config: &Config, pass: &Pass<'_>) -> Option<String> {
    let facts = &pass.facts;
    let embeddings = if facts.embeddings > 0 && !config.batch.window.is_zero() {
        format!(
            " {} of them are calls for embeddings; that the service makes one call of several and keeps embeddings \
             (batch.window) is left out, as if batch.window were 0s.",
            count(facts.embeddings)
        )
    } else {
        String::new()
    };
    (facts.forwarded > 0).then(|| {
        format!(
            "{} requests went to other endpoints, which are passed on as they are: nothing is saved on them.{embeddings}",
            count(facts.forwarded)
        )
    })
}

/// What is switched on and yet not replayed.
fn left_out(config: &Config) -> Option<String> {
    let all = [
        (
            config.tuning.mode == TuningMode::Act,
            "tuning.mode = \"act\" (what is set stays as it is, and no answer that was cut off is asked for again)",
        ),
        (
            config.prefetch.enabled,
            "prefetch.enabled (nothing is fetched ahead)",
        ),
        (
            config.compression.learning.mode == Mode::Act,
            "compression.learn = \"act\" (no learned text is put in, and no conversation is held out)",
        ),
        (
            match config.upstream.prompt_cache {
                PromptCache::Off => false,
                PromptCache::Auto => is_openrouter(&config.upstream.base_url),
                PromptCache::On => true,
            },
            "upstream.prompt_cache (no prompt is marked; what the provider's own cache did is as recorded)",
        ),
    ];
    let on: Vec<_> = all
        .iter()
        .filter_map(|(is_on, what)| is_on.then_some(*what))
        .collect();
    (!on.is_empty()).then(|| {
        format!(
            "Left out, although it is switched on, because no log tells what would have come of it: {}.",
            on.join("; ")
        )
    })
}

fn untried(config: &Config, options: &Options) -> Option<String> {
    let is_varied = config.cache.variants > 1 || !config.cache.stale_while_revalidate.is_zero();
    (options.sweep && is_varied).then(|| {
        "Other settings were tried without cache.variants and cache.stale_while_revalidate."
            .to_owned()
    })
}
