//! The servers that `benches/compare.sh` measures beside ours, and the model behind all of them: no more code than the
//! task needs, as one writes it who wants to know what the libraries cost.
//!
//! `bare constant|forward|model --listen ADDR [--upstream URL]`

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, header};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::time::{interval, sleep};

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the model says, whole: 1.5 KB.
const TEXT_BYTES: usize = 1_170;
/// The same as a stream: so many events, so far apart.
const EVENTS: usize = 100;
const EVENT_EVERY: Duration = Duration::from_millis(10);
/// How long the model thinks where the prompt says so.
const THINKING: Duration = Duration::from_millis(200);
/// The same where it is to wait until nobody looks any more.
const WAITING: Duration = Duration::from_secs(25);

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let listen = option("--listen").unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(listen).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    match arguments.get(1).map(String::as_str) {
        Some("constant") => constant(listener).await,
        Some("forward") => forward(listener, option("--upstream").unwrap_or_default()).await,
        Some("model") => model(listener).await,
        _ => Err("bare constant|forward|model --listen ADDR [--upstream URL]".into()),
    }
}

/// axum, which reads the request and gives the same answer to each.
async fn constant(listener: TcpListener) -> Fallible<()> {
    let answer = Bytes::from(whole(1_760_000_000));
    let routes = Router::new().route(
        "/v1/chat/completions",
        post(move |_: Bytes| {
            let answer = answer.clone();
            async move { ([(header::CONTENT_TYPE, "application/json")], answer) }
        }),
    );
    Ok(axum::serve(listener, routes).await?)
}

/// hyper before hyper-util's client: every request goes on, every answer comes back.
async fn forward(listener: TcpListener, upstream: String) -> Fallible<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let authority: Arc<str> = upstream.trim_start_matches("http://").into();
    serve(listener, move |mut request: Request<Incoming>| {
        let (client, authority) = (client.clone(), Arc::clone(&authority));
        async move {
            let path = request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str());
            let uri = Uri::builder()
                .scheme("http")
                .authority(&*authority)
                .path_and_query(path)
                .build()?;
            *request.uri_mut() = uri;
            request.headers_mut().remove(header::HOST);
            Ok(client.request(request).await?.map(BodyExt::boxed_unsync))
        }
    })
    .await
}

/// A model: answers at once, or as a stream of events, or (where the prompt asks it to think) after a while. `GET
/// /v1/count` tells how many answers it has begun.
async fn model(listener: TcpListener) -> Fallible<()> {
    let answer = Bytes::from(whole(1_760_000_000));
    let calls = Arc::new(AtomicU64::new(0));
    serve(listener, move |request: Request<Incoming>| {
        let (answer, calls) = (answer.clone(), Arc::clone(&calls));
        async move {
            if request.method() == hyper::Method::GET {
                let count = calls.load(Ordering::Relaxed).to_string();
                return Ok(Response::new(full(count.into())));
            }
            let question = request.into_body().collect().await?.to_bytes();
            calls.fetch_add(1, Ordering::Relaxed);
            let asks_for = |what: &str| memchr::memmem::find(&question, what.as_bytes()).is_some();
            let (kind, body) = if asks_for("\"stream\":true") {
                let body = if asks_for("be brief") {
                    events(1, Duration::ZERO)
                } else {
                    events(EVENTS, EVENT_EVERY)
                };
                ("text/event-stream", body)
            } else if asks_for("think first") || asks_for("wait long") {
                sleep(if asks_for("wait long") {
                    WAITING
                } else {
                    THINKING
                })
                .await;
                // When the answer left, for whoever wants to know how long it was on its way.
                ("application/json", full(whole(now()).into()))
            } else {
                ("application/json", full(answer))
            };
            Ok(Response::builder()
                .header(header::CONTENT_TYPE, kind)
                .body(body)?)
        }
    })
    .await
}

/// Serves HTTP/1.1 with hyper alone.
async fn serve<H, F>(listener: TcpListener, handle: H) -> Fallible<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Fallible<Response<Body>>> + Send,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handle = handle.clone();
        let service = service_fn(move |request| {
            let reply = handle(request);
            async move {
                Ok::<_, Infallible>(reply.await.unwrap_or_else(|error| {
                    let mut response = Response::new(full(error.to_string().into()));
                    *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
                    response
                }))
            }
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "a connection ends with its client"
        )]
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn full(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn whole(created: u128) -> String {
    let text = "All work and no play makes a model dull. ".repeat(TEXT_BYTES / 41 + 1);
    let text = &text[..TEXT_BYTES];
    format!(
        r#"{{"id":"chatcmpl-bare","object":"chat.completion","created":{created},"model":"bare","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":420,"completion_tokens":260,"total_tokens":680}},"system_fingerprint":"fp_bare"}}"#
    )
}

/// `count` events, and what ends a stream.
fn events(count: usize, every: Duration) -> Body {
    let ticks = (!every.is_zero()).then(|| interval(every));
    let events = futures_util::stream::unfold((0, ticks), move |(number, mut ticks)| async move {
        if number > count + 1 {
            return None;
        }
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let (delta, reason) = if number < count {
            (format!(r#"{{"content":" word {number}"}}"#), "null")
        } else {
            ("{}".to_owned(), "\"stop\"")
        };
        let event = if number > count {
            "[DONE]".to_owned()
        } else {
            format!(
                r#"{{"id":"chatcmpl-bare","object":"chat.completion.chunk","created":{},"model":"bare","choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}"#,
                now()
            )
        };
        let frame = Frame::data(Bytes::from(format!("data: {event}\n\n")));
        Some((Ok(frame), (number + 1, ticks)))
    });
    StreamBody::new(events).boxed_unsync()
}

/// Microseconds since 1970: the load generator is another process on the same machine.
fn now() -> u128 {
    std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_micros()
}
