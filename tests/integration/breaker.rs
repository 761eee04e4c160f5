//! Behaviour of the proxy: breaker.
