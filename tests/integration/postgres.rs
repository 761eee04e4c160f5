//! The ledger that instances share in PostgreSQL: what they write is there once, whatever happens to the server, to the
//! connections and to themselves, and none of it is ever in the way of a request.

use serde_json::Value;

use crate::process::{Process, command, config_file, run};
use crate::support::{Answer, Client, PASSWORD, PostgresServer, Upstream, ask, within};

mod budgets;
mod cuts;
mod outages;
mod tls;

/// What the log says when the ledger cannot be written.
const FAILS: &str = "the ledger cannot be written; its rows are kept in memory for now";
/// And when it can be.
const WORKS: &str = "the ledger can be written again";

/// A proxy with a shared ledger, as a process of its own.
async fn process(upstream: &Upstream, server: &PostgresServer) -> (Process, Client) {
    let settings = format!("upstream.base_url = \"http://{}/v1\"\n", upstream.address);
    let url = server.url();
    let process = Process::start(&settings, &[], &[("PEGASUS_LEDGER__URL", &url)]).await;
    let client = Client::new(process.address());
    (process, client)
}

/// So many requests of this name, each of which is answered.
async fn make(client: &Client, name: &str, n: usize) {
    for at in 0..n {
        let answer = client.chat(&ask(&format!("{name} {at}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Waits until reports have so many requests.
async fn reports(client: &Client, requests: u64) -> Value {
    within("the report of all requests", async {
        loop {
            let answer = client.get("/api/usage").await;
            if answer.status == 200 {
                let report = answer.json();
                if report["total"]["requests"] == requests {
                    return report;
                }
            }
        }
    })
    .await
}

/// A report is refused for now.
fn assert_away(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["code"], "ledger_unavailable", "{body}");
    assert_eq!(answer.header("retry-after"), "5");
    assert!(!body.to_string().contains(PASSWORD), "{body}");
}

/// The ledger has so many requests, each of them once, and says the same of them everywhere.
fn assert_entered(server: &PostgresServer, requests: usize) {
    let found = server.run(
        "SELECT count(*), count(DISTINCT id), sum(requests), (SELECT sum(requests) FROM hours) FROM requests",
    );
    let expected = [requests; 4].map(|count| count.to_string()).join("|");
    assert_eq!(found, expected);
}

#[tokio::test]
async fn two_processes_share_a_ledger_and_lose_nothing_but_a_last_second() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    let (one, asks_one) = process(&upstream, &server).await;
    let (other, asks_other) = process(&upstream, &server).await;
    tokio::join!(make(&asks_one, "a", 30), make(&asks_other, "b", 30));
    let report = reports(&asks_one, 60).await;
    assert_eq!(report["total"]["promptTokens"], 60 * 11);
    assert_eq!(reports(&asks_other, 60).await["total"], report["total"]);

    make(&asks_one, "c", 20).await;
    one.signal("KILL").await;
    let (_, log) = one.wait().await;
    assert!(!log.contains(PASSWORD) && !log.contains(FAILS), "{log}");
    let (again, asks_again) = process(&upstream, &server).await;
    let total = asks_again.get("/api/usage").await.json()["total"].take();
    let kept = total["requests"].as_u64().unwrap();
    assert!((60..=80).contains(&kept), "{total}");
    assert_eq!(total["promptTokens"], kept * 11);

    // An orderly end loses nothing at all.
    make(&asks_again, "d", 10).await;
    make(&asks_other, "e", 10).await;
    for process in [again, other] {
        let log = process.stop().await;
        assert!(log.contains("the ledger is in PostgreSQL"), "{log}");
        for word in [PASSWORD, FAILS, "could not be written"] {
            assert!(!log.contains(word), "{log}");
        }
    }
    assert_entered(&server, usize::try_from(kept).unwrap() + 20);
}

#[tokio::test]
async fn a_bad_address_stops_the_start_and_is_not_repeated() {
    let file = config_file("[ledger]\nurl = \"postgres://me:canary@host/books?sslmode=full\"");
    let mut command = command(&["--config", file.path().to_str().unwrap()]);
    let output = run(&mut command).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("ledger.url") && told.contains("verify-full") && !told.contains("canary"),
        "{told}"
    );
}
