//! Behaviour of the proxy: cache.
