//! Behaviour of the proxy: dedup.
