//! Shares the file descriptors that the process may open out between clients and the upstream.
//!
//! A process that has used them up cannot call upstream for the clients that it has let in. So fewer are let in,
//! and the others wait in the kernel's backlog, where they cost nothing.

use crate::config::Config;

/// For the log, the listener, Redis, a snapshot and the runtime; where there are few, the least that these need.
const BESIDE_SOCKETS: u64 = 64;
const LEAST_BESIDE_SOCKETS: u64 = 16;

/// How many descriptors the settings need.
pub fn wanted(config: &Config) -> u64 {
    let sockets = config
        .server
        .max_connections
        .saturating_add(upstream(config));
    u64::try_from(sockets)
        .unwrap_or(u64::MAX)
        .saturating_add(BESIDE_SOCKETS)
}

/// Lowers the limits on connections to what so many descriptors allow; tells whether it had to.
pub fn fit(config: &mut Config, granted: u64) -> bool {
    if granted >= wanted(config) {
        return false;
    }
    let beside = (granted / 4).clamp(LEAST_BESIDE_SOCKETS, BESIDE_SOCKETS);
    let sockets = usize::try_from(granted.saturating_sub(beside)).unwrap_or(usize::MAX);
    // A call needs one of each kind at most: the client's and the upstream's.
    let upstream = upstream(config).min(sockets / 2).max(1);
    config.server.max_connections = sockets.saturating_sub(upstream).max(1);
    config.upstream.max_connections = upstream;
    config.upstream.max_connections_per_host = upstream;
    true
}

/// Sockets to the upstream, which is one host.
fn upstream(config: &Config) -> usize {
    let upstream = &config.upstream;
    upstream
        .max_connections
        .min(upstream.max_connections_per_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(granted: u64) -> (bool, usize, usize) {
        let mut config = Config::default();
        let had_to = fit(&mut config, granted);
        (had_to, config.server.max_connections, upstream(&config))
    }

    #[test]
    fn p73_what_there_is_is_shared_out() {
        assert_eq!(wanted(&Config::default()), 4096 + 100 + 64);
        assert_eq!(fitted(4_260), (false, 4096, 100));
        assert_eq!(fitted(4_259), (true, 4095, 100));
        assert_eq!(fitted(1_024), (true, 860, 100));
        assert_eq!(fitted(256), (true, 96, 96));
        assert_eq!(fitted(64), (true, 24, 24));
        assert_eq!(fitted(0), (true, 1, 1));
    }
}
