//! `pegasus-nest estimate`: what a log would have cost is what serving it costs, and what cannot be read is said.

use std::io::Write as _;
use std::process::Output;

use pegasus_nest::tokens::Vocabulary;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::process::{command, config_file, run};
use crate::support::{ask, completion};

mod faithful;
mod interrupted;
mod lines;
mod page;
mod settings;

/// Models whose costs are easily told apart.
const PRICES: &str = "[models.a]\ninput = 1.0\noutput = 2.0\ncached_input = 0.25\n[models.b]\ninput = 0.01\noutput = 0.03\n";

/// A log with these lines.
fn log(lines: impl IntoIterator<Item = Value>) -> NamedTempFile {
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| line.to_string() + "\n")
        .collect();
    file(lines.concat())
}

fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".jsonl").unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// Runs the command on a log, with TOML over the defaults.
async fn estimate(log: &NamedTempFile, settings: &str, options: &[&str]) -> Output {
    let prices = config_file(PRICES);
    let path = prices.path().to_str().unwrap();
    let config = config_file(&format!("metering.prices_file = {path:?}\n{settings}"));
    let (log, config) = (
        log.path().to_str().unwrap(),
        config.path().to_str().unwrap(),
    );
    let arguments = [&["estimate", log, "--config", config], options].concat();
    run(&mut command(&arguments)).await
}

/// The same, for the report as JSON.
async fn report(log: &NamedTempFile, settings: &str, options: &[&str]) -> Value {
    let output = estimate(log, settings, &[options, &["--json"]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A request to this model.
fn asking(model: &str, prompt: &str) -> Value {
    let mut request = ask(prompt);
    request["model"] = model.into();
    request
}

/// The tokens that the model counts in a request: those of its texts.
fn tokens(request: &Value) -> usize {
    let messages = request["messages"].as_array().unwrap().iter();
    let texts = messages.filter_map(|message| message["content"].as_str());
    texts.map(|text| Vocabulary::O200k.count(text)).sum()
}

/// What the model answers to a request: what it counts depends on the request alone.
fn answer(request: &Value) -> Value {
    let prompt = tokens(request);
    let mut whole = completion("Hello.");
    whole["model"] = format!("{}-2026", request["model"].as_str().unwrap()).into();
    whole["usage"] = json!({
        "prompt_tokens": prompt, "completion_tokens": 40, "total_tokens": prompt + 40,
        "prompt_tokens_details": {"cached_tokens": 2},
    });
    whole
}

/// A line of a log: this request at this second, and what it was answered within a second.
fn line(second: f64, request: &Value) -> Value {
    json!({"time": 1_750_000_000.0 + second, "request": request, "response": answer(request), "latency_ms": 900})
}

fn figure(report: &Value, pointer: &str) -> u64 {
    let found = report.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {pointer} in {report}"))
}
