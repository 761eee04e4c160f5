//! Behaviour of the proxy: security.
