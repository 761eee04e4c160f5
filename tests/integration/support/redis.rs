//! A real redis-server of the test's own, which can be killed, frozen and started again.

use std::path::PathBuf;
use std::process::Stdio;

use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::yield_now;

use super::{Proxy, within};

/// A server on a socket of its own, empty at the start; it is killed when dropped.
pub(crate) struct RedisServer {
    directory: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that runs.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with further options.
    pub(crate) async fn with(options: &[&str]) -> Self {
        let mut server = Self::absent(options);
        server.revive().await;
        server
    }

    /// One that does not run yet.
    pub(crate) fn absent(options: &[&str]) -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        }
    }

    /// Starts it, empty, where it was before.
    pub(crate) async fn revive(&mut self) {
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--unixsocket", self.socket().to_str().unwrap()])
            .args(["--dir", self.directory.path().to_str().unwrap()])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        within("redis-server", async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("ready to accept connections at")
                    || line.contains("Ready to accept connections")
                {
                    return;
                }
            }
            panic!("redis-server ended");
        })
        .await;
        // Nobody may ever block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.child = Some(child);
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The setting that makes a proxy share through it.
    pub(crate) fn setting(&self) -> String {
        format!("cache.redis_url = {:?}\n", self.url())
    }

    /// Ends it like a crash.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Stops it where it stands: it accepts connections and never answers.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// Lets it go on.
    pub(crate) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.as_ref().and_then(Child::id).unwrap().to_string();
        let status = Command::new("kill").args([signal, &id]).status().await;
        assert!(status.unwrap().success());
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        let connecting = client.get_multiplexed_async_connection();
        within("a connection to redis", connecting).await.unwrap()
    }

    /// Runs one command.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connect().await;
        let (name, arguments) = command.split_first().unwrap();
        let mut command = redis::cmd(name);
        command.arg(arguments);
        within("a redis command", command.query_async(&mut connection))
            .await
            .unwrap()
    }

    /// All keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.run(&["KEYS", "*"]).await
    }

    /// The keys of answers.
    pub(crate) async fn entries(&self) -> Vec<String> {
        let keys = self.keys().await.into_iter();
        keys.filter(|key| !key.ends_with(":clears") && !key.ends_with(":flight"))
            .collect()
    }
}

impl Proxy {
    /// The `cache` section of the statistics.
    pub(crate) async fn cache(&self) -> Value {
        self.get("/api/optimization-stats").await.json()["cache"].take()
    }

    /// Waits until its statistics of Redis are as they should be.
    pub(crate) async fn wait_for_redis(
        &self,
        what: &str,
        enough: impl Fn(&Value) -> bool,
    ) -> Value {
        within(what, async {
            loop {
                let redis = self.cache().await["redis"].take();
                if enough(&redis) {
                    return redis;
                }
                yield_now().await;
            }
        })
        .await
    }

    /// Waits until it shares through Redis.
    pub(crate) async fn connected(&self) {
        self.wait_for_redis("the proxy's connection to redis", |redis| {
            redis["state"] == "ok"
        })
        .await;
    }

    /// Waits until so many of its answers are in Redis.
    pub(crate) async fn wrote(&self, answers: u64) {
        self.wait_for_redis("the write to redis", |redis| redis["written"] == answers)
            .await;
    }
}
