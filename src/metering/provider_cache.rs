//! What marking prompts for the provider's own cache came to.

use super::Counter;
use super::prices::Tokens;

/// What became of the calls whose prompts the proxy marked.
#[derive(Debug, Default)]
pub struct ProviderCache {
    /// Calls that went out marked.
    pub marked: Counter,
    /// Of these, the ones that the upstream refused for their marks.
    pub refused: Counter,
    /// Prompt tokens of the others that came out of the provider's cache.
    pub read_tokens: Counter,
    /// Prompt tokens of theirs that were put in there.
    pub written_tokens: Counter,
    /// By how much the former made them cheaper, in nano-dollars.
    pub saved_nano_usd: Counter,
    /// By how much the latter made them dearer, in nano-dollars.
    pub surcharge_nano_usd: Counter,
}

impl ProviderCache {
    pub(super) fn note(&self, tokens: &Tokens, saved: u64, dearer: u64) {
        self.read_tokens.add(tokens.cached);
        self.written_tokens.add(tokens.cache_write);
        self.saved_nano_usd.add(saved);
        self.surcharge_nano_usd.add(dearer);
    }
}
