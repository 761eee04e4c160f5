//! The load behind `tests/soak.sh`: everything at once for a long time, and at its end nothing may be left of it.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for tests"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use process::Process;
use support::{Act, Client, End, Gate, Recorded, Upstream, delta, event, finish, within};

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../integration/process.rs"]
mod process;
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../integration/support.rs"]
mod support;

/// Small limits, so that each is reached again and again, and short times, so that each runs out.
const SETTINGS: &str = "\
[server]\nmax_in_flight = 200\nheader_read_timeout = \"2s\"\nbody_read_timeout = \"2s\"\nwrite_timeout = \"2s\"\n\
[upstream]\nmax_connections = 100\nread_timeout = \"500ms\"\ntotal_timeout = \"2s\"\nidle_timeout = \"3s\"\n\
max_connection_age = \"20s\"\nmax_response_bytes = \"4MiB\"\n\
[cache]\nmax_entries = 2000\nmax_bytes = \"32MiB\"\nttl = \"30s\"\nsweep_interval = \"10s\"\nstale_if_error = \"30s\"\n\
[breaker]\nopen_for = \"1s\"\n[retry]\nbase_delay = \"10ms\"\nmax_delay = \"50ms\"\n[log]\nlevel = \"warn,pegasus_nest=info,pegasus_nest::edge=error,pegasus_nest::layers=error\"\n";

/// The calls that the sockets allow, and the requests that the proxy works on at once, as set above.
const SOCKETS: usize = 100;
const PLACES: usize = 200;

const WORKERS: usize = 48;
/// Names of models that fail; each has a circuit of its own.
const FAILING_MODELS: u64 = 40;
/// What may be added to the memory that the first quarter took.
const SLACK: usize = 12 << 20;
const REPORT: Duration = Duration::from_secs(10);

/// What one request is to be like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Hit,
    Miss,
    Stream,
    Fault,
    HangUp,
    Create,
    Forwarded,
    Garbage,
    SlowHead,
    Health,
}

/// So many of a hundred.
const MIX: [(Kind, u64); 10] = [
    (Kind::Hit, 40),
    (Kind::Miss, 16),
    (Kind::Stream, 12),
    (Kind::Fault, 10),
    (Kind::HangUp, 6),
    (Kind::Create, 6),
    (Kind::Forwarded, 4),
    (Kind::Garbage, 3),
    (Kind::SlowHead, 1),
    (Kind::Health, 2),
];

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    /// Good requests that did not get a good answer, other than by a limit that they met.
    bad: AtomicU64,
    limited: AtomicU64,
    hung_up: AtomicU64,
}

struct Soak {
    client: Client,
    tally: Tally,
    is_over: AtomicBool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(600));
    let upstream = Upstream::start().await;
    upstream.script(perform);
    let url = format!("http://{}/v1", upstream.address);
    let process = Process::start(SETTINGS, &["--upstream", &url], &[]).await;
    let soak = Arc::new(Soak {
        client: Client::new(process.address()),
        tally: Tally::default(),
        is_over: AtomicBool::new(false),
    });
    let begun = Instant::now();
    let at_rest = process.descriptors();
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        workers.spawn(Arc::clone(&soak).work(number));
    }
    let mut settled = 0;
    while begun.elapsed() < length {
        sleep(REPORT.min(length / 8)).await;
        // The scripted upstream remembers what it was asked, and this is much.
        upstream.forget_requests();
        soak.report(&process, begun.elapsed());
        if begun.elapsed() >= length / 4 && settled == 0 {
            settled = process.resident_bytes();
        }
    }
    soak.is_over.store(true, Relaxed);
    within("the last requests", workers.join_all()).await;
    let loaded = process.resident_bytes();
    let (cpu, sent) = (process.cpu_time(), soak.tally.sent.load(Relaxed));
    println!("load is over: {sent} requests, {cpu:.1?} of processor time");

    let mut complaints = Vec::new();
    let mut expect = |is_so: bool, what: String| {
        println!("{} {what}", if is_so { "ok    " } else { "NOT OK" });
        complaints.extend((!is_so).then_some(what));
    };
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    expect(
        loaded <= settled + SLACK,
        format!(
            "memory: {} after a quarter, {} at the end",
            mib(settled),
            mib(loaded)
        ),
    );
    let bad = soak.tally.bad.load(Relaxed);
    expect(
        bad == 0,
        format!("{bad} good requests without a good answer"),
    );
    expect(soak.has_no_flights().await, "no flight is left".to_owned());
    let free = soak.places_are_free(&upstream).await;
    expect(
        free == (SOCKETS, PLACES),
        format!("sockets and places free: {free:?}"),
    );
    upstream.script(|request| request.answer("Well again."));
    soak.close_circuits().await;
    let health = soak.client.get("/health").await.json();
    expect(health["status"] == "ok", format!("health: {health}"));
    let left = soak.descriptors_at_rest(&process, at_rest).await;
    expect(
        left <= at_rest,
        format!("descriptors: {at_rest} before, {left} after"),
    );
    let log = process.stop().await;
    let panics = log.matches("panicked").count();
    expect(panics == 0, format!("{panics} panics in the log"));
    if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the upstream does, as the prompt says.
fn perform(request: &Recorded) -> Act {
    let prompt = request.prompt();
    let fault = prompt
        .strip_prefix("fault ")
        .and_then(|rest| rest.split(' ').next());
    let piece = || Act::stream().chunk(event(&delta("Once upon ")));
    match fault
        .and_then(|number| number.parse::<u64>().ok())
        .map(|number| number % 16)
    {
        None if prompt.starts_with("endless") => Act::stream().flood(event(&delta("more "))),
        None if prompt.starts_with("held") => Act::only(End::Silence),
        None => request.answer(&"An answer of some length. ".repeat(80)),
        Some(0) => Act::error(500, &[]),
        Some(1) => Act::error(503, &[("retry-after", "1")]),
        Some(2) => Act::error(429, &[("retry-after", "60")]),
        Some(3) => Act::only(End::Reset),
        Some(4) => Act::only(End::Close),
        Some(5) => Act::only(End::Silence),
        Some(6) => Act::only(End::HalfClose),
        Some(7) => Act::response(
            200,
            &[("content-type", "application/json")],
            "{\"choices\": [",
        ),
        Some(8) => Act::bytes("nothing that is HTTP\r\n\r\n").then(End::Close),
        Some(9) => piece().then(End::Close),
        Some(10) => piece().then(End::Silence),
        Some(11) => piece()
            .chunk(event("{\"error\": {\"message\": \"no\"}}"))
            .last_chunk(),
        Some(12) => Act::encoded("gzip", b"no gzip"),
        Some(13) => Act::gzip(&vec![b' '; 8 << 20]),
        Some(14) => piece()
            .chunk(event(&finish("length")))
            .chunk(event("[DONE]"))
            .last_chunk(),
        Some(_) => {
            Act::chunked(200, &[("content-type", "application/json")]).flood(" ".repeat(65_536))
        }
    }
}

fn ask(model: &str, prompt: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": prompt}]})
}

impl Soak {
    async fn work(self: Arc<Self>, number: usize) {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let mut n = 0_u64;
        while !self.is_over.load(Relaxed) {
            let mut dice = random.u64(0..100);
            let kind = MIX.iter().find(|(_, share)| {
                let is_it = dice < *share;
                dice = dice.wrapping_sub(if is_it { 0 } else { *share });
                is_it
            });
            n += 1;
            self.tally.sent.fetch_add(1, Relaxed);
            let (kind, unique) = (kind.unwrap().0, format!("{number}/{n}"));
            self.once(kind, &unique, &mut random).await;
        }
    }

    async fn once(&self, kind: Kind, unique: &str, random: &mut fastrand::Rng) {
        const CHAT: &str = "/v1/chat/completions";
        let long = "Tell me of it in some detail, please, and leave nothing out. ".repeat(20);
        match kind {
            Kind::Hit => {
                // Some are asked for more often than others.
                let popular = random.u64(0..300).min(random.u64(0..300));
                let body = ask("m", &format!("popular {popular} {long}"), random.bool());
                self.good(CHAT, &body).await;
            }
            Kind::Miss => {
                self.good(CHAT, &ask("m", &format!("{unique} {long}"), false))
                    .await;
            }
            Kind::Stream => {
                self.good(CHAT, &ask("m", &format!("{unique} {long}"), true))
                    .await;
            }
            Kind::Create => {
                self.good("/create", &json!({"prompt": format!("{unique} {long}")}))
                    .await;
            }
            Kind::Forwarded => {
                self.good("/v1/embeddings", &json!({"model": "e", "input": unique}))
                    .await;
            }
            Kind::Fault => {
                let model = format!("failing-{}", random.u64(0..FAILING_MODELS));
                let prompt = format!("fault {} {unique}", random.u64(..));
                let body = ask(&model, &prompt, random.bool());
                let request = self
                    .client
                    .request(http::Method::POST, CHAT)
                    .body(body.to_string());
                // Whatever it is, it comes to an end.
                let answer = within("the end of a faulty call", async {
                    match request
                        .header("content-type", "application/json")
                        .send()
                        .await
                    {
                        Ok(response) => response.bytes().await.map(|_| ()),
                        Err(error) => Err(error),
                    }
                });
                let _ = answer.await;
            }
            Kind::HangUp => self.hang_up(unique, random).await,
            Kind::Garbage => {
                let body = &["{", "[]", "{\"model\": 5}", "\u{0}", "{\"messages\": []}"];
                let body = *random.choice(body).unwrap();
                let request = self.client.request(http::Method::POST, CHAT).body(body);
                let request = request.header("content-type", "application/json");
                let status = within("a refusal", request.send()).await.unwrap().status();
                self.check(status.is_client_error() || status == 503);
            }
            Kind::SlowHead => {
                let mut stream = TcpStream::connect(self.client.address).await.unwrap();
                let _ = stream
                    .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nx: ")
                    .await;
                let mut rest = Vec::new();
                let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
                let _ = within("the cut of a slow head", read).await;
            }
            Kind::Health => {
                let answer = self.client.get("/health/live").await;
                self.check(answer.status == 200);
            }
        }
    }

    /// Asks something that is to be answered.
    async fn good(&self, path: &str, body: &Value) {
        let answer = self.client.post(path, body, &[]).await;
        if matches!(answer.status, 429 | 503) {
            self.tally.limited.fetch_add(1, Relaxed);
            return;
        }
        let is_stream = body["stream"] == true;
        let is_whole = !is_stream || answer.body.ends_with(b"data: [DONE]\n\n");
        let is_good = answer.status == 200 && is_whole;
        if !is_good {
            println!(
                "{path}: {} {:?}",
                answer.status,
                answer.body.slice(..answer.body.len().min(300))
            );
        }
        self.check(is_good);
    }

    /// Asks, and leaves before or amid the answer.
    async fn hang_up(&self, unique: &str, random: &mut fastrand::Rng) {
        self.tally.hung_up.fetch_add(1, Relaxed);
        let (prompt, stream) = *random
            .choice(&[
                ("held", false),
                ("held", true),
                ("endless", true),
                ("popular", true),
            ])
            .unwrap();
        let body = ask("m", &format!("{prompt} {unique}"), stream);
        let request = self
            .client
            .request(http::Method::POST, "/v1/chat/completions");
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        let patience = Duration::from_millis(random.u64(1..60));
        let _ = timeout(patience, async {
            if let Ok(mut response) = request.send().await {
                while let Ok(Some(_)) = response.chunk().await {}
            }
        })
        .await;
    }

    fn check(&self, is_good: bool) {
        self.tally.bad.fetch_add(u64::from(!is_good), Relaxed);
    }

    fn report(&self, process: &Process, elapsed: Duration) {
        let Tally {
            sent,
            bad,
            limited,
            hung_up,
        } = &self.tally;
        println!(
            "{:4} s  {:8} sent, {} bad, {} met a limit, {} hung up; {:4} MiB, {:3} descriptors, {:.1?} of processor time",
            elapsed.as_secs(),
            sent.load(Relaxed),
            bad.load(Relaxed),
            limited.load(Relaxed),
            hung_up.load(Relaxed),
            process.resident_bytes() >> 20,
            process.descriptors(),
            process.cpu_time(),
        );
    }

    async fn has_no_flights(&self) -> bool {
        let none = async {
            loop {
                let stats = self.client.get("/api/optimization-stats").await.json();
                if stats["dedup"]["inFlight"] == 0 {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(20), none).await.is_ok()
    }

    /// How many calls reach the upstream at once, and how many requests are worked on at once, when both are wanted.
    async fn places_are_free(self: &Arc<Self>, upstream: &Upstream) -> (usize, usize) {
        let gate = Gate::new();
        let behind = gate.clone();
        upstream.script(move |request| request.answer("At last.").after(&behind));
        let mut asking = JoinSet::new();
        let refused = Arc::new(AtomicU64::new(0));
        for number in 0..PLACES + 20 {
            let (soak, refused) = (Arc::clone(self), Arc::clone(&refused));
            asking.spawn(async move {
                let body = ask("m", &format!("place {number}"), false);
                let answer = soak.client.post("/v1/chat/completions", &body, &[]).await;
                let is_full = answer.json()["error"]["code"] == "overloaded";
                refused.fetch_add(u64::from(is_full), Relaxed);
            });
        }
        // All who find no place are told so at once; the others are held, by the gate or by the want of a socket.
        let full = async {
            while refused.load(Relaxed) < 20 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(Duration::from_millis(1_500), full).await;
        let busy = upstream.counts().busy;
        let refused = usize::try_from(refused.load(Relaxed)).unwrap();
        let placed = PLACES + 20 - refused;
        gate.open();
        within("everybody's answer", asking.join_all()).await;
        (busy, placed)
    }

    /// Asks each model that failed until it answers.
    async fn close_circuits(&self) {
        for number in 0..FAILING_MODELS {
            let body = ask(&format!("failing-{number}"), "Are you well again?", false);
            let well = async {
                while self
                    .client
                    .post("/v1/chat/completions", &body, &[])
                    .await
                    .status
                    != 200
                {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            within("a model that is well again", well).await;
        }
    }

    /// The descriptors when idle connections have been closed on both sides.
    async fn descriptors_at_rest(&self, process: &Process, at_rest: usize) -> usize {
        for _ in 0..80 {
            if process.descriptors() <= at_rest {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        process.descriptors()
    }
}
