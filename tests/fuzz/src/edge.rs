//! The endpoints that take JSON, in front of an upstream that takes everything: whatever body comes, the
//! client gets a verdict, and what goes upstream is a chat completion that says what the client said.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use pegasus_nest::chat::validate;
use pegasus_nest::config::Config;
use pegasus_nest::edge::{Edge, Front};
use pegasus_nest::error::ProxyError;
use pegasus_nest::json::{Json, Member, Node};
use pegasus_nest::layers::compress::CompressLayer;
use pegasus_nest::reply::{Head, Provenance, Reply, Whole, Worth};
use pegasus_nest::request::ProxyRequest;
use pegasus_nest::stack::{self, Service};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, service_fn};

const ANSWER: &[u8] = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}]}"#;
/// What `/create` passes on as it is.
const PASSED_ON: [&str; 8] = [
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "seed",
    "stop",
    "response_format",
];
/// What `/create` sends beside that.
const OWN: [&str; 4] = ["model", "messages", "stream", "stream_options"];

/// The routes, and what they sent upstream.
struct Doors {
    runtime: Runtime,
    front: Front,
    sent: Arc<Mutex<Option<ProxyRequest>>>,
}

impl Doors {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let config = Config::default();
        let sent = Arc::new(Mutex::new(None));
        let upstream = {
            let sent = Arc::clone(&sent);
            service_fn(move |request: ProxyRequest| {
                *sent.lock() = Some(request);
                async { Ok::<_, ProxyError>(answer()) }
            })
        };
        let front = runtime.block_on(async {
            let mut stack = stack::build(&config).expect("a stack");
            stack.service = Service::new(
                CompressLayer::new(config.compression.clone(), None, None).layer(upstream),
            );
            Edge::new(config, stack).front()
        });
        Self {
            runtime,
            front,
            sent,
        }
    }

    /// What comes back, and what went upstream for it.
    fn post(
        &self,
        path: &str,
        level: &str,
        body: &Bytes,
    ) -> (StatusCode, Bytes, Option<ProxyRequest>) {
        let request = Request::post(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-pegasus-compression", level)
            .body(Body::from(body.clone()))
            .expect("a request");
        let (status, body) = self.runtime.block_on(async {
            let response = self.front.answer(request).await;
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body");
            (status, body.to_bytes())
        });
        let sent = self.sent.lock().take();
        (status, body, sent)
    }
}

fn answer() -> Reply {
    Reply::Whole(Whole {
        head: Head {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            provenance: Provenance::Miss { stored: false },
        },
        body: Bytes::from_static(ANSWER),
        answer: Some(Worth::default()),
    })
}

/// Sends the body to each endpoint; `json` is what is to be read in it, if it can be read.
pub(crate) fn holds(body: &Bytes, json: Option<&Json>) {
    static DOORS: OnceLock<Mutex<Doors>> = OnceLock::new();
    let doors = DOORS.get_or_init(|| Mutex::new(Doors::open()));
    let doors = doors.lock();
    completions(&doors, body, json);
    for (path, text) in [("/create", "prompt"), ("/create/chat", "message")] {
        create(&doors, path, text, body, json);
    }
}

fn completions(doors: &Doors, body: &Bytes, json: Option<&Json>) {
    let path = "/v1/chat/completions";
    let is_good = json.is_some_and(|json| validate(json.root()).is_ok());
    let (status, answer, sent) = doors.post(path, "off", body);
    verdict(status, &answer, is_good);
    assert_eq!(sent.map(|sent| sent.body()), is_good.then(|| body.clone()));

    let (status, answer, sent) = doors.post(path, "aggressive", body);
    verdict(status, &answer, is_good);
    if let (Some(sent), Some(json)) = (sent, json) {
        let outgoing = outgoing(&sent);
        assert_eq!(
            shape(&outgoing),
            shape(json.root()),
            "more than text was edited"
        );
        assert!(
            sent.body().len() <= body.len(),
            "compression made it longer"
        );
    }
}

fn create(doors: &Doors, path: &str, text: &str, body: &Bytes, json: Option<&Json>) {
    let (status, answer, sent) = doors.post(path, "off", body);
    verdict(status, &answer, sent.is_some());
    let Some(sent) = sent else {
        return;
    };
    let (outgoing, form) = (outgoing(&sent), json.expect("no JSON went upstream").root());
    let Node::Object(members) = &outgoing else {
        panic!("no object went upstream");
    };
    for member in members {
        let known = PASSED_ON.contains(&&*member.key) || OWN.contains(&&*member.key);
        assert!(known, "{} went upstream", member.key);
    }
    let given = |key: &str| form.get(key).filter(|value| !value.is_null());
    for field in PASSED_ON {
        if let Some(value) = given(field) {
            assert_eq!(
                outgoing.get(field).map(plain),
                Some(plain(value)),
                "{field}"
            );
        }
    }
    let messages = outgoing.get("messages").and_then(Node::as_array);
    let content = |message: &Node| {
        message
            .get("content")
            .and_then(Node::as_str)
            .map(str::to_owned)
    };
    let last = messages.and_then(|messages| content(messages.last()?));
    if let Some(text) = given(text) {
        assert_eq!(last.as_deref(), text.as_str(), "another text went upstream");
    }
    if let Some(model) = given("model")
        .and_then(Node::as_str)
        .filter(|model| !model.trim().is_empty())
    {
        assert_eq!(sent.model(), Some(model));
    }
    assert_eq!(
        sent.wants_stream(),
        given("stream").and_then(Node::as_bool) == Some(true)
    );
}

/// A body is refused for a reason that names the client's fault, or answered.
fn verdict(status: StatusCode, answer: &Bytes, is_good: bool) {
    assert_eq!(status.is_success(), is_good, "{status}: {answer:?}");
    if !is_good {
        assert!(matches!(status.as_u16(), 400 | 422), "{status}: {answer:?}");
        let reason = serde_json::from_slice::<serde_json::Value>(answer).ok();
        let reason = reason.as_ref().and_then(|reason| reason.get("error"));
        assert!(reason.is_some(), "{answer:?}");
    }
}

/// What went upstream, which must itself be a chat completion.
fn outgoing(sent: &ProxyRequest) -> Node {
    let json = Json::parse(sent.body()).expect("JSON goes upstream");
    assert_eq!(validate(json.root()), Ok(()));
    assert!(sent.question().is_some() && sent.alias().is_some());
    json.root().clone()
}

/// A body without the places of its strings, and without the texts below `messages`, which may be edited.
fn shape(root: &Node) -> String {
    let mut out = String::new();
    if let Node::Object(members) = root {
        for Member { key, value } in members {
            write_shape(value, &**key == "messages", &mut out);
            out += key;
        }
    }
    out
}

fn plain(node: &Node) -> String {
    let mut out = String::new();
    write_shape(node, false, &mut out);
    out
}

fn write_shape(node: &Node, hides_text: bool, out: &mut String) {
    match node {
        Node::String(text) if hides_text => *out += if text.value.is_empty() { "-" } else { "+" },
        Node::String(text) => *out += &text.value,
        Node::Array(items) => {
            for item in items {
                write_shape(item, hides_text, out);
                *out += ",";
            }
        }
        Node::Object(members) => {
            for Member { key, value } in members {
                write_shape(value, hides_text, out);
                *out += key;
            }
        }
        Node::Number(digits) => *out += digits,
        Node::Bool(true) => *out += "true",
        Node::Bool(false) | Node::Null => {}
    }
    *out += node.kind();
}
