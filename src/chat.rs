//! Knows the chat-completions dialect: checks what a client asks, judges what an upstream
//! answers, and turns whole answers into streams and back.
//!
//! Everything here is pure and synchronous: bytes or a parsed request in, a verdict or bytes out.

pub mod answer;
mod ending;
pub mod fold;
mod invalid;
mod merge;
mod object;
mod quality;
mod size;
pub mod unfold;
pub mod usage;
pub mod validate;
pub mod watch;

use bytes::Bytes;
use serde_json::Value;

pub use answer::{Answer, clip, read_answer};
pub use ending::{ended_cut_off, endings_of, is_cut_off};
pub use fold::fold;
pub use invalid::{Invalid, Reported};
pub use quality::{Admit, Quality};
pub use unfold::unfold;
pub use usage::{Certainty, Usage, usage_of, with_usage};
pub use validate::{Fault, validate};
pub use watch::Watch;

/// An upstream's JSON object, read as its clients read it: half a character, which JSON allows, becomes U+FFFD.
pub fn read_object(data: &[u8]) -> Result<Value, Invalid> {
    invalid::parse_object(data).map(|parsed| Value::Object(parsed.object))
}

/// The whole answer of a complete stream's chunks, with its usage, which is marked where it is an estimate.
pub fn whole_of(chunks: &[Bytes], usage: Usage) -> Result<Bytes, Invalid> {
    let whole = fold(chunks.iter().map(|chunk| &chunk[..]))?;
    Ok(with_usage(whole.into(), usage))
}
