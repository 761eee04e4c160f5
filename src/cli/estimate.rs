//! `pegasus-nest estimate`: what the service would have saved on a log of requests.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::bar::Bar;
use super::BAD_CONFIGURATION;
use crate::config::Config;
use crate::estimate::report::{html, show};
use crate::estimate::{self, Options, Progress, Report};

mod bar;

/// The log is read in pieces of so many bytes.
const PIECE: usize = 1024 * 1024;

/// The options of `estimate`.
#[derive(Clone, Debug, Args, PartialEq)]
pub struct EstimateArgs {
    /// The log: JSON objects, one a line; - is standard input.
    ///
    /// Each line is an OpenAI body ({"model", "messages", …}), a /create body ({"prompt", …}), or an object with one of
    /// them as "request" (or "body") and what else is known: "time" (RFC 3339, or seconds since 1970), "response" (the whole
    /// answer, its text, or {"usage": …}), `latency_ms`, "caller", "endpoint". Input lines of batches and the logs of common
    /// gateways are read as well.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Try other settings, too (entries, ttl, compression level), and recommend the best.
    #[arg(long)]
    pub sweep: bool,
    /// Write a page with charts to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Replay this many requests at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Requests a second, for lines that tell no time.
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate)]
    pub rate: f64,
    /// Let the report show how prompts begin; without it, it names them by their digests.
    #[arg(long)]
    pub show_prompts: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "expected a number from 0.001 to 1000000".to_owned();
    let rate: f64 = text.parse().map_err(|_| wrong())?;
    (0.001..=1e6)
        .contains(&rate)
        .then_some(rate)
        .ok_or_else(wrong)
}

/// Where the page goes.
struct Page<'p> {
    path: &'p Path,
    file: File,
    /// It was not there before, and nothing is in it.
    is_new: bool,
}

/// Replays the log and writes the report to standard output.
pub fn run(args: &EstimateArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let progress = Arc::new(Progress::default());
    stop_on_interrupt(&progress);
    let (source, length) = open(&args.file)?;
    // Before the work: a page that cannot be written must not cost an hour.
    let page = args
        .html
        .as_deref()
        .map(|path| Page::open(path, &args.file));
    let page = page.transpose()?;
    let options = Options {
        rate: args.rate,
        limit: args.limit,
        sweep: args.sweep,
        show_prompts: args.show_prompts,
    };
    let bar = io::stderr()
        .is_terminal()
        .then(|| Bar::start(&progress, length));
    let report = estimate::run(
        config,
        BufReader::with_capacity(PIECE, source),
        &options,
        &progress,
    );
    drop(bar);
    let report = report.with_context(|| format!("cannot replay {}", name(&args.file)))?;
    if let Some(page) = page {
        page.finish(&report, &args.file)?;
    }
    print(&report, args)?;
    Ok(if report.requests() > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_CONFIGURATION)
    })
}

// === impl Page ===

impl<'p> Page<'p> {
    /// Opens the file for the page, and leaves what is in it: it may be the log.
    fn open(path: &'p Path, log: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(
            path.as_os_str() != "-",
            "the page needs a file: standard output is where the report goes"
        );
        let is_new = fs::symlink_metadata(path).is_err();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("cannot write {}", name(path)))?;
        let page = Self { path, file, is_new };
        let of_log = if log.as_os_str() == "-" {
            let input = io::stdin().as_fd().try_clone_to_owned();
            input.and_then(|input| File::from(input).metadata())
        } else {
            // Not opened: a pipe has but one reader.
            fs::metadata(log)
        };
        let place = |facts: &Metadata| (facts.dev(), facts.ino());
        let is_log = page.file.metadata().is_ok_and(|own| {
            own.is_file() && of_log.is_ok_and(|of_log| place(&of_log) == place(&own))
        });
        anyhow::ensure!(
            !is_log,
            "{} is the log itself: give the page another file",
            name(path)
        );
        // A log may also come through a pipe, and what else is there is somebody's.
        anyhow::ensure!(
            is_page(path),
            "{} is there and is no page: give the page another file, or remove that one",
            name(path)
        );
        Ok(page)
    }

    /// Writes the page; of no request there is none, and what stood there stays.
    fn finish(mut self, report: &Report, log: &Path) -> anyhow::Result<()> {
        if report.requests() == 0 {
            return Ok(());
        }
        self.is_new = false;
        let text = html::page(report, &name(log));
        let file = &mut self.file;
        let is_file = file.metadata().is_ok_and(|facts| facts.is_file());
        let emptied = if is_file { file.set_len(0) } else { Ok(()) };
        let written = emptied
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.flush());
        written.with_context(|| format!("cannot write {}", name(self.path)))
    }
}

impl Drop for Page<'_> {
    /// A file that was made for a page which there is not.
    fn drop(&mut self) {
        if self.is_new {
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Whether nothing is lost with a file: it is empty, one of our pages, or no file that keeps anything.
fn is_page(path: &Path) -> bool {
    if !fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() > 0) {
        return true;
    }
    let mut start = [0; html::START.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *html::START.as_bytes()
}

fn print(report: &Report, args: &EstimateArgs) -> anyhow::Result<()> {
    let text = if args.json {
        report.to_json().context("cannot write JSON")? + "\n"
    } else {
        show(report, &name(&args.file))
    };
    let mut out = io::stdout().lock();
    super::unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The log and, where it is known, its length.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", name(path)))?;
    let facts = file
        .metadata()
        .with_context(|| format!("cannot read {}", name(path)))?;
    anyhow::ensure!(
        !facts.is_dir(),
        "cannot read {}: it is a directory",
        name(path)
    );
    let length = facts.is_file().then_some(facts.len());
    Ok((Box::new(file), length))
}

/// A file's name for people.
fn name(path: &Path) -> String {
    if path.as_os_str() == "-" {
        return "standard input".to_owned();
    }
    super::shown(path)
}

/// The first interrupt ends the reading, and the report is about what there is; a second one ends the process. Where no
/// signals can be had, the first one does.
fn stop_on_interrupt(progress: &Arc<Progress>) {
    let progress = Arc::clone(progress);
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let mut interrupts = signal(SignalKind::interrupt())?;
            interrupts.recv().await;
            progress.stop.store(true, Ordering::Relaxed);
            interrupts.recv().await;
            io::Result::Ok(())
        })
    };
    let ended_twice = move || {
        if wait().is_ok() {
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    // Without it, an interrupt ends the process.
    let _ = thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(ended_twice);
}

/// What shells say of a process that an interrupt ended.
const INTERRUPTED: u8 = 130;
