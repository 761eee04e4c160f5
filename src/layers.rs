//! The layers of the stack, one file each, all of one anatomy; `stack.rs` puts them in order.

pub mod answer_limit;
pub mod breaker;
pub mod budget;
pub mod cache;
pub mod compress;
pub mod concurrency;
pub mod dedup;
pub mod embed;
pub mod merge;
pub mod retry;

use std::pin::Pin;

use crate::error::ProxyError;
use crate::reply::Reply;

/// What every service of the stack yields.
pub type ReplyResult = Result<Reply, ProxyError>;
/// A boxed future of one, where a layer's way through a call needs an `async` block.
pub type ReplyFuture = Pin<Box<dyn Future<Output = ReplyResult> + Send>>;
