//! Which requests come again and again: the heaviest of them, in bounded memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::asked::Asked;
use crate::fingerprint::Fingerprint;
use crate::json::{Json, Node};

/// So many bodies are counted at once. When there are more, each count is lowered by one and those at zero go (J. Misra
/// and D. Gries, "Finding repeated elements", 1982): what makes up more than that share of the log always stays.
const COUNTED: usize = 16_384;
/// So much of a prompt is shown, in characters.
const SHOWN: usize = 100;

/// Counts bodies.
pub(super) struct Repeated {
    counts: HashMap<Fingerprint, Count>,
    /// By how much each count may be too low.
    pub(super) lowered: u64,
    shows_prompts: bool,
}

/// A body that came again.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// How often it came.
    pub(super) times: u64,
    /// On which line it came first.
    pub(super) line: u64,
    /// How long it is, in bytes.
    pub(super) bytes: usize,
    /// How its last message begins, where that may be shown.
    pub(super) prompt: Option<Arc<str>>,
}

// === impl Repeated ===

impl Repeated {
    /// Nothing counted yet.
    pub(super) fn new(shows_prompts: bool) -> Self {
        Self {
            counts: HashMap::new(),
            lowered: 0,
            shows_prompts,
        }
    }

    /// Counts a request, by the digest of its body.
    pub(super) fn count(&mut self, digest: Fingerprint, asked: &Asked) {
        if let Some(count) = self.counts.get_mut(&digest) {
            count.times += 1;
            return;
        }
        if self.counts.len() >= COUNTED {
            self.lowered += 1;
            self.counts.retain(|_, count| {
                count.times -= 1;
                count.times > 0
            });
        }
        let prompt = self.shows_prompts.then(|| beginning(asked));
        let count = Count {
            times: 1,
            line: asked.line,
            bytes: asked.body.len(),
            prompt: prompt.flatten(),
        };
        self.counts.insert(digest, count);
    }

    /// Those that came most often, and more than once.
    pub(super) fn most(&self, at_most: usize) -> Vec<(Fingerprint, Count)> {
        let mut all: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, count)| count.times > 1)
            .collect();
        all.sort_by_key(|(_, count)| (std::cmp::Reverse(count.times), count.line));
        let first = all.into_iter().take(at_most);
        first
            .map(|(digest, count)| (*digest, count.clone()))
            .collect()
    }
}

/// How the last text of a request begins, on one line.
fn beginning(asked: &Asked) -> Option<Arc<str>> {
    let json = Json::parse(asked.body.clone()).ok()?;
    let root = json.root();
    let last = root
        .get("messages")
        .and_then(Node::as_array)
        .and_then(<[Node]>::last);
    let content = last.and_then(|message| message.get("content"));
    let text = match content {
        Some(Node::Array(parts)) => parts.iter().find_map(|part| part.get("text")?.as_str()),
        Some(content) => content.as_str(),
        None => ["prompt", "message"]
            .iter()
            .find_map(|name| root.get(name)?.as_str()),
    };
    let words = text?.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    Some(shown.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::estimate::log::Recorded;
    use crate::fingerprint::digest;

    fn asked(line: u64) -> Asked {
        Asked {
            at: 0,
            line,
            path: "/create".into(),
            body: r#"{"messages":[{"role":"user","content":"Say\n this\u0007."}]}"#.into(),
            caller: None,
            recorded: Recorded::Nothing,
            latency: Duration::ZERO,
            drawn: 0,
        }
    }

    #[test]
    fn the_heaviest_are_found_among_many() {
        let mut repeated = Repeated::new(false);
        for n in 0..200_000_u64 {
            let body = if n % 10 == 0 { n % 50 } else { n };
            repeated.count(digest(&body.to_le_bytes()), &asked(n));
        }
        let most = repeated.most(6);
        assert_eq!(most.len(), 5, "{most:?}");
        for (_, count) in &most {
            assert!(count.times + repeated.lowered >= 4_000 && count.times <= 4_000);
            assert_eq!(count.prompt, None);
        }
        assert!(repeated.counts.len() <= COUNTED);
    }

    #[test]
    fn prompts_are_shown_only_where_that_is_asked_for() {
        let mut repeated = Repeated::new(true);
        for line in [4, 5] {
            repeated.count(digest(b"x"), &asked(line));
        }
        let (_, count) = &repeated.most(1)[0];
        assert_eq!((count.times, count.line), (2, 4));
        assert_eq!(count.prompt.as_deref(), Some("Say this."));
    }
}
