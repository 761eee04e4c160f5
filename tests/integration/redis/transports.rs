//! The other ways to a Redis: TLS, a password, a cluster.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::source;
use crate::certificates::Certificates;
use crate::process::Process;
use crate::support::{Proxy, RedisServer, Upstream, ask, within};

/// A loopback port that was free a moment ago.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_password_is_shown_and_never_told() {
    let upstream = Upstream::start().await;
    let redis = RedisServer::with(&["--requirepass", "canary-pass"]).await;
    let url = redis.url().replace("redis+unix://", "unix://");
    let wrong = format!("cache.redis_url = \"{url}?pass=canary-wrong\"");
    let proxy = Proxy::start(&wrong, &upstream).await;
    let off = proxy
        .wait_for_redis("the refusal", |redis| redis["state"] == "off")
        .await;
    assert!(!off.to_string().contains("canary"), "{off}");
    assert_eq!(source(&proxy, "q").await, "MISS");

    let right = format!("cache.redis_url = \"{url}?pass=canary-pass\"");
    let proxy = Proxy::start(&right, &upstream).await;
    proxy.connected().await;
    let told = proxy.get("/health/detailed").await;
    assert!(!String::from_utf8_lossy(&told.body).contains("canary"));
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_checked() {
    let certificates = Certificates::new();
    let path = |name| certificates.path(name);
    let port = free_port().await.to_string();
    let _redis = RedisServer::with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &path("leaf.pem"),
        "--tls-key-file",
        &path("leaf.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let upstream = Upstream::start().await;
    let settings = format!(
        "upstream.base_url = \"http://{}/v1\"\ncache.redis_url = \"rediss://localhost:{port}\"",
        upstream.address
    );
    // The roots are those of the system, which this variable replaces.
    let ca = path("ca.pem");
    let mut trusting = Process::start(&settings, &[], &[("SSL_CERT_FILE", &ca)]).await;
    trusting.wait_for("redis: connected").await;
    let other = path("other.pem");
    let mut careful = Process::start(&settings, &[], &[("SSL_CERT_FILE", &other)]).await;
    careful.wait_for("redis: off").await;
}

/// Three masters on ports of their own.
struct Cluster {
    ports: Vec<u16>,
    _nodes: Vec<Child>,
    _directories: Vec<TempDir>,
}

impl Cluster {
    async fn start() -> Self {
        let (mut ports, mut nodes, mut directories) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let directory = TempDir::new().unwrap();
            let (port, bus) = (free_port().await, free_port().await);
            let mut node = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args([
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus.to_string(),
                ])
                .args(["--cluster-announce-ip", "127.0.0.1"])
                .args(["--cluster-node-timeout", "2000"])
                .args(["--save", "", "--appendonly", "no"])
                .args(["--dir", directory.path().to_str().unwrap()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
            within("a node of the cluster", async {
                while let Some(line) = lines.next_line().await.unwrap() {
                    if line.contains("Ready to accept connections") {
                        return;
                    }
                }
                panic!("a node ended");
            })
            .await;
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            ports.push((port, bus));
            nodes.push(node);
            directories.push(directory);
        }
        let cluster = Self {
            ports: ports.iter().map(|(port, _)| *port).collect(),
            _nodes: nodes,
            _directories: directories,
        };
        for (at, (port, _)) in ports.iter().enumerate() {
            let first = (at * 5_461 + at.min(1)).to_string();
            let last = [5_461, 10_922, 16_383][at].to_string();
            let first = if at == 2 { "10923".to_owned() } else { first };
            cluster
                .run(*port, &["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
            for (other, bus) in &ports[..at] {
                let (other, bus) = (other.to_string(), bus.to_string());
                cluster
                    .run(*port, &["CLUSTER", "MEET", "127.0.0.1", &other, &bus])
                    .await;
            }
        }
        within("the cluster", async {
            for port in &cluster.ports {
                while !cluster
                    .run(*port, &["CLUSTER", "INFO"])
                    .await
                    .contains("cluster_state:ok")
                {}
            }
        })
        .await;
        cluster
    }

    async fn run(&self, port: u16, command: &[&str]) -> String {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        let answer: redis::Value = asked.query_async(&mut connection).await.unwrap();
        match answer {
            redis::Value::VerbatimString { text, .. } => text,
            redis::Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        }
    }

    async fn entries(&self) -> usize {
        let mut entries = 0;
        for port in &self.ports {
            let keys = self.run(*port, &["KEYS", "*"]).await;
            entries += keys.matches("pegasus:").count() - keys.matches(":clears").count();
        }
        entries
    }
}

#[tokio::test]
async fn a_cluster_is_found_by_any_of_its_nodes_and_shared_through() {
    let cluster = Cluster::start().await;
    let upstream = Upstream::start().await;
    let all = cluster
        .ports
        .iter()
        .map(|port| format!("redis://127.0.0.1:{port}"));
    let all = all.collect::<Vec<_>>().join(",");
    let one_node = format!("redis://127.0.0.1:{}", cluster.ports[1]);
    let setting = |url: &str| format!("cache.redis_url = \"{url}\"\ncache.redis_timeout = \"2s\"");
    let one = Proxy::start(&setting(&all), &upstream).await;
    let other = Proxy::start(&setting(&one_node), &upstream).await;
    one.connected().await;
    other.connected().await;
    // Enough for all nodes to have some.
    for n in 0..30 {
        assert_eq!(source(&one, &n.to_string()).await, "MISS");
    }
    one.wrote(30).await;
    assert_eq!(cluster.entries().await, 30);
    for n in 0..30 {
        assert_eq!(source(&other, &n.to_string()).await, "HIT");
    }
    assert_eq!(upstream.calls(), 30);
    let counted = other.get("/api/clear-cache?dry_run=true").await.json();
    assert_eq!(counted["cleared"], 30);
    let narrowed: Value = other.get("/api/clear-cache?model=none").await.json();
    assert_eq!(narrowed["cleared"], 0);
    let cleared = other.get("/api/clear-cache").await.json();
    assert_eq!(cleared["cleared"], json!(30));
    assert_eq!(cluster.entries().await, 0);
    let only = [("cache-control", "only-if-cached")];
    within("the clear on the other instance", async {
        while one.chat_with(&ask("7"), &only).await.status != 504 {}
    })
    .await;
}
