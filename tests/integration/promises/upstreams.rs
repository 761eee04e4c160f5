//! Upstreams that fail, in every way (P10–P19).
