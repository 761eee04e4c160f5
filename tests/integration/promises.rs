//! The promises, each kept by the built binary and seen from outside: a process with real sockets on both sides, and
//! nothing that a stranger could not observe.
//!
//! Names begin with the number of the promise, so that `::p70` finds its proofs:
//!
//! | numbers | what | where |
//! |---|---|---|
//! | P01–P05 | service and input | `service`, and the SDKs in `tests/clients` |
//! | P10–P19 | upstreams that fail | `upstreams` |
//! | P20–P24 | streams | `streams` |
//! | P30–P45 | shared calls and the cache | `cache` |
//! | P50–P62 | overload, retries, breaker, sockets | `overload` |
//! | P70–P77 | clients that misbehave | `clients`, `smuggling`, `requests` |
//! | P80–P82 | secrets and access | `secrets` |
//! | P91–P98 | operations | `operations`; P96 and P97 in `crate::redis` |
//!
//! What no outsider can see (a panic, a lost wake-up, a clock) is proved inside, by the unit tests beside the code.
//!
//! `PEGASUS_NEST_BIN` puts another binary in the place of ours; `tests/teeth.sh` does so with a proxy that only forwards, to
//! show that these tests can fail.

use std::ops::Deref;

use crate::process::Process;
use crate::support::{Client, Upstream};

mod cache;
mod clients;
mod operations;
mod overload;
mod requests;
mod secrets;
mod service;
mod smuggling;
mod streams;
mod upstreams;

/// Retries without long waits, so that a test of something else need not sit through them.
const SETTINGS: &str = "[retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";

/// Streams are not asked for their usage, so that what goes up is what came.
const AS_SENT: (&str, &str) = ("PEGASUS_METERING__STREAM_USAGE", "false");

/// The binary before a scripted upstream, and a client of it.
pub(crate) struct Nest {
    client: Client,
    process: Process,
}

impl Nest {
    /// Starts it with the settings of tests.
    pub(crate) async fn start(upstream: &Upstream) -> Self {
        Self::with(upstream, SETTINGS).await
    }

    /// Starts it with these settings (TOML) and no others.
    pub(crate) async fn with(upstream: &Upstream, settings: &str) -> Self {
        Self::before(&format!("http://{}/v1", upstream.address), settings, &[]).await
    }

    /// Starts it before whatever is at this URL, with these settings and this environment.
    pub(crate) async fn before(
        base_url: &str,
        settings: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut all = vec![AS_SENT];
        all.extend_from_slice(environment);
        let process = Process::start(settings, &["--upstream", base_url], &all).await;
        Self {
            client: Client::new(process.address()),
            process,
        }
    }

    /// The process, to stop it or to end with it.
    pub(crate) fn into_process(self) -> Process {
        self.process
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Deref for Nest {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
