//! The line that sums up an interval in the log.

use super::*;
use crate::process::Process;
use crate::support::Client;

#[tokio::test]
async fn the_log_sums_up_what_happened() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let settings = format!(
        "[upstream]\nbase_url = \"http://{}/v1\"\n[log]\nsummary_interval = \"100ms\"",
        upstream.address
    );
    let mut process = Process::start(&settings, &[], &[]).await;
    let client = Client::new(process.address());
    let sums = |stderr: &str| {
        let lines = stderr.lines().filter(|line| line.contains(" summary "));
        let number = |line: &str, field: &str| -> u64 {
            let (_, rest) = line.split_once(field).unwrap_or_else(|| panic!("{line}"));
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            digits.parse().unwrap()
        };
        let mut sums = [0; 2];
        for line in lines {
            assert!(number(line, " memory_bytes=") > 1_000_000, "{line}");
            assert!(number(line, " descriptors=") > 5, "{line}");
            assert!(line.contains(" ledger_queue=0 "), "{line}");
            sums[0] += number(line, " requests=");
            sums[1] += number(line, " tokens_saved=");
        }
        sums
    };
    for _ in 0..2 {
        client.chat(&asking("a", "q|100,10,0")).await;
    }
    // However many intervals they fell into.
    process
        .wait_for_stderr(|stderr| sums(stderr) == [2, 110])
        .await;
    // Nobody asks any more, and nobody writes: the lines are those of these two.
    let lines = |stderr: &str| stderr.matches(" summary ").count();
    let stderr = process.stop().await;
    assert!((1..=2).contains(&lines(&stderr)), "{stderr}");
}
