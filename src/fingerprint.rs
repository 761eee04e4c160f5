//! The SHA-256 identity of a request: equal exactly when two requests ask the same thing for the same caller.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::json::{Member, Node};

pub use beginnings::beginnings;
use blocks::BLOCK;
pub use blocks::{Blocks, Own};

mod beginnings;
mod blocks;

/// Changes whenever the same request would hash differently.
const VERSION: &[u8] = b"pegasus-nest fingerprint 2";
const ALIAS_VERSION: &[u8] = b"pegasus-nest alias 2";
const VARIANT_VERSION: &[u8] = b"pegasus-nest variant 1";
const INPUT_VERSION: &[u8] = b"pegasus-nest input 2";
const CALL_VERSION: &[u8] = b"pegasus-nest call 1";
const SCOPE_VERSION: &[u8] = b"pegasus-nest scope 1";

/// Fields that choose the answer's wrapping, not the answer.
const SHAPE_FIELDS: [&str; 2] = ["stream", "stream_options"];

/// A SHA-256 digest that names a request, or the bytes of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Fingerprint {
    /// All of it, in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Fingerprint {
    /// The identity of the n-th answer to a question that has this one; of the first it is the question's own.
    #[must_use]
    pub fn variant(self, n: u32) -> Self {
        if n == 0 {
            return self;
        }
        let mut hash = Parts::new(VARIANT_VERSION, None);
        hash.part(&self.0);
        hash.part(&n.to_le_bytes());
        hash.finish()
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest out of the 64 digits that it is displayed as.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// A digest that was kept as bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Who shares answers with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All callers share.
    Global,
    /// The callers that show no credential.
    Anonymous,
    /// The callers that show the credential with this digest.
    Credential(Fingerprint),
}

impl Scope {
    /// The scope of the callers that show this `Authorization`.
    pub fn of(authorization: Option<&[u8]>) -> Self {
        authorization.map_or(Self::Anonymous, |value| Self::Credential(digest(value)))
    }

    /// A name for it that tells nothing of the credential's length or kind.
    pub fn digest(self) -> Fingerprint {
        let mut hash = Parts::new(SCOPE_VERSION, None);
        self.hash(&mut hash);
        hash.finish()
    }

    fn hash(self, hash: &mut Parts<'_>) {
        match self {
            Self::Global => hash.part(b"global"),
            Self::Anonymous => hash.part(b"anonymous"),
            Self::Credential(credential) => hash.part(&credential.0),
        }
    }
}

/// The plain SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(bytes).into())
}

/// The identity of a chat request: the caller's scope, path and query, the headers that can change the answer and every
/// field but those that only shape it and those that the proxy itself `injected`. What is `known` of long texts makes it
/// cheaper, and no other.
pub fn fingerprint(
    known: Option<Own<'_>>,
    scope: Scope,
    path: &str,
    headers: &HeaderMap,
    root: &Node,
    injected: &[&str],
) -> Fingerprint {
    let mut hash = Parts::new(VERSION, known);
    scope.hash(&mut hash);
    hash.part(path.as_bytes());
    hash.headers(headers);
    match root {
        Node::Object(members) => hash.object(
            members
                .iter()
                .filter(|m| !SHAPE_FIELDS.contains(&&*m.key) && !injected.contains(&&*m.key)),
        ),
        other => hash.node(other),
    }
    hash.finish()
}

/// The identity of a body's bytes before compression, which leads a repeat to its entry without the
/// compressor and the canonical form. `edit` names the compressor's version and level; `known` is as above.
pub fn alias<'h>(
    known: Option<Own<'_>>,
    scope: Scope,
    path: &str,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    edit: &[u8],
    injected: &[&str],
    body: &[u8],
) -> Fingerprint {
    let mut hash = Parts::new(ALIAS_VERSION, known);
    scope.hash(&mut hash);
    hash.part(path.as_bytes());
    hash.headers(headers);
    hash.part(edit);
    hash.count(injected.len());
    for field in injected {
        hash.part(field.as_bytes());
    }
    hash.long(body);
    hash.finish()
}

/// The identity of an input to embed: of what it is and means, and of all that can change its embedding. A text and a list
/// of tokens may mean the same bytes, and are never the same.
pub fn input(
    scope: Scope,
    path: &str,
    headers: &HeaderMap,
    fields: Fingerprint,
    kind: &str,
    meaning: &[u8],
) -> Fingerprint {
    let mut hash = Parts::new(INPUT_VERSION, None);
    scope.hash(&mut hash);
    hash.part(path.as_bytes());
    hash.headers(headers);
    hash.part(&fields.0);
    hash.part(kind.as_bytes());
    hash.part(meaning);
    hash.finish()
}

/// The identity of all of a call but its inputs: of calls that can go together the same. Whoever is told of the call, and
/// how they name themselves, is a part of it.
pub fn call(
    scope: Scope,
    credential: Option<&HeaderValue>,
    path: &str,
    headers: &HeaderMap,
    fields: Fingerprint,
    kind: &str,
) -> Fingerprint {
    let mut hash = Parts::new(CALL_VERSION, None);
    scope.hash(&mut hash);
    hash.count(credential.iter().count());
    hash.part(credential.map(HeaderValue::as_bytes).unwrap_or_default());
    hash.part(path.as_bytes());
    hash.headers_that(headers, |name| !is_of_one_call(name));
    hash.part(&fields.0);
    hash.part(kind.as_bytes());
    hash.finish()
}

/// Hashes parts with their lengths in front, so that no two lists of parts run together to the same bytes.
struct Parts<'b> {
    hash: Sha256,
    known: Option<Own<'b>>,
}

impl<'b> Parts<'b> {
    fn new(version: &[u8], known: Option<Own<'b>>) -> Self {
        let hash = Sha256::new();
        let mut parts = Self { hash, known };
        parts.part(version);
        parts
    }

    fn count(&mut self, count: usize) {
        self.hash.update((count as u64).to_le_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.hash.update(bytes);
    }

    /// A part that may be long: whole blocks of it are hashed by their digests. The length in front says how many.
    fn long(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            let digest = match self.known {
                Some(known) => known.digest(block),
                None => blocks::digest(block),
            };
            self.hash.update(digest);
        }
        self.hash.update(rest);
    }

    fn headers<'h>(
        &mut self,
        headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    ) {
        self.headers_that(headers, changes_the_answer);
    }

    fn headers_that<'h>(
        &mut self,
        headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
        count: impl Fn(&str) -> bool,
    ) {
        let mut semantic: Vec<_> = headers
            .into_iter()
            .filter(|(name, _)| count(name.as_str()))
            .collect();
        // Stable, so that repeated values of one name keep their order.
        semantic.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        self.count(semantic.len());
        for (name, value) in semantic {
            self.part(name.as_str().as_bytes());
            self.part(value.as_bytes());
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Null => self.hash.update(b"n"),
            Node::Bool(true) => self.hash.update(b"t"),
            Node::Bool(false) => self.hash.update(b"f"),
            Node::Number(digits) => {
                self.hash.update(b"#");
                self.part(digits.as_bytes());
            }
            Node::String(text) => {
                self.hash.update(b"s");
                self.long(text.value.as_bytes());
            }
            Node::Array(items) => {
                self.hash.update(b"[");
                self.count(items.len());
                for item in items {
                    self.node(item);
                }
            }
            Node::Object(members) => self.object(members.iter()),
        }
    }

    fn object<'a>(&mut self, members: impl Iterator<Item = &'a Member>) {
        let mut sorted: Vec<_> = members.collect();
        sorted.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.hash.update(b"{");
        self.count(sorted.len());
        for member in sorted {
            self.part(member.key.as_bytes());
            self.node(&member.value);
        }
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.hash.finalize().into())
    }
}

/// Headers that tell who called, with what, or how to trace it never change an answer; whatever else is
/// forwarded (`openai-organization`, `anthropic-beta`, the operator's own) may.
fn changes_the_answer(name: &str) -> bool {
    !matches!(
        name,
        "accept"
            | "content-type"
            | "user-agent"
            | "idempotency-key"
            | "http-referer"
            | "x-title"
            | "traceparent"
            | "tracestate"
    ) && !name.starts_with("x-stainless-")
}

/// Headers that differ from call to call, whoever makes them and whatever is asked.
fn is_of_one_call(name: &str) -> bool {
    matches!(name, "traceparent" | "tracestate") || name.starts_with("x-stainless-")
}

#[cfg(test)]
mod tests;
