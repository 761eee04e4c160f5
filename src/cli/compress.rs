//! `pegasus-nest compress`: the compressor by itself, for files and for measuring.

use std::io::{BufRead, Write};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::compressor::{Compressor, Level, Memo, Role, Rule, RuleSet};
use crate::config::Compression;
use crate::json::Json;
use crate::layers::compress::compress_messages;

/// What to compress, and how.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct Options {
    /// off, safe, balanced or aggressive; as configured where it is not given.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<Level>,
    /// Whose text it is: system, user, assistant or tool.
    #[arg(long, value_name = "ROLE", default_value = "user")]
    pub role: Role,
    /// Do not apply this rule; may be given several times.
    #[arg(long, value_name = "RULE")]
    pub deny: Vec<Rule>,
}

/// The options of `compress`.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub struct CompressArgs {
    #[command(flatten)]
    pub options: Options,
    /// Read a JSON object a line: {"id","text","role"} gives {"id","text"}, {"id","messages"} gives {"id","messages"}.
    #[arg(long)]
    pub jsonl: bool,
}

// === impl Options ===

impl Options {
    /// The compressor that they ask for, over what is configured.
    pub fn compressor(&self, configured: &Compression) -> Compressor {
        Compressor::new(self.level.unwrap_or(configured.level))
            .without(configured.deny.with(self.denied()))
    }

    fn denied(&self) -> RuleSet {
        self.deny.iter().copied().collect()
    }
}

/// Reads `input` to its end and writes what becomes of it; fails with the first line that cannot be read. Whoever
/// gives a text wants it compressed, so whose text the service leaves alone does not matter here.
pub fn run(
    args: &CompressArgs,
    configured: &Compression,
    mut input: impl BufRead,
    mut output: impl Write,
) -> anyhow::Result<()> {
    let compressor = args.options.compressor(configured);
    if !args.jsonl {
        let mut text = String::new();
        input
            .read_to_string(&mut text)
            .context("standard input is not UTF-8 text")?;
        let compressed = compressor.compress(&text, args.options.role);
        let text = compressed.map_or(text, |compressed| compressed.text);
        return super::unless_closed(
            output
                .write_all(text.as_bytes())
                .and_then(|()| output.flush()),
        );
    }
    // The turns of one conversation have most of their texts in common.
    let memo = Memo::new();
    for (number, line) in input.lines().enumerate() {
        let place = || format!("line {} of standard input", number + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let line = line.trim_start_matches('\u{feff}');
        let done = row_of(args, configured, &memo, line).with_context(place)?;
        // A program that writes a row and waits for its answer gets it.
        let written = writeln!(output, "{done}").and_then(|()| output.flush());
        if written.is_err() {
            return super::unless_closed(written);
        }
    }
    Ok(())
}

/// A row with one text.
#[derive(Deserialize)]
struct TextRow<'r> {
    #[serde(borrow)]
    id: Option<&'r RawValue>,
    text: Option<String>,
    role: Option<String>,
    #[serde(borrow)]
    messages: Option<&'r RawValue>,
}

/// One row, compressed.
fn row_of(
    args: &CompressArgs,
    configured: &Compression,
    memo: &Memo,
    line: &str,
) -> anyhow::Result<String> {
    let row: TextRow<'_> = serde_json::from_str(line)?;
    let id = row.id.map_or("null", RawValue::get);
    match (row.text, row.messages) {
        (Some(text), None) => {
            let role = row.role.as_deref().map(str::parse).transpose()?;
            let compressor = args.options.compressor(configured);
            let compressed = compressor.compress(&text, role.unwrap_or(args.options.role));
            let text = compressed.map_or(text, |compressed| compressed.text);
            Ok(format!(r#"{{"id":{id},"text":{}}}"#, json!(text)))
        }
        (None, Some(messages)) => {
            // What the service would send, byte for byte beside the texts.
            let request = format!(r#"{{"id":{id},"messages":{}}}"#, messages.get());
            let json = Json::parse(Bytes::from(request.clone()))?;
            let mut settings = configured.clone();
            settings.deny = settings.deny.with(args.options.denied());
            let level = args.options.level;
            let plan = settings.plan_at(level, settings.level);
            let edited = compress_messages(&json, &plan, Some(memo.of([0; 32])));
            Ok(edited.map_or(request, |edited| {
                String::from_utf8_lossy(edited.json.text()).into_owned()
            }))
        }
        _ => bail!(
            r#"expected {{"id": …, "text": "…", "role": "…"}} or {{"id": …, "messages": […]}}"#
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    fn configured() -> Compression {
        let loaded = Config::load(&Overrides::default(), std::iter::empty());
        loaded.unwrap().config.compression
    }

    fn output(jsonl: bool, input: &str) -> anyhow::Result<String> {
        let options = Options {
            level: Some(Level::Safe),
            role: Role::User,
            deny: Vec::new(),
        };
        let mut output = Vec::new();
        let args = CompressArgs { options, jsonl };
        run(&args, &configured(), input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    fn wide() -> String {
        "We went home.  It was late.  ".repeat(12)
    }

    #[test]
    fn plain_text_and_rows_come_out_shorter() {
        let narrow = wide().replace("  ", " ");
        assert_eq!(output(false, &wide()).unwrap(), narrow.trim_end());
        let row = json!({"id": 7, "text": wide(), "role": "tool"});
        let done = output(true, &format!("{row}\n\n{row}\n")).unwrap();
        let expected = json!({"id": 7, "text": narrow.trim_end()});
        assert_eq!(done, format!("{expected}\n{expected}\n"));
    }

    #[test]
    fn rows_that_cannot_be_read_are_named() {
        for (row, what) in [
            ("{", "line 1"),
            ("{}", "\"messages\""),
            (r#"{"text":"x","role":"king"}"#, "\"king\""),
            (r#"{"text":"x","role":1}"#, "expected a string"),
            (r#"{"text":"x","messages":[]}"#, "expected {"),
        ] {
            let error = format!("{:#}", output(true, row).unwrap_err());
            assert!(error.contains(what) && error.contains("line 1"), "{error}");
        }
    }

    #[test]
    fn off_gives_the_bytes_back() {
        let args = CompressArgs {
            options: Options {
                level: Some(Level::Off),
                role: Role::User,
                deny: Vec::new(),
            },
            jsonl: false,
        };
        let mut output = Vec::new();
        run(&args, &configured(), wide().as_bytes(), &mut output).unwrap();
        assert_eq!(output, wide().into_bytes());
    }
}
