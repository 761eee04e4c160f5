//! Behaviour of the proxy: retry.
