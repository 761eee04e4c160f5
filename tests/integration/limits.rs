//! Behaviour of the proxy: limits.
