//! The scripted upstream: records what it is asked and answers as the test says, however wrong that is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Act, connection, within};

/// A server on a port of its own; it ends when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    /// Which request of its connection it is, from 0.
    pub(crate) nth: usize,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests that were read.
    pub(crate) calls: usize,
    /// Connections accepted.
    pub(crate) opened: usize,
    /// Connections open now.
    pub(crate) open: usize,
    /// The most that were open at once.
    pub(crate) peak_open: usize,
    /// Requests being answered now.
    pub(crate) busy: usize,
    /// The most that were answered at once.
    pub(crate) peak_busy: usize,
    /// Clients that left before their answer was out.
    pub(crate) hang_ups: usize,
    /// Bytes that the sockets took.
    pub(crate) written: usize,
}

type Script = Box<dyn Fn(&Recorded) -> Act + Send + Sync>;

pub(super) struct Shared {
    script: Mutex<Script>,
    once: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<Recorded>>,
    counts: watch::Sender<Counts>,
}

impl Upstream {
    /// Says "Hello." to everything, as a stream to those who ask for one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|request| request.answer("Hello."))),
            once: Mutex::default(),
            requests: Mutex::default(),
            counts: watch::Sender::new(Counts::default()),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _task: task,
        }
    }

    /// Answers every request like this from now on.
    pub(crate) fn set(&self, act: Act) {
        self.script(move |_| act.clone());
    }

    /// Answers every request as this function says from now on.
    pub(crate) fn script(&self, script: impl Fn(&Recorded) -> Act + Send + Sync + 'static) {
        *self.shared.script.lock() = Box::new(script);
    }

    /// Answers one request like this; several queue up.
    pub(crate) fn once(&self, act: Act) {
        self.shared.once.lock().push_back(act);
    }

    /// How many requests have come.
    pub(crate) fn calls(&self) -> usize {
        self.counts().calls
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until what has happened is enough.
    pub(crate) async fn wait_for(&self, what: &str, enough: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        *within(what, counts.wait_for(enough)).await.unwrap()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().clone()
    }

    /// Forgets the requests so far; the counts stay. For loads that last.
    #[cfg_attr(test, expect(dead_code, reason = "no single test lasts long enough"))]
    pub(crate) fn forget_requests(&self) {
        self.shared.requests.lock().clear();
    }

    /// The last request.
    pub(crate) fn last(&self) -> Recorded {
        self.shared.requests.lock().last().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        connections.spawn(connection::serve(stream, Arc::clone(&shared), number));
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    /// Records a request and says what to do about it.
    pub(super) fn begin(&self, request: &Recorded) -> Act {
        self.requests.lock().push(request.clone());
        let once = self.once.lock().pop_front();
        let act = once.unwrap_or_else(|| (*self.script.lock())(request));
        self.count(|counts| {
            counts.calls += 1;
            counts.busy += 1;
            counts.peak_busy = counts.peak_busy.max(counts.busy);
        });
        act
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

impl Recorded {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a header came.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The last message's text.
    pub(crate) fn prompt(&self) -> String {
        let json = self.json();
        let last = json["messages"].as_array().and_then(|all| all.last());
        last.and_then(|message| message["content"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// A good answer that says `text` in the shape that was asked for.
    pub(crate) fn answer(&self, text: &str) -> Act {
        if self.json()["stream"] == true {
            let half = text.len() / 2;
            let half = text.floor_char_boundary(half);
            Act::streams(&[&text[..half], &text[half..]])
        } else {
            Act::says(text)
        }
    }
}
