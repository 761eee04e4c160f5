//! Behaviour of the proxy: stats.
