//! A real PostgreSQL of the test's own, which can be killed, frozen and started again.
//!
//! It runs from the packages of Debian without a cluster of the system, as `postgres` where the tests run as root: it
//! refuses to do that as root itself. Texts are sorted as people sort them, as in most databases, not by their bytes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// The password of the one who owns all databases. Nothing but URLs may ever say it.
pub(crate) const PASSWORD: &str = "canary-password";

/// A server on a socket of its own; it ends when dropped.
pub(crate) struct PostgresServer {
    directory: TempDir,
    options: Vec<String>,
    /// In the name of its socket, and where it listens if it does.
    port: String,
    child: Option<Child>,
    /// Ends the server when this process ends, however that comes.
    watch: Option<Child>,
}

impl PostgresServer {
    /// A server that runs, with an empty database `ledger`.
    pub(crate) fn start() -> Self {
        Self::with(|_| Vec::new())
    }

    /// The same with further options, which may name files in a directory of its own.
    pub(crate) fn with(options: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        fs::write(path.join("password"), PASSWORD).unwrap();
        let options = options(path);
        let port = options
            .iter()
            .find_map(|option| option.strip_prefix("--port="));
        let port = port.unwrap_or("5432").to_owned();
        if let Some((user, group)) = owner() {
            chown(path, Some(user), Some(group)).unwrap();
            for entry in fs::read_dir(path).unwrap() {
                chown(entry.unwrap().path(), Some(user), Some(group)).unwrap();
            }
        }
        let made = program("initdb")
            .args(["--username=pegasus", "--auth=scram-sha-256", "--no-sync"])
            .args([
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=icu",
                "--icu-locale=en-US",
            ])
            .arg(format!("--pwfile={}", path.join("password").display()))
            .arg("-D")
            .arg(path.join("data"))
            .current_dir(path)
            .output()
            .expect("PostgreSQL is needed: apt-get install postgresql");
        assert!(made.status.success(), "{made:?}");
        let mut server = Self {
            directory,
            options,
            port,
            child: None,
            watch: None,
        };
        server.revive();
        server.run_in("postgres", "CREATE DATABASE ledger");
        server
    }

    /// Starts it where it was before, with all that was committed.
    pub(crate) fn revive(&mut self) {
        let path = self.directory.path();
        let mut child = program("postgres")
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "unix_socket_permissions=0777",
            ])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "shared_buffers=16MB",
            ])
            .args([
                "-c",
                "max_connections=40",
                "-c",
                "jit=off",
                "-c",
                "log_min_messages=warning",
            ])
            .arg(format!("-k{}", path.display()))
            .arg("-D")
            .arg(path.join("data"))
            .args(&self.options)
            .current_dir(path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let watch = Command::new("sh")
            .args([
                "-c",
                "cat; kill -CONT $0; kill -QUIT $0",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .spawn();
        self.watch = Some(watch.unwrap());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("PostgreSQL ended: {log}");
            };
            if line.contains("ready to accept connections") {
                break;
            }
            log = log + &line + "\n";
        }
        // Nobody may ever block on a full pipe.
        thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    /// The directory of its socket, and of all that is its own.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The address of a database over its socket.
    pub(crate) fn url_of(&self, database: &str) -> String {
        let socket = self.directory.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://pegasus:{PASSWORD}@{socket}/{database}")
    }

    /// The address of the database `ledger`.
    pub(crate) fn url(&self) -> String {
        self.url_of("ledger")
    }

    /// Runs SQL in the database `ledger`; gives what it answers, a row a line.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.run_in("ledger", sql)
    }

    /// Runs SQL in a database.
    pub(crate) fn run_in(&self, database: &str, sql: &str) -> String {
        let asked = Command::new(find("psql"))
            .env("PGPASSWORD", PASSWORD)
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "pegasus",
                "-d",
                database,
            ])
            .arg("-h")
            .arg(self.directory.path())
            .args(["-p", &self.port])
            .args(["-c", sql])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{sql}: {asked:?}");
        String::from_utf8(asked.stdout).unwrap().trim().to_owned()
    }

    /// Ends it like a crash.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            watch.kill().unwrap();
            watch.wait().unwrap();
        }
        if let Some(mut child) = self.child.take() {
            signal("QUIT", &[child.id()]);
            child.wait().unwrap();
        }
    }

    /// Stops it where it stands, all of its processes: it takes connections and never answers.
    pub(crate) fn freeze(&self) {
        signal("STOP", &[self.id()]);
        signal("STOP", &children_of(self.id()));
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        signal("CONT", &children_of(self.id()));
        signal("CONT", &[self.id()]);
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("it does not run").id()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.thaw();
            self.kill();
        }
    }
}

/// Whom it runs as, where the tests run as root.
fn owner() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = is_root.then(|| {
        let line = users.lines().find(|line| line.starts_with("postgres:"));
        line.expect("there is no user postgres")
    });
    let mut ids = user?.split(':').skip(2).map(|id| id.parse().unwrap());
    Some((ids.next()?, ids.next()?))
}

/// One of its programs, to be run as who may run it.
fn program(name: &str) -> Command {
    let mut command = Command::new(find(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("LC_ALL", "C");
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

/// Debian keeps its programs beside the path.
fn find(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        // Whoever is gone meanwhile is nobody's child any more.
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        if fields.split_whitespace().nth(1) == Some(&parent.to_string()) {
            let id = path.file_name().and_then(|name| name.to_str());
            children.extend(id.and_then(|id| id.parse::<u32>().ok()));
        }
    }
    children
}

fn signal(name: &str, ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    let ids = ids.iter().map(ToString::to_string);
    // The status does not matter: some may have ended by themselves.
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).args(ids).stderr(Stdio::null());
    kill.status().unwrap();
}
