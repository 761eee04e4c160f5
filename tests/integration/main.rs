//! The proxy as its users meet it: in one process with a scripted upstream, over real sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

mod batch;
mod binary;
mod breaker;
mod budgets;
mod cache;
mod certificates;
mod compression;
mod create;
mod dedup;
mod edge;
mod embeddings;
mod estimate;
mod garbage;
mod learning;
mod limits;
mod openapi;
mod page;
mod postgres;
mod prefetch;
mod process;
mod promises;
mod redis;
mod retry;
mod security;
mod seeds;
mod shutdown;
mod stats;
mod stress;
mod traces;
mod tuning;
mod turns;
mod upstream;
mod usage;
