//! An interrupt ends the reading, not the report.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{asking, figure};
use crate::process::command;
use crate::support::within;

#[tokio::test]
async fn an_interrupt_prints_what_there_is() {
    let mut child = command(&["estimate", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = asking("a", "q").to_string() + "\n";
    // More than a pipe holds: when all is written, most of it has been read, and signals have long been waited for.
    for _ in 0..20_000 {
        input.write_all(line.as_bytes()).await.unwrap();
    }
    let kill = format!("kill -s INT {}", child.id().unwrap());
    let killed = Command::new("/bin/sh")
        .args(["-c", &kill])
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    // The log never ends: who reads it must. The report may be more than its pipe holds.
    let mut out = Vec::new();
    let mut output = child.stdout.take().unwrap();
    within("the end of the reading", async {
        let writing = async {
            while input.write_all(line.as_bytes()).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writing, async {
            output.read_to_end(&mut out).await.unwrap()
        });
    })
    .await;
    assert!(child.wait().await.unwrap().success());
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["log"]["interrupted"], true);
    assert!(figure(&report, "/log/requests") > 10_000);
}
