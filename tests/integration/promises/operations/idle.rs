//! P95: doing nothing costs nothing, and what was opened is closed again.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::Nest;
use super::super::service::asking;
use crate::support::{Act, Client, End, Upstream, delta, event, within};

const SETTINGS: &str = "[server]\nheader_read_timeout = \"2s\"\nbody_read_timeout = \"1s\"\n[upstream]\nidle_timeout = \"200ms\"\n\
    [retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n[breaker]\nenabled = false\n";

/// Answers, streams, failures and hang-ups, fifty calls in all, and a hundred connections that ask for nothing good.
async fn bustle(upstream: &Upstream, nest: &Nest) {
    let client = Client::new(nest.address);
    for number in 0..50 {
        upstream.set(match number % 5 {
            0 | 1 => Act::streams(&["Hel", "lo."]),
            2 => Act::error(500, &[]),
            3 => Act::only(End::Reset),
            _ => Act::stream().chunk(event(&delta("Hel"))).then(End::Silence),
        });
        let (path, body) = asking(&format!("{number}"), number % 2 == 0)
            .into_iter()
            .nth(number % 3)
            .unwrap();
        let request = client
            .request(Method::POST, path)
            .header("content-type", "application/json");
        let asked = request.body(body.to_string()).send();
        if number % 5 == 4 {
            // The client leaves amid its answer.
            let before = upstream.calls();
            tokio::select! {
                biased;
                _ = upstream.wait_for("the call", |counts| counts.calls > before) => {}
                _ = async { asked.await.unwrap().bytes().await } => panic!("it never ends"),
            }
        } else {
            let _ = asked.await.unwrap().bytes().await;
        }
    }
    let mut connections = Vec::new();
    for number in 0..100 {
        let mut connection = TcpStream::connect(nest.address).await.unwrap();
        let say: &[u8] = match number % 5 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nho",
            2 => b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
            3 => b"POST /create HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{\"pro",
            _ => b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        };
        connection.write_all(say).await.unwrap();
        connections.push(connection);
    }
    // The first half is closed from here, the other by the proxy, in its time.
    for mut connection in connections.split_off(50) {
        let _ = within("the proxy's end", connection.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p95_idle_it_costs_nothing_and_its_descriptors_come_back() {
    let upstream = Upstream::start().await;
    let mut nest = Nest::with(&upstream, SETTINGS).await;
    // This client's connection is the one that stays.
    assert_eq!(nest.get("/health").await.status, 200);
    let before = nest.process().descriptors();

    bustle(&upstream, &nest).await;
    upstream
        .wait_for("the end of all upstream connections", |counts| {
            counts.open == 0
        })
        .await;
    within("the descriptors' return", async {
        loop {
            // As many as before with the connection that asks, which may be a new one.
            let live = nest.get("/health/live").await;
            assert_eq!(live.status, 200);
            if nest.process().descriptors() <= before {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;

    // A connection that says nothing is cut after the two seconds, in which nothing else happens.
    let mut silent = TcpStream::connect(nest.address).await.unwrap();
    let (begun, cpu) = (Instant::now(), nest.process().cpu_time());
    let mut all = Vec::new();
    within("the cut", silent.read_to_end(&mut all))
        .await
        .unwrap();
    let (elapsed, cost) = (
        begun.elapsed(),
        nest.process().cpu_time().saturating_sub(cpu),
    );
    assert!(elapsed.as_millis() > 1_500, "it was cut after {elapsed:?}");
    assert!(cost * 100 < elapsed * 3, "{cost:?} of {elapsed:?}");
}
