//! The page for people, as browsers get it and as Chromium shows it.

use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{Answer, Client};
use browser::Browser;

mod actions;
mod browser;
mod files;
mod keyboard;
mod live;
mod looks;

/// The binary with its simulated model, and a browser to look at its page.
struct Demo {
    process: Process,
    client: Client,
    browser: Browser,
}

impl Demo {
    /// Starts both; the page is not open yet.
    async fn start(toml: &str) -> Self {
        Self::with(toml, &["--demo"]).await
    }

    /// The same with other options.
    async fn with(toml: &str, options: &[&str]) -> Self {
        let (process, browser) = tokio::join!(Process::start(toml, options, &[]), Browser::start());
        Self {
            client: Client::new(process.address()),
            process,
            browser,
        }
    }

    /// The same with the page open, and live.
    async fn open(toml: &str) -> Self {
        let demo = Self::start(toml).await;
        demo.browser.open(&demo.process.url("/")).await;
        demo.browser.until(LIVE).await;
        demo
    }

    /// Asks the model, or whoever answers in its place.
    async fn ask(&self, prompt: &str) -> Answer {
        let prompt = json!({"prompt": prompt});
        let answer = self.client.post("/create", &prompt, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    async fn stats(&self) -> Value {
        self.client.get("/api/optimization-stats").await.json()
    }

    /// Ends both. The page has done nothing wrong until then.
    async fn close(self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.browser.close().await;
        self.process.stop().await;
    }
}

const LIVE: &str = "document.querySelector('#status').dataset.status === 'live'";

/// An expression for the text of what this selector names.
fn text(selector: &str) -> String {
    format!("(document.querySelector({selector:?})?.innerText ?? '')")
}

/// An expression for whether that text has this one in it.
fn says(selector: &str, what: &str) -> String {
    format!("{}.includes({what:?})", text(selector))
}

/// Nano-dollars as the page shows them to those who look closely.
fn exactly(nano: &Value) -> String {
    let nano = nano.as_u64().unwrap();
    format!("${}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}
