//! The identities of a conversation's beginnings, which the provider's own prompt cache keeps.

use super::{Fingerprint, Parts};
use crate::json::Node;

const VERSION: &[u8] = b"pegasus-nest beginnings 1";

/// One identity for each message: equal exactly where owner, model, tools and all messages up to that one are equal.
pub fn beginnings<'m>(
    owner: Fingerprint,
    model: &str,
    tools: Option<&Node>,
    messages: &'m [Node],
) -> impl Iterator<Item = Fingerprint> + use<'m> {
    let mut hash = Parts::new(VERSION, None);
    hash.part(owner.as_bytes());
    hash.part(model.as_bytes());
    hash.node(tools.unwrap_or(&Node::Null));
    messages.iter().map(move |message| {
        hash.node(message);
        let so_far = Parts {
            hash: hash.hash.clone(),
            known: None,
        };
        so_far.finish()
    })
}
