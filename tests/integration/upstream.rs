//! Behaviour of the proxy: upstream.
