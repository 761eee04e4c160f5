//! The names of what is kept in Redis: `pegasus:{namespace}:…`, never a prompt.

use crate::fingerprint::Fingerprint;

/// Names within one namespace.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

/// A key that stands for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) fingerprint: Fingerprint,
    /// The number of the clear of everything after which it was written.
    pub(super) generation: u64,
    pub(super) kind: Kind,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Entry,
    Flight,
}

const FLIGHT: &str = ":flight";

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        let prefix = format!("pegasus:{namespace}:");
        Self { prefix }
    }

    /// A hash: how many clears there were, which was the latest of all answers, and the filters of the last ones.
    pub(super) fn clears(&self) -> String {
        format!("{}clears", self.prefix)
    }

    /// The channel on which instances hear of clears and landings.
    pub(super) fn channel(&self) -> String {
        format!("{}events", self.prefix)
    }

    /// An answer.
    pub(super) fn entry(&self, fingerprint: Fingerprint, generation: u64) -> String {
        format!("{}{fingerprint}:{generation}", self.prefix)
    }

    /// The lease of the instance that is asking the upstream, and for a moment afterwards what it was told.
    pub(super) fn flight(&self, fingerprint: Fingerprint, generation: u64) -> String {
        format!("{}{fingerprint}:{generation}{FLIGHT}", self.prefix)
    }

    /// A hash: what each process has spent of a budget.
    pub(super) fn budget(&self, purse: &str) -> String {
        format!("{}budget:{purse}", self.prefix)
    }

    /// Matches all keys of the namespace. Its own characters are none that a pattern interprets.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// What a key stands for, if it is one of a request.
    pub(super) fn parse(&self, key: &str) -> Option<Named> {
        let (rest, kind) = match key.strip_suffix(FLIGHT) {
            Some(rest) => (rest, Kind::Flight),
            None => (key, Kind::Entry),
        };
        let (fingerprint, generation) = rest.strip_prefix(&self.prefix)?.split_once(':')?;
        Some(Named {
            fingerprint: Fingerprint::from_hex(fingerprint)?,
            generation: generation.parse().ok()?,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    #[test]
    fn keys_say_what_they_stand_for() {
        let keys = Keys::new("a.b-c");
        let fingerprint = digest(b"q");
        for (key, kind) in [
            (keys.entry(fingerprint, 7), Kind::Entry),
            (keys.flight(fingerprint, 7), Kind::Flight),
        ] {
            assert!(key.starts_with(&format!("pegasus:a.b-c:{fingerprint}")));
            let named = Named {
                fingerprint,
                generation: 7,
                kind,
            };
            assert_eq!(keys.parse(&key), Some(named));
            assert_eq!(Keys::new("other").parse(&key), None);
        }
        for key in [
            keys.clears(),
            keys.channel(),
            keys.budget("day:0:web"),
            "pegasus:a.b-c:00:1".into(),
        ] {
            assert_eq!(keys.parse(&key), None);
        }
    }
}
