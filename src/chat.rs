//! Knows the chat-completions dialect: checks what a client asks, judges what an upstream
//! answers, and turns whole answers into streams and back.
//!
//! Everything here is pure and synchronous: bytes or a parsed request in, a verdict or bytes out.

pub mod answer;
pub mod fold;
mod invalid;
mod merge;
mod size;
pub mod unfold;
pub mod usage;
pub mod validate;
pub mod watch;

pub use answer::{Answer, read_answer};
pub use fold::fold;
pub use invalid::{Invalid, Reported};
pub use unfold::unfold;
pub use usage::{Usage, with_usage};
pub use validate::{Fault, validate};
pub use watch::Watch;
