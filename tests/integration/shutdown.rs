//! Behaviour of the proxy: shutdown.
