//! What the parts cost by themselves: `cargo bench --bench layers`, or with a part of a name behind `--`.

use std::future::{pending, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, Method, StatusCode};
use pegasus_nest::chat::{self, Quality, Usage, Watch};
use pegasus_nest::compressor::{Compressor, Level, Role};
use pegasus_nest::config::{Config, Eviction};
use pegasus_nest::error::ProxyError;
use pegasus_nest::fingerprint::{Fingerprint, Scope, alias, digest, fingerprint};
use pegasus_nest::json::Json;
use pegasus_nest::layers::dedup::{DedupLayer, Flights};
use pegasus_nest::reply::{Head, Provenance, Reply, Whole, Worth};
use pegasus_nest::request::{CacheControl, Chat, Content, Parts, ProxyRequest, Route};
use pegasus_nest::sse;
use pegasus_nest::stack;
use pegasus_nest::store::{Entry, Limits, Memory};
use tokio::time::Instant;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

const KIB: usize = 1024;
const SIZES: [usize; 3] = [2 * KIB, 32 * KIB, 256 * KIB];
const THREADS: usize = 16;

/// What people and programs write: a role, rules, a table, prose. A number keeps texts apart.
fn prose(bytes: usize, number: usize) -> String {
    let paragraph = "You are the assistant of a small library by the sea. Answer the reader's question in two or three \
        sentences.\n\n## Rules\n\n- Name the book's title and its author.\n- Say where it stands: the hall, the shelf and the \
        number.\n- If the library does not have it, say so, and name one that is near to it.\n\n| title | author | hall |\n\
        |---|---|---|\n| The Tides | M. Orr | east |\n| Nets and Knots | P. Vane | west |\n\nThe reader has been here twice \
        this month, and likes long evenings, stories of weather, and maps that fold.\n\n";
    let mut text = format!("Visit {number}. ");
    while text.len() < bytes {
        text.push_str(paragraph);
    }
    text.truncate(bytes);
    text
}

fn body(bytes: usize, number: usize) -> Bytes {
    let messages = serde_json::json!([
        {"role": "system", "content": prose(bytes - 100, number)},
        {"role": "user", "content": "Which book is it?"},
    ]);
    serde_json::json!({"model": "m", "temperature": 0.2, "messages": messages})
        .to_string()
        .into()
}

fn request(bytes: usize, number: usize) -> ProxyRequest {
    request_of(body(bytes, number))
}

fn request_of(body: Bytes) -> ProxyRequest {
    let chat = Chat::new(Json::parse(body).expect("it is JSON"), &[]);
    let parts = Parts {
        method: Method::POST,
        path: "/chat/completions".into(),
        headers: HeaderMap::new(),
        authorization: None,
        scope: Scope::Anonymous,
        cache_control: CacheControl::default(),
        ttl: Duration::from_hours(1),
        level: None,
        route: Route::ChatCompletions,
        deadline: Instant::now() + Duration::from_hours(1),
        account: Arc::default(),
        asks_for_usage: false,
        refuses_overflow: false,
    };
    ProxyRequest::new(parts, Content::Chat(Box::new(chat)))
}

fn answer() -> Bytes {
    let text = "All work and no play makes a model dull. ".repeat(30);
    serde_json::json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 420, "completion_tokens": 260, "total_tokens": 680},
    })
    .to_string()
    .into()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
}

fn identity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identity");
    let none = HeaderMap::new();
    for size in SIZES {
        let body = body(size, 0);
        let json = Json::parse(body.clone()).expect("it is JSON");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(
            BenchmarkId::new("fingerprint", size),
            &json,
            |bench, json| {
                bench.iter(|| {
                    fingerprint(
                        None,
                        Scope::Anonymous,
                        "/chat/completions",
                        &none,
                        json.root(),
                        &[],
                    )
                });
            },
        );
        group.bench_with_input(BenchmarkId::new("alias", size), &body, |bench, body| {
            bench.iter(|| {
                alias(
                    None,
                    Scope::Anonymous,
                    "/chat/completions",
                    &none,
                    b"1",
                    &[],
                    body,
                )
            });
        });
        group.bench_with_input(
            BenchmarkId::new("parse and validate", size),
            &body,
            |bench, body| {
                bench.iter(|| {
                    let json = Json::parse(body.clone()).expect("it is JSON");
                    chat::validate(json.root()).expect("it is a chat");
                    json
                });
            },
        );
    }
    group.finish();
    let answer = answer();
    criterion.bench_function("answer/read", |bench| {
        bench.iter(|| chat::read_answer(black_box(&answer)).expect("it is good"));
    });
}

fn compressor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compress");
    for level in [Level::Safe, Level::Balanced, Level::Aggressive] {
        for size in SIZES {
            let text = prose(size, 0);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(
                BenchmarkId::new(level.as_str(), size),
                &text,
                |bench, text| {
                    bench.iter(|| Compressor::new(level).compress(text, Role::System));
                },
            );
        }
    }
    group.finish();
}

fn entry() -> Arc<Entry> {
    let usage = Usage {
        total_tokens: 680,
        ..Usage::default()
    };
    Arc::new(Entry::new(answer(), usage, "m", digest(b"anonymous")))
}

fn key(number: usize) -> Fingerprint {
    digest(&number.to_le_bytes())
}

/// Time per operation with all threads at work.
fn on_all_threads(times: u64, work: impl Fn(usize) + Sync) -> Duration {
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let work = &work;
            scope.spawn(move || {
                for turn in 0..times {
                    work(number + turn * THREADS);
                }
            });
        }
    });
    begun.elapsed() / u32::try_from(THREADS).unwrap_or(1)
}

fn store(criterion: &mut Criterion) {
    let limits = Limits {
        life: Duration::from_hours(1),
        max_entries: 1_000,
        max_bytes: 256 * 1024 * 1024,
        eviction: Eviction::Lru,
    };
    let mut group = criterion.benchmark_group("store, 16 threads");
    let keys: Vec<_> = (0..4_000).map(key).collect();
    let memory = Memory::new(limits);
    for key in &keys[..1_000] {
        memory
            .store(*key, entry(), memory.generation())
            .expect("there is room");
    }
    group.bench_function("get", |bench| {
        bench.iter_custom(|times| {
            on_all_threads(times, |turn| {
                black_box(memory.find(keys[turn % 1_000]));
            })
        });
    });
    let entry = entry();
    group.bench_function("insert and evict", |bench| {
        bench.iter_custom(|times| {
            on_all_threads(times, |turn| {
                let stored = memory.store(
                    keys[turn % keys.len()],
                    Arc::clone(&entry),
                    memory.generation(),
                );
                stored.expect("there is room");
            })
        });
    });
    group.finish();
}

fn dedup(criterion: &mut Criterion) {
    let runtime = runtime();
    let never = service_fn(|_: ProxyRequest| pending::<Result<Reply, ProxyError>>());
    let mut service = DedupLayer::new(Flights::default()).layer(never);
    runtime.block_on(async {
        let leader = service.call(request(2 * KIB, 0));
        // The same request, as a follower has it: its fingerprint is known.
        let follower = request(2 * KIB, 0);
        let _ = follower.fingerprint();
        criterion.bench_function("dedup/join and leave", |bench| {
            bench.iter(|| drop(service.call(follower.clone())));
        });
        drop(leader);
    });
}

fn events(criterion: &mut Criterion) {
    let event = |number: usize| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":" word {number}"}},"finish_reason":null}}]}}"#
        )
    };
    let mut group = criterion.benchmark_group("sse, an event");
    let written: Bytes = format!("data: {}\n\n", event(0)).into();
    let data: Bytes = event(0).into();
    group.throughput(Throughput::Bytes(written.len() as u64));
    group.bench_function("decode", |bench| {
        let mut decoder = sse::Decoder::new(KIB * KIB);
        let mut events = Vec::new();
        bench.iter(|| {
            events.clear();
            decoder.feed(&written, &mut events).expect("it is small");
            black_box(&events);
        });
    });
    group.bench_function("watch", |bench| {
        let mut watch = Watch::new();
        bench.iter(|| watch.chunk(black_box(&data)).is_ok());
    });
    group.bench_function("encode", |bench| {
        bench.iter_batched_ref(
            BytesMut::new,
            |out| sse::encode(&data, out),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// All layers, with a service that has its answer ready in the place of the upstream.
fn whole_stack(criterion: &mut Criterion) {
    let runtime = runtime();
    let stack = runtime.block_on(async {
        let leaf = service_fn(|_: ProxyRequest| {
            let usage = Usage {
                total_tokens: 680,
                ..Usage::default()
            };
            ready(Ok::<_, ProxyError>(Reply::Whole(Whole {
                head: Head {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    provenance: Provenance::Miss { stored: false },
                },
                body: answer(),
                answer: Some(Worth {
                    served: None,
                    usage,
                    quality: Quality::Stop,
                }),
            })))
        });
        stack::over(&Config::default(), Arc::default(), leaf)
    });
    let mut group = criterion.benchmark_group("stack, 2 KB");
    group.bench_function("hit", |bench| {
        bench.to_async(&runtime).iter_batched(
            || request(2 * KIB, 0),
            |request| stack.service.clone().oneshot(request),
            BatchSize::SmallInput,
        );
    });
    // No number comes twice, however often these closures run.
    let next = AtomicUsize::new(1);
    group.bench_function("miss, the system prompt known", |bench| {
        bench.to_async(&runtime).iter_batched(
            || {
                let body = body(2 * KIB, 0);
                let body = std::str::from_utf8(&body).expect("it is text");
                let number = next.fetch_add(1, Ordering::Relaxed);
                let body = body.replace("Which book", &format!("Which book of {number}"));
                request_of(body.into())
            },
            |request| stack.service.clone().oneshot(request),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("miss, all of it new", |bench| {
        bench.to_async(&runtime).iter_batched(
            || request(2 * KIB, next.fetch_add(1, Ordering::Relaxed)),
            |request| stack.service.clone().oneshot(request),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(
    benches,
    identity,
    compressor,
    store,
    dedup,
    events,
    whole_stack
);
criterion_main!(benches);
