//! The proxy under test, in this process, on a port of its own.

use std::ops::Deref;

use pegasus_nest::config::Config;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use toml::{Table, Value};

use super::{Client, Upstream, within};

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before this upstream, with TOML over the defaults of tests: retries come at once, and the ledger ends with the
    /// process.
    pub(crate) async fn start(settings: &str, upstream: &Upstream) -> Self {
        Self::before(&format!("http://{}/v1", upstream.address), settings).await
    }

    /// A proxy before whatever is at this URL.
    pub(crate) async fn before(base_url: &str, settings: &str) -> Self {
        Self::beyond(base_url, settings, |_| ()).await
    }

    /// The same with settings that no operator may choose.
    pub(crate) async fn beyond(
        base_url: &str,
        settings: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut table: Table =
            toml::from_str("[retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"").unwrap();
        let ledger = Table::from_iter([("path".to_owned(), Value::from(":memory:"))]);
        table.insert("ledger".to_owned(), ledger.into());
        let base_url = Table::from_iter([("base_url".to_owned(), Value::from(base_url))]);
        table.insert("upstream".to_owned(), base_url.into());
        merge(&mut table, toml::from_str(settings).unwrap());
        let mut config = match Config::from_toml(&table.to_string()) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            pegasus_nest::serve(config, listener, || (), stopped)
                .await
                .unwrap();
        });
        Self {
            client: Client::new(address),
            shutdown: Some(shutdown),
            task,
        }
    }

    /// Asks it to shut down.
    pub(crate) fn begin_stop(&mut self) {
        self.shutdown.take();
    }

    /// Asks it to shut down and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        within("the proxy's shutdown", &mut self.task)
            .await
            .unwrap();
    }
}

impl Deref for Proxy {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(value)) => merge(known, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
