//! Holds the compressor to its promise on prompts as people write them: fewer tokens, and not one
//! hard fact of a message lost, at every level, for single messages and for whole conversations.
//!
//! `cargo test --test compression -- --nocapture` prints what each level saves.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod conversations;
mod corpus;
mod damage;
mod lossless;
mod messages;
mod metric;
mod noticing;
mod references;
mod subject;
