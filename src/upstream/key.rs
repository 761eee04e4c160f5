//! The proxy's own key: shown to the upstream, and taken out of whatever comes back.

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};

/// What stands in an answer where the key stood.
const MASK: &[u8] = b"***";

/// Shorter ones are words ("none", "ollama") that servers without keys are given; they stand in answers by chance.
const SHORTEST_SECRET: usize = 16;

/// The key, as a header and as something to look for.
pub(super) struct OwnKey {
    header: HeaderValue,
    finder: Option<Finder<'static>>,
}

impl OwnKey {
    /// `None` if it cannot stand in a header, which the settings rule out.
    pub(super) fn new(key: &SecretString) -> Option<Self> {
        let key = key.expose_secret();
        let mut header = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
        header.set_sensitive(true);
        Some(Self {
            header,
            finder: (key.len() >= SHORTEST_SECRET).then(|| Finder::new(key).into_owned()),
        })
    }

    /// The credential for the upstream.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// What came back without the key. Providers quote a key that they do not know in what they say about it, and some
    /// debugging servers all that they are sent.
    pub(super) fn mask(&self, body: Bytes) -> Bytes {
        let Some(finder) = &self.finder else {
            return body;
        };
        let mut found = finder.find_iter(&body).peekable();
        if found.peek().is_none() {
            return body;
        }
        let mut masked = Vec::with_capacity(body.len());
        let mut rest = 0;
        for at in found {
            masked.extend_from_slice(&body[rest..at]);
            masked.extend_from_slice(MASK);
            rest = at + finder.needle().len();
        }
        masked.extend_from_slice(&body[rest..]);
        masked.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p80_the_key_is_taken_out_wherever_it_stands() {
        let key = OwnKey::new(&SecretString::from("sk-0123456789abc")).unwrap();
        assert!(key.header().is_sensitive());
        for (body, masked) in [
            ("KEY", "***"),
            ("a KEY, KEYKEY b", "a ***, ****** b"),
            ("sk- 0123456789abc", "sk- 0123456789abc"),
            ("", ""),
        ] {
            let body = body.replace("KEY", "sk-0123456789abc");
            assert_eq!(key.mask(body.into()), masked);
        }
    }

    #[test]
    fn a_word_that_stands_for_no_key_is_no_secret() {
        let key = OwnKey::new(&SecretString::from("ollama")).unwrap();
        assert_eq!(key.mask(Bytes::from_static(b"ollama")), "ollama");
    }
}
