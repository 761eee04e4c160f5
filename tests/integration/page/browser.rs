//! A real Chromium, driven in its own protocol through two pipes.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::support::within;

/// What a browser in a test may do without: a sandbox, which root cannot have, and talks with its maker.
const OPTIONS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A browser with one page; it is killed when dropped.
pub(super) struct Browser {
    child: Child,
    _profile: TempDir,
    line: Arc<Line>,
    session: Option<String>,
}

/// The two ends of the talk with it.
struct Line {
    next: AtomicU64,
    sink: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
    count: watch::Sender<usize>,
}

impl Browser {
    /// Starts it. `PEGASUS_TEST_CHROMIUM` names one that is not in the path.
    pub(super) async fn start() -> Self {
        let binary = std::env::var("PEGASUS_TEST_CHROMIUM").unwrap_or("chromium".into());
        let profile = TempDir::new().unwrap();
        // The protocol is spoken on descriptors 3 and 4; the shell puts the pipes there and becomes the browser.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script, &binary])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(OPTIONS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (sink, messages) = mpsc::unbounded_channel();
        let line = Arc::new(Line {
            next: AtomicU64::new(1),
            sink,
            waiting: Mutex::default(),
            events: Mutex::default(),
            count: watch::Sender::new(0),
        });
        tokio::spawn(write(child.stdin.take().unwrap(), messages));
        tokio::spawn(read(child.stdout.take().unwrap(), Arc::clone(&line)));
        let mut browser = Self {
            child,
            _profile: profile,
            line,
            session: None,
        };
        let target = browser
            .send("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.send("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].as_str().map(Into::into);
        for domain in ["Page", "Runtime", "Log"] {
            browser.send(&format!("{domain}.enable"), json!({})).await;
        }
        browser.resize(1280, 900).await;
        browser
    }

    /// Ends it in its own way, so that nothing of its profile is left behind.
    pub(super) async fn close(mut self) {
        self.session = None;
        self.send("Browser.close", json!({})).await;
        let _ = within("the browser's end", self.child.wait()).await;
    }

    /// Sends a command and gives its result.
    pub(super) async fn send(&self, method: &str, params: Value) -> Value {
        within(method, self.exchange(method, params)).await
    }

    /// The same for as long as it takes.
    async fn exchange(&self, method: &str, params: Value) -> Value {
        let id = self.line.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let (answer, answered) = oneshot::channel();
        self.line.waiting.lock().insert(id, answer);
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.line.sink.send(bytes).unwrap();
        let mut answer = answered
            .await
            .expect("chromium is needed and has ended, or is not there: apt-get install chromium");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The first event of this name from the given place on, and the place behind it.
    pub(super) async fn event(&self, name: &str, from: usize) -> (Value, usize) {
        let mut count = self.line.count.subscribe();
        within(name, async {
            loop {
                {
                    let events = self.line.events.lock();
                    let mut rest = events.iter().enumerate().skip(from);
                    if let Some((place, event)) = rest.find(|(_, event)| event["method"] == name) {
                        return (event["params"].clone(), place + 1);
                    }
                }
                count.changed().await.unwrap();
            }
        })
        .await
    }

    /// How many events there have been.
    pub(super) fn events(&self) -> usize {
        self.line.events.lock().len()
    }

    /// Goes to this address and waits until all is loaded.
    pub(super) async fn open(&self, url: &str) {
        let from = self.events();
        let result = self.send("Page.navigate", json!({"url": url})).await;
        assert!(result.get("errorText").is_none(), "{url}: {result}");
        self.event("Page.loadEventFired", from).await;
    }

    /// The value of an expression, or of the promise that it gives.
    pub(super) async fn eval(&self, expression: &str) -> Value {
        within(expression, self.evaluate(expression)).await
    }

    async fn evaluate(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.exchange("Runtime.evaluate", params).await;
        let error = &answer["exceptionDetails"];
        assert!(error.is_null(), "{expression}: {error}");
        answer["result"]["value"].take()
    }

    /// Waits until the page makes this expression true, and gives its value.
    pub(super) async fn until(&self, expression: &str) -> Value {
        let watch = format!(
            "new Promise((resolve) => {{
                const watcher = new MutationObserver(look);
                function look() {{
                    const value = ({expression});
                    if (!value) return;
                    watcher.disconnect();
                    removeEventListener('focusin', look);
                    resolve(value);
                }}
                watcher.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                addEventListener('focusin', look);
                look();
            }})"
        );
        within(expression, self.evaluate(&watch)).await
    }

    /// Clicks what this selector names, in its middle.
    pub(super) async fn click(&self, selector: &str) {
        let place = self
            .eval(&format!(
                "(() => {{
                    const node = document.querySelector({selector:?});
                    node.scrollIntoView({{block: 'center', behavior: 'instant'}});
                    const box = node.getBoundingClientRect();
                    return [box.x + box.width / 2, box.y + box.height / 2];
                }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.send("Input.dispatchMouseEvent", params).await;
        }
    }

    /// Presses a key by its name, such as `Tab`.
    pub(super) async fn press(&self, key: &str) {
        self.press_with(key, 0).await;
    }

    /// The same with modifiers: 2 is Control, 8 is Shift.
    pub(super) async fn press_with(&self, key: &str, modifiers: u8) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "ArrowLeft" => (37, ""),
            "ArrowRight" => (39, ""),
            _ => panic!("which key is {key}?"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({"type": kind, "key": key, "code": key, "modifiers": modifiers,
                "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.send("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Types a text into what has the focus.
    pub(super) async fn insert(&self, text: &str) {
        self.send("Input.insertText", json!({"text": text})).await;
    }

    /// The window's size, in pixels of a page.
    pub(super) async fn resize(&self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.send("Emulation.setDeviceMetricsOverride", params)
            .await;
    }

    /// What its user wants: `light` or `dark`, and motion or none.
    pub(super) async fn prefer(&self, scheme: &str, motion: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion}]);
        self.send("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// What can be seen, as a picture in the format of its name.
    pub(super) async fn picture(&self, format: &str) -> String {
        let answer = self
            .send("Page.captureScreenshot", json!({"format": format}))
            .await;
        answer["data"].as_str().unwrap().to_owned()
    }

    /// What the page did wrong: exceptions, errors and warnings, violations of its own policy.
    pub(super) fn complaints(&self) -> Vec<String> {
        let events = self.line.events.lock();
        let wrong = events.iter().filter(|event| {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => {
                    params["type"] == "error" || params["type"] == "warning"
                }
                "Log.entryAdded" => params["entry"]["level"] != "verbose",
                _ => false,
            }
        });
        wrong.map(|event| event["params"].to_string()).collect()
    }
}

async fn write(mut pipe: ChildStdin, mut messages: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if pipe.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn read(pipe: ChildStdout, line: Arc<Line>) {
    let mut pipe = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while pipe.read_until(0, &mut bytes).await.is_ok_and(|n| n > 0) {
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        bytes.clear();
        if let Some(id) = message["id"].as_u64() {
            if let Some(answer) = line.waiting.lock().remove(&id) {
                let _ = answer.send(message);
            }
        } else {
            line.events.lock().push(message);
            line.count.send_modify(|count| *count += 1);
        }
    }
    // Whoever still waits learns that nothing comes any more.
    line.waiting.lock().clear();
}
