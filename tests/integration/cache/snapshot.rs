//! Answers outlast the process in a file; cleared ones do not, and no file keeps a process from serving.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Upstream, ask, ask_stream};
use crate::process::Process;
use crate::support::within;

/// An upstream, a place for the answers, and the binary started there again and again.
struct House {
    upstream: Upstream,
    directory: TempDir,
    client: reqwest::Client,
}

struct Got {
    source: String,
    age: u64,
}

impl House {
    async fn new() -> Self {
        Self {
            upstream: Upstream::start().await,
            directory: TempDir::new().unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("answers")
    }

    async fn start(&self, settings: &str) -> Process {
        let settings = format!(
            "upstream.base_url = \"http://{}/v1\"\ncache.snapshot = \"{}\"\n{settings}",
            self.upstream.address,
            self.file().display()
        );
        Process::start(&settings, &[], &[]).await
    }

    /// Starts it and waits until it has read the file.
    async fn resume(&self) -> Process {
        let mut process = self.start("").await;
        process.wait_for("snapshot read").await;
        process
    }

    async fn send(&self, process: &Process, body: &Value) -> Got {
        let request = self
            .client
            .post(process.url("/v1/chat/completions"))
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = within("an answer", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name| {
            let value = response.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let got = Got {
            source: header("x-cache"),
            age: header("age").parse().unwrap_or_default(),
        };
        let body = within("its body", response.text()).await.unwrap();
        assert!(body.contains("Hel"), "{body}");
        got
    }

    /// Where the answers to these prompts come from.
    async fn sources(&self, process: &Process, prompts: &[&str]) -> Vec<String> {
        let mut sources = Vec::new();
        for prompt in prompts {
            sources.push(self.send(process, &ask(prompt)).await.source);
        }
        sources
    }

    async fn clear(&self, process: &Process, query: &str) -> Value {
        let url = process.url(&format!("/api/clear-cache{query}"));
        let response = within("the clear", self.client.get(url).send()).await;
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        let body = within("its body", response.text()).await.unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["cleared"].clone()
    }

    /// Rewrites the file as if it had been written so many seconds earlier, before the machine was started anew.
    fn backdate(&self, seconds: u64) {
        let mut bytes = std::fs::read(self.file()).unwrap();
        let covered = bytes.len() - 32;
        bytes[8..44].fill(b'0');
        let unix = u64::from_le_bytes(bytes[52..60].try_into().unwrap());
        bytes[52..60].copy_from_slice(&(unix - seconds * 1_000).to_le_bytes());
        let digest = Sha256::digest(&bytes[..covered]);
        bytes[covered..].copy_from_slice(&digest);
        std::fs::write(self.file(), bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// The warnings among these lines.
fn warnings(stderr: &str) -> Vec<&str> {
    let is_warning = |line: &&str| line.contains(" WARN ") || line.contains("ERROR");
    stderr.lines().filter(is_warning).collect()
}

#[tokio::test]
async fn answers_survive_a_stop_and_a_start() {
    let house = House::new().await;
    let first = house.start("").await;
    assert_eq!(house.sources(&first, &["a"]).await, ["MISS"]);
    let streamed = house.send(&first, &ask_stream("b")).await;
    assert_eq!(streamed.source, "MISS");
    let stderr = first.stop().await;
    assert!(warnings(&stderr).is_empty(), "{stderr}");
    let second = house.resume().await;
    assert_eq!(house.sources(&second, &["a", "b"]).await, ["HIT"; 2]);
    let streamed = house.send(&second, &ask_stream("a")).await;
    assert_eq!(streamed.source, "HIT");
    assert_eq!(house.upstream.calls(), 2);
    second.stop().await;
    // And again, without anything new.
    let third = house.resume().await;
    assert_eq!(house.sources(&third, &["b", "a"]).await, ["HIT"; 2]);
    assert_eq!(house.upstream.calls(), 2);
}

#[tokio::test]
async fn answers_grow_older_while_no_process_runs() {
    let house = House::new().await;
    let first = house.start("").await;
    house.sources(&first, &["a"]).await;
    first.stop().await;
    house.backdate(1_000);
    let second = house.resume().await;
    let hit = house.send(&second, &ask("a")).await;
    assert_eq!(hit.source, "HIT");
    assert!((1_000..1_600).contains(&hit.age), "{}", hit.age);
    second.stop().await;
    // An hour they are fresh.
    house.backdate(3_000);
    let third = house.resume().await;
    assert_eq!(house.sources(&third, &["a"]).await, ["MISS"]);
    assert_eq!(house.upstream.calls(), 2);
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_nothing_is_left_beside_it() {
    let house = House::new().await;
    // Of a process that was killed, say.
    std::fs::write(
        house.directory.path().join("answers.4294967295.tmp"),
        "half",
    )
    .unwrap();
    let process = house.start("").await;
    house.sources(&process, &["a"]).await;
    process.stop().await;
    assert_eq!(house.names(), ["answers"]);
    let mode = house.file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(house.file()).unwrap();
    assert!(bytes.starts_with(b"PGNSNAP1"));
}

#[tokio::test]
async fn a_clear_holds_however_the_process_ends_right_after_it() {
    let house = House::new().await;
    let of_model = |model: &str| {
        let mut request = ask("q");
        request["model"] = model.into();
        request
    };
    let first = house.start("").await;
    for model in ["m", "n"] {
        house.send(&first, &of_model(model)).await;
    }
    first.stop().await;

    let second = house.resume().await;
    assert_eq!(house.clear(&second, "?model=m").await, 1);
    second.signal("KILL").await;
    second.wait().await;

    let third = house.resume().await;
    assert_eq!(house.send(&third, &of_model("n")).await.source, "HIT");
    assert_eq!(house.send(&third, &of_model("m")).await.source, "MISS");
    assert_eq!(house.clear(&third, "").await, 2);
    third.signal("KILL").await;
    third.wait().await;

    let fourth = house.resume().await;
    for model in ["m", "n"] {
        assert_eq!(house.send(&fourth, &of_model(model)).await.source, "MISS");
    }
}

#[tokio::test]
async fn a_clear_at_the_very_start_finds_what_is_in_the_file() {
    let house = House::new().await;
    let first = house.start("").await;
    house.sources(&first, &["a", "b"]).await;
    first.stop().await;
    // Whether the file has been read by then or not: nothing of it is lost, and nothing comes back.
    let second = house.start("").await;
    house.clear(&second, "?model=other").await;
    second.signal("KILL").await;
    second.wait().await;
    let third = house.start("").await;
    house.clear(&third, "?older_than=10m").await;
    third.stop().await;
    house.backdate(1_000);
    let fourth = house.resume().await;
    assert_eq!(house.sources(&fourth, &["a", "b"]).await, ["HIT"; 2]);
    fourth.stop().await;
    let fifth = house.start("").await;
    house.clear(&fifth, "?older_than=10m").await;
    assert_eq!(house.sources(&fifth, &["a", "b"]).await, ["MISS"; 2]);
}

#[tokio::test]
async fn a_file_that_is_no_snapshot_costs_one_line_and_nothing_else() {
    let house = House::new().await;
    let first = house.start("").await;
    house.sources(&first, &["a"]).await;
    first.stop().await;
    let good = std::fs::read(house.file()).unwrap();
    let torn = &good[..good.len() - 7];
    let foreign = b"#!/bin/sh\necho something else entirely, long enough to be a snapshot\n";
    for (what, bytes) in [("empty", &b""[..]), ("torn", torn), ("foreign", foreign)] {
        std::fs::write(house.file(), bytes).unwrap();
        let mut process = house.start("").await;
        process.wait_for("snapshot ignored").await;
        assert_eq!(house.sources(&process, &["a", "a"]).await, ["MISS", "HIT"]);
        let stderr = process.stop().await;
        assert_eq!(warnings(&stderr).len(), 1, "{what}: {stderr}");
        if what == "foreign" {
            assert_eq!(std::fs::read(house.file()).unwrap(), foreign, "it stays");
            continue;
        }
        // What it had to say itself is there now.
        let next = house.resume().await;
        assert_eq!(house.sources(&next, &["a"]).await, ["HIT"], "{what}");
        next.stop().await;
    }
}

#[tokio::test]
async fn a_place_that_is_gone_costs_one_warning_for_each_try() {
    let house = House::new().await;
    let process = house.start("").await;
    assert_eq!(house.sources(&process, &["a"]).await, ["MISS"]);
    std::fs::remove_dir_all(house.directory.path()).unwrap();
    assert_eq!(house.sources(&process, &["a", "b"]).await, ["HIT", "MISS"]);
    assert_eq!(warnings(&process.stderr()), [""; 0]);
    let stderr = process.stop().await;
    let warnings = warnings(&stderr);
    assert_eq!(warnings.len(), 1, "{stderr}");
    assert!(warnings[0].contains("snapshot not written"), "{stderr}");

    // A clear is carried out all the same.
    std::fs::create_dir(house.directory.path()).unwrap();
    let mut process = house.start("").await;
    house.sources(&process, &["a"]).await;
    std::fs::remove_dir_all(house.directory.path()).unwrap();
    assert_eq!(house.clear(&process, "").await, 1);
    process.wait_for("snapshot not written").await;
    assert_eq!(house.sources(&process, &["a"]).await, ["MISS"]);
    std::fs::create_dir(house.directory.path()).unwrap();
    process.stop().await;
    let next = house.resume().await;
    assert_eq!(house.sources(&next, &["a"]).await, ["HIT"]);
}

#[tokio::test]
async fn a_cache_that_is_off_neither_reads_nor_writes() {
    let house = House::new().await;
    let process = house.start("cache.enabled = false").await;
    house.sources(&process, &["a"]).await;
    house.clear(&process, "").await;
    process.stop().await;
    assert_eq!(house.names(), [""; 0]);
    std::fs::write(house.file(), "something").unwrap();
    let process = house.start("cache.enabled = false").await;
    assert_eq!(house.sources(&process, &["a"]).await, ["BYPASS"]);
    let stderr = process.stop().await;
    assert!(!stderr.contains("snapshot"), "{stderr}");
    assert_eq!(std::fs::read(house.file()).unwrap(), b"something");
}
