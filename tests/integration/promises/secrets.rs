//! Secrets and access (P80–P82). What the log may say is in `crate::security::logs`.

mod admin;
mod bodies;
mod reflection;
