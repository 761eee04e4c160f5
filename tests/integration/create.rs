//! Behaviour of the proxy: create.
