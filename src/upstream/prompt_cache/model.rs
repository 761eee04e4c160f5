//! Whose cache wants breakpoints, and from which length on.

/// Whether a model's provider keeps what is marked, and nothing else: Anthropic. `OpenAI`, Gemini and `DeepSeek` keep what they
/// like by themselves.
pub(super) fn wants_marks(model: &str) -> bool {
    // anthropic/claude-…, and bedrock/eu.anthropic.claude-… behind gateways.
    model
        .split(['/', '.'])
        .any(|name| name.starts_with("claude-"))
}

/// So many tokens a prompt's beginning must have to be kept, by Anthropic's documentation of prompt caching (October 2026);
/// marks on shorter ones are ignored, at no cost. Some newer models keep less, too: it would save next to nothing.
pub(super) fn least_tokens(model: &str) -> u64 {
    let name = model.replace('.', "-");
    let is_of = |names: &[&str]| names.iter().any(|part| name.contains(part));
    if is_of(&[
        "opus-4-5",
        "opus-4-6",
        "haiku-4-5",
        "4-5-opus",
        "4-6-opus",
        "4-5-haiku",
    ]) {
        4096
    } else if is_of(&[
        "opus-4-7",
        "4-7-opus",
        "3-5-haiku",
        "3-haiku",
        "sonnet-4-6",
        "4-6-sonnet",
    ]) {
        2048
    } else {
        1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anthropics_models_are_known_by_all_their_names() {
        for (model, least) in [
            ("anthropic/claude-sonnet-4", 1024),
            ("anthropic/claude-sonnet-4.5", 1024),
            ("claude-opus-4-1-20250805", 1024),
            ("anthropic/claude-opus-4.5", 4096),
            ("claude-haiku-4-5-20251001", 4096),
            ("anthropic/claude-4.6-opus:nitro", 4096),
            ("anthropic/claude-opus-4.7", 2048),
            ("anthropic/claude-3.5-haiku", 2048),
            ("claude-3-haiku-20240307", 2048),
            ("bedrock/eu.anthropic.claude-sonnet-4-20250514-v1:0", 1024),
            ("anthropic/claude-opus-5", 1024),
        ] {
            assert!(wants_marks(model), "{model}");
            assert_eq!(least_tokens(model), least, "{model}");
        }
        for model in [
            "openai/gpt-4o",
            "google/gemini-flash-1.5",
            "openrouter/auto",
            "someone/not-claude-like",
            "m",
            "",
        ] {
            assert!(!wants_marks(model), "{model}");
        }
    }
}
