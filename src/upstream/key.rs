//! The proxy's own key: shown to the upstream, and taken out of what comes back.
//!
//! Providers quote a key that they do not know in what they say about it, and some debugging servers all that they
//! are sent.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};

/// Shorter ones are words ("none", "lm-studio") that servers without keys are given, unless they look like keys; words
/// stand in answers by chance.
const SHORTEST_SECRET: usize = 16;
const SHORTEST_KEY: usize = 8;

/// The key, as a header and as something to look for.
pub(super) struct OwnKey {
    header: HeaderValue,
    finder: Option<Finder<'static>>,
}

/// Takes the key out of a body that comes in pieces.
#[derive(Default)]
pub(super) struct Masking {
    /// The end of the last piece, where the key may have begun.
    held: Bytes,
}

impl OwnKey {
    /// `None` if it cannot stand in a header, which the settings rule out.
    pub(super) fn new(key: &SecretString) -> Option<Self> {
        let key = key.expose_secret();
        let mut header = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
        header.set_sensitive(true);
        let is_secret = key.len() >= SHORTEST_SECRET
            || (key.len() >= SHORTEST_KEY && key.to_ascii_lowercase().starts_with("sk-"));
        Some(Self {
            header,
            finder: is_secret.then(|| Finder::new(key).into_owned()),
        })
    }

    /// The credential for the upstream.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Takes out the headers that have the key in them.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let Some(finder) = &self.finder else { return };
        let telling: Vec<_> = headers
            .iter()
            .filter(|(_, value)| finder.find(value.as_bytes()).is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in telling {
            headers.remove(name);
        }
    }

    /// What came back with stars in the place of the key, as many as it is long.
    pub(super) fn mask(&self, body: Bytes) -> Bytes {
        let Some(finder) = &self.finder else {
            return body;
        };
        let Some(first) = finder.find(&body) else {
            return body;
        };
        let length = finder.needle().len();
        let mut masked = BytesMut::from(&body[..]);
        let mut next = Some(first);
        while let Some(at) = next {
            masked[at..at + length].fill(b'*');
            let after = at + length;
            next = finder.find(&body[after..]).map(|found| after + found);
        }
        masked.freeze()
    }

    /// How much of the end of this may be the beginning of the key.
    fn begun_in(&self, data: &[u8]) -> usize {
        let Some(finder) = &self.finder else { return 0 };
        let key = finder.needle();
        let longest = data.len().min(key.len() - 1);
        (1..=longest)
            .rev()
            .find(|length| data.ends_with(&key[..*length]))
            .unwrap_or(0)
    }
}

impl Masking {
    /// What of a piece can go on now; what may be the key's beginning waits for the next.
    pub(super) fn pass(&mut self, key: &OwnKey, piece: Bytes) -> Bytes {
        let joined = if self.held.is_empty() {
            piece
        } else {
            let mut joined = BytesMut::from(&std::mem::take(&mut self.held)[..]);
            joined.extend_from_slice(&piece);
            joined.freeze()
        };
        let mut masked = key.mask(joined);
        self.held = masked.split_off(masked.len() - key.begun_in(&masked));
        masked
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.held);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-0123456789abc";
    const STARS: &str = "****************";

    fn key(text: &str) -> OwnKey {
        OwnKey::new(&SecretString::from(text)).unwrap()
    }

    #[test]
    fn p80_the_key_is_taken_out_wherever_it_stands() {
        let key = key(KEY);
        assert!(key.header().is_sensitive());
        for (body, masked) in [
            ("KEY", "STARS"),
            ("a KEY, KEYKEY b", "a STARS, STARSSTARS b"),
            ("sk- 0123456789abc", "sk- 0123456789abc"),
            ("", ""),
        ] {
            let (body, masked) = (body.replace("KEY", KEY), masked.replace("STARS", STARS));
            assert_eq!(key.mask(body.into()), masked);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-debug", "Bearer KEY"),
            ("x-good", "sk-0"),
            ("x-key", "KEY"),
        ] {
            headers.append(name, value.replace("KEY", KEY).parse().unwrap());
        }
        key.strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-good"]);
    }

    #[test]
    fn p80_the_key_is_found_however_a_body_is_cut() {
        let key = key(KEY);
        let body = format!("sk-01 {KEY}sk-{KEY} and sk-0");
        let expected = body.replace(KEY, STARS);
        for size in 1..=body.len() {
            let mut masking = Masking::default();
            let mut out: Vec<u8> = Vec::new();
            for piece in body.as_bytes().chunks(size) {
                out.extend_from_slice(&masking.pass(&key, Bytes::copy_from_slice(piece)));
            }
            out.extend_from_slice(&masking.rest().unwrap_or_default());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{size}");
        }
        // What cannot be the key's beginning goes on at once.
        let mut masking = Masking::default();
        assert_eq!(
            masking.pass(&key, Bytes::from_static(b"data: 1\n\n")),
            "data: 1\n\n"
        );
    }

    #[test]
    fn a_word_that_stands_for_no_key_is_no_secret() {
        for word in ["ollama", "lm-studio", "not-needed", "sk-1"] {
            let body = Bytes::from(word);
            assert_eq!(key(word).mask(body), word);
        }
        assert_eq!(key("sk-12345").mask("sk-12345".into()), "********");
    }
}
