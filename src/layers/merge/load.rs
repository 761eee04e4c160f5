//! What several calls ask for together, and shares of what that comes to.

use std::collections::HashMap;

use bytes::Bytes;

use crate::chat::Usage;
use crate::embeddings::{Embeddings, shares};

/// The inputs of all of them.
#[derive(Default)]
pub(super) struct Load {
    pub(super) inputs: Vec<Bytes>,
    /// What each member has of them.
    pub(super) parts: Vec<Part>,
}

/// What a member has of the inputs that are asked for.
pub(super) struct Part {
    /// Their numbers, in its own order.
    pub(super) numbers: Vec<usize>,
    /// Whether it has brought them; if not, others had brought all of them before.
    pub(super) pays: bool,
}

// === impl Load ===

impl Load {
    /// All inputs one after another; but those of a call that others ask for anyway.
    pub(super) fn of<'e>(calls: impl Iterator<Item = &'e Embeddings>) -> Self {
        let mut load = Self::default();
        let mut known = HashMap::new();
        for ask in calls {
            let meanings: Vec<_> = ask
                .inputs()
                .iter()
                .map(|input| ask.meaning(input))
                .collect();
            let found = meanings.iter().map(|meaning| known.get(meaning).copied());
            if let Some(numbers) = found.collect() {
                load.parts.push(Part {
                    numbers,
                    pays: false,
                });
                continue;
            }
            let numbers = load.inputs.len()..load.inputs.len() + meanings.len();
            load.inputs.extend(ask.inputs().iter().cloned());
            for (meaning, number) in meanings.into_iter().zip(numbers.clone()) {
                known.entry(meaning).or_insert(number);
            }
            load.parts.push(Part {
                numbers: numbers.collect(),
                pays: true,
            });
        }
        load
    }
}

/// A number in shares by weights, whose sum it is.
pub(super) fn split(number: u64, weights: &[u64]) -> Vec<u64> {
    let shares = shares(number.into(), weights).into_iter();
    shares
        .map(|share| u64::try_from(share).unwrap_or(u64::MAX))
        .collect()
}

/// The same for each of the counts; no share tells a price.
pub(super) fn split_usage(usage: Usage, weights: &[u64]) -> Vec<Usage> {
    let mut shares = vec![
        Usage {
            cost_nano_usd: None,
            ..usage
        };
        weights.len()
    ];
    let fields: [fn(&mut Usage) -> &mut u64; 6] = [
        |usage| &mut usage.prompt_tokens,
        |usage| &mut usage.completion_tokens,
        |usage| &mut usage.total_tokens,
        |usage| &mut usage.cached_tokens,
        |usage| &mut usage.cache_write_tokens,
        |usage| &mut usage.reasoning_tokens,
    ];
    for field in fields {
        let number = *field(&mut { usage });
        for (share, part) in shares.iter_mut().zip(split(number, weights)) {
            *field(share) = part;
        }
    }
    shares
}
