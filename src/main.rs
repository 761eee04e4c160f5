//! The binary: reads the configuration, binds, serves, drains.

use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use pegasus_nest::cli::{self, Cli, Command};
use pegasus_nest::config::{self, Config};
use pegasus_nest::{demo, descriptors, logging, serve};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use supervisor::Supervisor;

mod supervisor;

/// Whatever the heap has been through, a hit costs the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More than kernels grant by default; they take what they can.
const BACKLOG: u32 = 4_096;

/// Bytes that may be on their way to one client. At 100 ms of distance this still carries 20 Mbit/s.
const SEND_BUFFER: u32 = 256 * 1024;

/// What is left of the work at the end gets this long.
const RUNTIME_GRACE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = cli::parse();
    if let Some(Command::Health) = cli.command {
        // Beside a server that runs, only its address matters.
        let address = Config::listen_address(&cli.overrides(), config::environment());
        return exit_code(cli::health(address));
    }
    let loaded = match Config::load(&cli.overrides(), config::environment()) {
        Ok(loaded) => loaded,
        Err(problems) => return cli::print_problems(&problems, &mut io::stderr()),
    };
    let settings = &loaded.config.compression;
    match &cli.command {
        Some(Command::Check) => cli::print_effective(&loaded, &mut io::stdout()),
        Some(Command::Compress(args)) => {
            let output = BufWriter::new(io::stdout().lock());
            exit_code(cli::compress::run(
                args,
                settings,
                io::stdin().lock(),
                output,
            ))
        }
        Some(Command::Explain(args)) => exit_code(cli::explain::run(args, settings)),
        Some(Command::Estimate(args)) => {
            cli::estimate::run(args, &loaded.config).unwrap_or_else(|error| exit_code(Err(error)))
        }
        Some(Command::Rules(args)) => exit_code(cli::rules::run(args, &loaded.config)),
        Some(Command::Health) | None => exit_code(run(&cli, loaded.config)),
    }
}

fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::print_failure(&error, &mut io::stderr()),
    }
}

fn run(cli: &Cli, mut config: Config) -> anyhow::Result<()> {
    // Dropped last, so that the last lines are written.
    let log = logging::init(&config.log);
    logging::hush_panics();
    share_descriptors(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let listen = config.server.listen;
        let listener = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let demo = if cli.demo {
            let demo = demo::start().await.context("cannot start the simulated model")?;
            config.upstream.base_url.clone_from(&demo.base_url);
            tracing::warn!("demo mode: every answer is simulated, no model is asked");
            Some(demo)
        } else {
            None
        };
        let address = listener.local_addr().context("cannot tell the own address")?;
        let upstream = &config.upstream.base_url;
        tracing::info!(addr = %address, upstream, version = env!("CARGO_PKG_VERSION"), "listening on http://{address}");
        warn_of_surprises(&config);
        let (stop, stop_at_once) = stop_signals().context("cannot listen for signals")?;
        let supervisor = Supervisor::start();
        let stop = async {
            stop.await;
            supervisor.stopping();
        };
        let ready = || supervisor.ready(&address.to_string());
        tokio::select! {
            served = serve(config, listener, ready, stop) => {
                served.context("cannot set up the upstream client")?;
            }
            () = log.tell_losses() => {}
            () = supervisor.give_signs_of_life() => {}
            () = stop_at_once => anyhow::bail!("a second signal: stopped before all requests had ended"),
        }
        drop(demo);
        tracing::info!("stopped");
        Ok(())
    });
    // A name that is still being resolved cannot be interrupted, and nobody waits for it.
    runtime.shutdown_timeout(RUNTIME_GRACE);
    outcome
}

/// A listener with the longest backlog that the kernel grants: who is beyond `server.max_connections` waits there.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the connections of the process before it.
    socket.set_reuseaddr(true)?;
    // What the kernel holds for a client counts as read by it; the less, the better `server.write_timeout` knows.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Two futures: the first is ready with the first SIGTERM or SIGINT, the second with the second.
fn stop_signals() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (hand_over, taken) = oneshot::channel();
    let first = async move {
        either(&mut terminate, &mut interrupt).await;
        let _ = hand_over.send((terminate, interrupt));
    };
    let second = async move {
        match taken.await {
            Ok((mut terminate, mut interrupt)) => either(&mut terminate, &mut interrupt).await,
            Err(_) => std::future::pending().await,
        }
    };
    Ok((first, second))
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// Each request may need two sockets; the usual soft limit of 1,024 descriptors is too low for that.
fn share_descriptors(config: &mut Config) {
    let wanted = descriptors::wanted(config);
    let raised = rlimit::increase_nofile_limit(wanted.max(1_024));
    // Where nobody may raise it, it is what it is; where nobody may ask either, let the settings stand.
    let granted = raised
        .or_else(|_| rlimit::Resource::NOFILE.get_soft())
        .unwrap_or(wanted);
    if descriptors::fit(config, granted) {
        tracing::warn!(
            wanted,
            granted,
            clients = config.server.max_connections,
            upstream = config.upstream.max_connections,
            "the limit of open files is low: fewer connections are held open; raise it (ulimit -n), or lower server.max_connections"
        );
    }
}

/// Settings that are right and yet may not be meant.
fn warn_of_surprises(config: &Config) {
    if config.auth.asks_for_a_token() && config.upstream.api_key.is_none() {
        tracing::warn!(
            "client tokens are set and upstream.api_key is not: client tokens are never forwarded, so the upstream gets no credential"
        );
    }
}
