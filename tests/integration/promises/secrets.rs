//! Secrets and access (P80–P82).
