//! The built binary as a child process, with every line that it writes to standard error.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::patience;

/// A ledger that ends with its process.
const LEDGER: (&str, &str) = ("PEGASUS_LEDGER__PATH", ":memory:");

/// A command that runs the binary, without the settings of the environment that the tests run in.
///
/// `PEGASUS_NEST_BIN` names another one, such as a release build.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let built = option_env!("CARGO_BIN_EXE_pegasus-nest").map(Into::into);
    let binary = std::env::var_os("PEGASUS_NEST_BIN").or(built);
    let mut command = Command::new(binary.expect("PEGASUS_NEST_BIN is not set"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command.env(LEDGER.0, LEDGER.1);
    command
}

/// The same, with no more than so many files and sockets open at once.
pub(crate) fn command_with_descriptors(limit: usize) -> Command {
    let binary = command(&[]).as_std().get_program().to_owned();
    let mut command = Command::new("/bin/sh");
    // The limit is a process's own and its children's; the shell becomes the binary.
    let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(binary);
    command.env_clear().kill_on_drop(true);
    command.env(LEDGER.0, LEDGER.1);
    command
}

/// Runs the binary to its end.
pub(crate) async fn run(command: &mut Command) -> Output {
    let running = command.stdin(Stdio::null()).output();
    timeout(patience(), running)
        .await
        .expect("the binary did not end")
        .unwrap()
}

/// A configuration file with this text.
pub(crate) fn config_file(toml: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    file
}

/// The binary, serving on a free loopback port. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    stderr: Arc<Mutex<String>>,
    lines: watch::Receiver<usize>,
    reader: JoinHandle<()>,
    _config: NamedTempFile,
}

impl Process {
    /// Starts it with these settings and options, and waits until it listens.
    pub(crate) async fn start(
        toml: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::launch(command(&[]), toml, arguments, environment).await
    }

    /// The same with a command of the test's own.
    pub(crate) async fn launch(
        mut command: Command,
        toml: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let config = config_file(toml);
        let path = config.path().to_str().unwrap().to_owned();
        let mut child = command
            .args(["--config", &path, "--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (count, mut lines) = watch::channel(0);
        let mut source = BufReader::new(child.stderr.take().unwrap()).lines();
        let sink = Arc::clone(&stderr);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = source.next_line().await {
                sink.lock().push_str(&(line + "\n"));
                count.send_modify(|count| *count += 1);
            }
        });
        let found = timeout(patience(), async {
            loop {
                if let Some(address) = listening(&stderr.lock()) {
                    return Some(address);
                }
                if lines.changed().await.is_err() {
                    return listening(&stderr.lock());
                }
            }
        })
        .await;
        let Ok(Some(address)) = found else {
            panic!("the binary does not listen: {}", stderr.lock());
        };
        Self {
            child,
            address,
            stderr,
            lines,
            reader,
            _config: config,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The processor time that it has taken so far, user and system, to a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = self.proc("stat");
        // The name in the second field may hold blanks; what follows it does not.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
        let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux that Rust runs on.
        Duration::from_millis(ticks * 10)
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that it has ever held at once, in bytes.
    pub(crate) fn peak_resident_bytes(&self) -> usize {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> usize {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// How many files and sockets it has open now.
    pub(crate) fn descriptors(&self) -> usize {
        let pid = self.child.id().expect("it has ended already");
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.child.id().expect("it has ended already");
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
    }

    /// All that it has written to standard error by now.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().clone()
    }

    /// Waits until standard error says this.
    pub(crate) async fn wait_for(&mut self, text: &str) {
        self.wait_for_stderr(|stderr| stderr.contains(text)).await;
    }

    /// Waits until standard error fulfils a condition.
    pub(crate) async fn wait_for_stderr(&mut self, mut is_met: impl FnMut(&str) -> bool) {
        let met = timeout(patience(), async {
            loop {
                if is_met(&self.stderr.lock()) || self.lines.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
        assert!(
            met.is_ok() && is_met(&self.stderr()),
            "standard error never said it: {}",
            self.stderr()
        );
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub(crate) async fn signal(&self, name: &str) {
        // The shell's own kill: the tests stay free of unsafe code, and of another package.
        let pid = self.child.id().expect("it has ended already");
        let status = Command::new("/bin/sh")
            .args(["-c", &format!("kill -s {name} {pid}")])
            .status()
            .await
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end; gives its exit status and all of its standard error.
    pub(crate) async fn wait(mut self) -> (ExitStatus, String) {
        let status = timeout(patience(), self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the binary does not end: {}", self.stderr.lock()))
            .unwrap();
        timeout(patience(), self.reader).await.unwrap().unwrap();
        let stderr = self.stderr.lock().clone();
        (status, stderr)
    }

    /// Stops it in the orderly way; gives all of its standard error.
    pub(crate) async fn stop(self) -> String {
        self.signal("TERM").await;
        let (status, stderr) = self.wait().await;
        assert!(status.success(), "{status}: {stderr}");
        stderr
    }
}

/// The address in the line that says where it listens.
fn listening(stderr: &str) -> Option<SocketAddr> {
    let (_, rest) = stderr.split_once("listening on http://")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
    rest[..end].parse().ok()
}
