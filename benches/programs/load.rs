//! The loads of `benches/compare.sh` that ordinary generators cannot make: streams whose events carry the time at
//! which they left, crowds that ask the same at once, connections that do nothing.
//!
//! ```text
//! load streams --to HOST:PORT [--connections 64] [--seconds 3]   events, and how long each was on its way
//! load first   --to HOST:PORT --direct HOST:PORT [--rounds 300]  time to first token, beside the direct way
//! load crowd   --to HOST:PORT [--connections 100] [--rounds 10]  last answer after the model's, calls made
//! load idle    --to HOST:PORT --connections N                    holds them until its input ends
//! load waiting --to HOST:PORT --connections N                    the same with a call on each, which the model holds
//! load start   --to HOST:PORT [--rounds 20] -- COMMAND…          from the command's start to its first answer
//! ```

use std::error::Error;
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number =
        |name: &str, default: usize| option(name).map_or(Ok(default), |value| value.parse());
    let to = option("--to").ok_or("--to HOST:PORT is missing")?;
    match arguments.get(1).map(String::as_str) {
        Some("streams") => {
            let seconds = number("--seconds", 3)? as u64;
            streams(
                &to,
                number("--connections", 64)?,
                Duration::from_secs(seconds),
            )
            .await
        }
        Some("first") => {
            let direct = option("--direct").ok_or("--direct HOST:PORT is missing")?;
            first(&to, &direct, number("--rounds", 300)?).await
        }
        Some("crowd") => crowd(&to, number("--connections", 100)?, number("--rounds", 10)?).await,
        Some("idle") => hold(&to, number("--connections", 1_000)?, false).await,
        Some("waiting") => hold(&to, number("--connections", 1_000)?, true).await,
        Some("start") => {
            let at = arguments.iter().position(|argument| argument == "--");
            let command = at.map_or(&[][..], |at| &arguments[at + 1..]);
            start(&to, command, number("--rounds", 20)?).await
        }
        _ => Err("load streams|first|crowd|idle|waiting|start --to HOST:PORT".into()),
    }
}

/// One stream after another on each connection. A line: events, streams, median and 99th percentile of the time (µs)
/// that an event was on its way.
async fn streams(to: &str, connections: usize, span: Duration) -> Fallible<()> {
    let end = Instant::now() + span;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..connections {
        let mut client = Client::connect(to).await?;
        tasks.spawn(async move {
            let (mut delays, mut count) = (Vec::new(), 0);
            while Instant::now() < end {
                let body = question(&format!("stream {number} {count} {}", now()), true);
                let mut response = client.post(body).await?;
                // All of it: a stream that is cut would cost what no client costs.
                while let Some(data) = next_data(&mut response).await? {
                    delays.extend(left_at(&data).map(|left| now().saturating_sub(left)));
                }
                count += 1;
            }
            Fallible::Ok((delays, count))
        });
    }
    let (mut delays, mut count) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (some, streams) = done??;
        delays.extend(some);
        count += streams;
    }
    say(&format!(
        "{} {count} {} {}",
        delays.len(),
        percentile(&mut delays, 50),
        percentile(&mut delays, 99)
    ));
    Ok(())
}

/// The time to the first event, by both ways in turn. A line: median through, median direct, median of the
/// differences of pairs, in µs.
async fn first(to: &str, direct: &str, rounds: usize) -> Fallible<()> {
    let (mut through, mut straight) = (Client::connect(to).await?, Client::connect(direct).await?);
    let (mut throughs, mut straights, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut times = [0_u128; 2];
        let mut ways = [(&mut through, 0), (&mut straight, 1)];
        // Neither way is always the first.
        ways.rotate_left(round % 2);
        for (client, way) in ways {
            let time = &mut times[way];
            let body = question(&format!("be brief {round} {}", now()), true);
            let asked = Instant::now();
            let mut response = client.post(body).await?;
            while let Some(data) = next_data(&mut response).await? {
                if *time == 0 && left_at(&data).is_some() {
                    *time = asked.elapsed().as_micros();
                }
            }
        }
        // The first rounds open connections.
        if round >= rounds / 10 {
            throughs.push(times[0]);
            straights.push(times[1]);
            differences.push(i128::try_from(times[0])? - i128::try_from(times[1])?);
        }
    }
    say(&format!(
        "{} {} {}",
        percentile(&mut throughs, 50),
        percentile(&mut straights, 50),
        percentile(&mut differences, 50)
    ));
    Ok(())
}

/// The same question from all connections at once. A line: median and longest time (µs) from the moment at which the
/// model's answer left to that at which the last caller had it.
async fn crowd(to: &str, connections: usize, rounds: usize) -> Fallible<()> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(to).await?);
    }
    let mut lags = Vec::new();
    for round in 0..rounds {
        let body = question(&format!("think first {round} {}", now()), false);
        let mut tasks = tokio::task::JoinSet::new();
        for mut client in clients.drain(..) {
            let body = body.clone();
            tasks.spawn(async move {
                let response = client.post(body).await?;
                let answer = response.into_body().collect().await?.to_bytes();
                let arrived = now();
                let left = left_at(&answer).ok_or("an answer without its time")?;
                Fallible::Ok((client, arrived.saturating_sub(left)))
            });
        }
        let mut last = 0;
        while let Some(done) = tasks.join_next().await {
            let (client, lag) = done??;
            clients.push(client);
            last = last.max(lag);
        }
        lags.push(last);
    }
    say(&format!(
        "{} {}",
        percentile(&mut lags, 50),
        percentile(&mut lags, 100)
    ));
    Ok(())
}

/// Opens connections, says so, and keeps them until the input ends.
async fn hold(to: &str, connections: usize, busy: bool) -> Fallible<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut held = Vec::new();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..connections {
        let mut client = Client::connect(to).await?;
        // Each has been used once: that is what idle connections of real clients have.
        let body = question("the same of all", false);
        client.post(body).await?.into_body().collect().await?;
        if busy {
            let body = question(&format!("wait long {number}"), false);
            calls.spawn(async move { client.post(body).await.map(|_| client) });
        } else {
            held.push(client);
        }
    }
    say("open");
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    input.await??;
    Ok(())
}

/// Starts a server again and again. A line: median and longest time (µs) from its start to the first answer, which is a
/// miss.
async fn start(to: &str, command: &[String], rounds: usize) -> Fallible<()> {
    let (program, arguments) = command.split_first().ok_or("-- COMMAND… is missing")?;
    let mut times = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        let mut server = std::process::Command::new(program)
            .args(arguments)
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let mut client = loop {
            match Client::connect(to).await {
                Ok(client) => break client,
                Err(error) if begun.elapsed() > Duration::from_secs(10) => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        };
        let response = client
            .post(question(&format!("start {round}"), false))
            .await?;
        let is_good = response.status().is_success();
        response.into_body().collect().await?;
        times.push(begun.elapsed().as_micros());
        server.kill()?;
        server.wait()?;
        if !is_good {
            return Err("the first answer is an error".into());
        }
    }
    say(&format!(
        "{} {}",
        percentile(&mut times, 50),
        percentile(&mut times, 100)
    ));
    Ok(())
}

/// A connection with a request at a time on it.
struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(to: &str) -> Fallible<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        #[expect(clippy::disallowed_methods, reason = "it ends with its sender")]
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    async fn post(&mut self, body: Bytes) -> Fallible<Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(header::HOST, "load")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        Ok(timeout(Duration::from_mins(1), self.sender.send_request(request)).await??)
    }
}

async fn next_data(response: &mut Response<Incoming>) -> Fallible<Option<Bytes>> {
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// 2 KB of chat.
fn question(what: &str, stream: bool) -> Bytes {
    let filler = "Tell me about the harbour and its boats. ".repeat(43);
    let messages = format!(r#"[{{"role":"user","content":"{what}. {filler}"}}]"#);
    format!(r#"{{"model":"bare","stream":{stream},"messages":{messages}}}"#).into()
}

/// The time at which an answer or an event left the model, which tells it in `created`.
fn left_at(data: &[u8]) -> Option<u128> {
    let at = memchr::memmem::find(data, b"\"created\":")? + 10;
    let digits = data[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(&data[at..at + digits])
        .ok()?
        .parse()
        .ok()
}

fn percentile<N: Copy + Default + Ord>(values: &mut [N], percent: usize) -> N {
    values.sort_unstable();
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// Microseconds since 1970: the model is another process on the same machine.
fn now() -> u128 {
    std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_micros()
}

#[expect(clippy::print_stdout, reason = "this is what the script reads")]
fn say(line: &str) {
    println!("{line}");
}
