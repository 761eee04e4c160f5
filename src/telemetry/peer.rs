//! Who is called upstream, by the names that OpenTelemetry has for providers of models.

use http::Uri;

/// Providers by the names of their hosts, or by what those end in.
const PROVIDERS: [(&str, &str); 16] = [
    ("openrouter.ai", "openrouter"),
    ("openai.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("anthropic.com", "anthropic"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("amazonaws.com", "aws.bedrock"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("deepseek.com", "deepseek"),
    ("perplexity.ai", "perplexity"),
    ("x.ai", "x_ai"),
    ("cohere.ai", "cohere"),
    ("cohere.com", "cohere"),
    ("moonshot.ai", "moonshot_ai"),
];

/// Whose protocol is spoken with all others.
const SPOKEN: &str = "openai";

/// Who is called.
pub(super) struct Peer {
    pub(super) provider: &'static str,
    pub(super) address: Box<str>,
    pub(super) port: u16,
    /// Without a trailing slash.
    pub(super) url: Box<str>,
}

// === impl Peer ===

impl Peer {
    /// Whoever is at this URL.
    pub(super) fn of(url: &str) -> Self {
        let parsed = url.parse::<Uri>().unwrap_or_default();
        let host = parsed.host().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let usual = if parsed.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        Self {
            provider: provider(&address),
            address: address.into(),
            port: parsed.port_u16().unwrap_or(usual),
            url: url.into(),
        }
    }
}

fn provider(host: &str) -> &'static str {
    let known = PROVIDERS.iter().find(|(name, _)| {
        host.strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
    });
    known.map_or(SPOKEN, |(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_their_hosts() {
        for (url, provider, address, port) in [
            (
                "https://openrouter.ai/api/v1",
                "openrouter",
                "openrouter.ai",
                443,
            ),
            ("https://api.OpenAI.com/v1", "openai", "api.openai.com", 443),
            (
                "https://us-east1-aiplatform.googleapis.com/v1",
                "gcp.vertex_ai",
                "us-east1-aiplatform.googleapis.com",
                443,
            ),
            ("https://api.x.ai/v1", "x_ai", "api.x.ai", 443),
            ("http://max.ai:8000/v1", "openai", "max.ai", 8000),
            ("http://127.0.0.1/v1", "openai", "127.0.0.1", 80),
            ("http://[::1]:9/v1", "openai", "::1", 9),
        ] {
            let peer = Peer::of(url);
            assert_eq!(
                (peer.provider, &*peer.address, peer.port),
                (provider, address, port),
                "{url}"
            );
        }
    }
}
