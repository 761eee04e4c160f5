//! What adjusts itself, and why it did: beside the way of a request, which it hangs on from outside.
//!
//! Whatever changes by itself here has a measure of its use, a bound, a switch, and writes what it decides, or would
//! decide, into the [`journal`], with the evidence. None of it changes an answer.

pub mod journal;
pub mod prefetch;
