//! The command line: what to run, and the settings that outrank all others.

use std::{
    io::{self, Read as _, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

use crate::config::{Loaded, Overrides, Problems};

pub use compress::CompressArgs;
pub use estimate::EstimateArgs;
pub use explain::ExplainArgs;
pub use rules::RulesArgs;

pub mod compress;
pub mod estimate;
pub mod explain;
pub mod rules;

/// How long the health check waits for a connection, and for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

/// A reverse proxy that makes LLM API calls cheaper, faster and safer.
///
/// Without a command it serves. Settings come from the command line, the environment
/// (`PEGASUS_SECTION__KEY`), the configuration file and built-in defaults, in this order.
#[derive(Clone, Debug, Parser)]
#[command(name = "pegasus-nest", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this address, such as 127.0.0.1:3000.
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Call the OpenAI-compatible API below this URL.
    #[arg(long, global = true, value_name = "URL")]
    pub upstream: Option<String>,
    /// Answer from a built-in simulated model: no key and no network are needed.
    #[arg(long, global = true)]
    pub demo: bool,
}

/// What to do instead of serving.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Check the settings and print the effective ones, secrets masked.
    Check,
    /// Ask the service on the configured address whether it is alive.
    Health,
    /// Compress text from standard input, by the rules of the service.
    Compress(CompressArgs),
    /// Show what compression sees in a text, what it changes, and what that saves.
    Explain(ExplainArgs),
    /// Replay a log of requests and say what the service would have saved: offline, before anything is deployed.
    Estimate(EstimateArgs),
    /// Show and decide what compression has learned on this service's own traffic.
    Rules(RulesArgs),
}

/// Reads the command line; prints help, version or what is wrong with it, and exits then.
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// The settings among the options.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            demo: self.demo,
        }
    }
}

/// Prints the effective configuration to `out`.
pub fn print_effective(loaded: &Loaded, out: &mut impl Write) -> ExitCode {
    // Whoever closed the pipe has read enough.
    let _ = out
        .write_all(loaded.effective.as_bytes())
        .and_then(|()| out.flush());
    ExitCode::SUCCESS
}

/// Prints all problems to `out`, and gives the exit code for them.
pub fn print_problems(problems: &Problems, out: &mut impl Write) -> ExitCode {
    let count = problems.0.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    let _ = writeln!(
        out,
        "{count} {noun} with the configuration; nothing was started:\n{problems}"
    );
    ExitCode::from(BAD_CONFIGURATION)
}

/// Prints why a command failed to `out`, and gives the exit code for it.
pub fn print_failure(error: &anyhow::Error, out: &mut impl Write) -> ExitCode {
    let _ = writeln!(out, "pegasus-nest: {error:#}");
    ExitCode::FAILURE
}

/// A path for people, with nothing in it that could drive the terminal.
fn shown(path: &Path) -> String {
    let shown = path.display().to_string();
    shown.chars().filter(|c| !c.is_control()).collect()
}

/// A closed pipe is no failure: whoever closed it has read enough.
fn unless_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the output")
        }
        _ => Ok(()),
    }
}

/// Asks the service at `address` whether it is alive; fails with one line that says why not.
pub fn health(address: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(address);
    let status = status_of(address).with_context(|| format!("no answer from http://{address}"))?;
    if status != 200 {
        bail!("http://{address}/health/live answered with status {status}");
    }
    Ok(())
}

/// An address to call: a service that listens on all of them is called on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn status_of(address: SocketAddr) -> anyhow::Result<u16> {
    // "HTTP/1.1 200" and the blank after it.
    let mut head = [0; 13];
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("GET /health/live HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream
        .read_exact(&mut head)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "timed out"),
            _ => error,
        })?;
    let status = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1."))
        .and_then(|rest| rest.get(2..5))
        .and_then(|status| status.parse().ok());
    status.context("the answer is not HTTP")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Config;

    /// Answers one connection with the text, and gives the request it got.
    fn answering(text: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(text.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, server)
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        Cli::command().debug_assert();
        for line in [
            [
                "pegasus-nest",
                "check",
                "--listen",
                "[::1]:1",
                "--demo",
                "--config",
                "x.toml",
            ],
            [
                "pegasus-nest",
                "--config",
                "x.toml",
                "--demo",
                "--listen",
                "[::1]:1",
                "check",
            ],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.command, Some(Command::Check));
            let options = cli.overrides();
            assert_eq!(options.listen.as_deref(), Some("[::1]:1"));
            assert_eq!(options.config, Some(PathBuf::from("x.toml")));
            assert!(options.demo && options.upstream.is_none());
        }
        assert!(Cli::try_parse_from(["pegasus-nest", "--lisen", "x"]).is_err());
        assert_eq!(Cli::try_parse_from(["pegasus-nest"]).unwrap().command, None);
    }

    #[test]
    fn problems_are_counted_and_listed() {
        let problems = Config::from_toml("[cache]\nttl = 5\nttll = 5").unwrap_err();
        let mut out = Vec::new();
        print_problems(&problems, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("2 problems "), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let loaded = Config::load(&Overrides::default(), std::iter::empty()).unwrap();
        assert_eq!(print_effective(&loaded, &mut Closed), ExitCode::SUCCESS);
    }

    #[test]
    fn health_is_status_200() {
        let (address, server) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        health(address).unwrap();
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /health/live HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&format!("host: {address}\r\n")),
            "{request}"
        );

        for (text, part) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503"),
            ("SSH-2.0-OpenSSH_9.6\r\n", "no answer"),
            ("", "no answer"),
        ] {
            let (address, server) = answering(text);
            let error = format!("{:#}", health(address).unwrap_err());
            assert!(error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
            server.join().unwrap();
        }
    }

    #[test]
    fn nobody_listening_is_told_with_the_address() {
        // Bound for as long as this takes: a free port may be another test's in a moment.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let error = format!("{:#}", health(address).unwrap_err());
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn all_addresses_are_called_on_loopback() {
        for (listen, called) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), called.parse().unwrap());
        }
    }
}
