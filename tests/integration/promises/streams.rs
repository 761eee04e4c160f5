//! Streams (P20–P24).
