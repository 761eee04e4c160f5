//! What adjusts itself, and why it did: beside the way of a request, which it hangs on from outside.
//!
//! Whatever changes by itself here has a measure of its use, a bound, a switch, and writes what it decides, or would
//! decide, into the [`journal`], with the evidence. None of it changes an answer.
//!
//! The [`Optimizer`] is the loop. What it looks at comes from [`accesses`] (what is asked for and kept), from the books
//! (what that saved), and from the two layers that ask its [`limits`] and pass its [`concurrency`] gates. Pure are
//! `reuse` and `window`, which know what another cache would have given, `cache` and `lengths`, which advise, and `gate`,
//! which finds out how much an upstream stands.

pub mod accesses;
mod cache;
pub mod concurrency;
mod gate;
pub mod journal;
pub mod learn;
mod lengths;
pub mod limits;
mod optimizer;
pub mod prefetch;
mod reuse;
mod takings;
mod times;
mod window;
mod words;

pub use optimizer::{Line, Optimizer, Standing};
pub use times::Times;
