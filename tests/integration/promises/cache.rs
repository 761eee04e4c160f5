//! Shared calls and the cache (P30–P45).
