//! Behaviour of the proxy: garbage.
