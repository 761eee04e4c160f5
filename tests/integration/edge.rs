//! Behaviour of the proxy: edge.
