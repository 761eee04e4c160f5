//! Behaviour of the proxy: stress.
