//! Where a ledger is that instances share: `ledger.url`, with what TLS makes of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::parse;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Tls, Trust};

/// A host that does not take a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// All the rest until a connection can be used: keys, passwords, tables.
const GREET: Duration = Duration::from_secs(3);
/// A server that is gone without a word is noticed after so long: by the kernel, beside the limits on all that is asked.
const SILENCE: Duration = Duration::from_secs(15);
/// What is accepted.
const EXPECTED: &str = "expected a URL such as \"postgres://user:password@host:5432/database?sslmode=verify-full\", \
     with %40 for an @ in it, and no parameters but sslmode, sslrootcert, host, hostaddr, port, user, password, dbname, options, \
     application_name, connect_timeout, tcp_user_timeout, keepalives, keepalives_idle, keepalives_interval, \
     keepalives_retries, target_session_attrs, channel_binding and load_balance_hosts";

/// Where a PostgreSQL database is, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: Box<Config>,
    trust: Trust,
}

impl Address {
    /// Reads `ledger.url`. The error says what is accepted and holds nothing of the text, which can hold a password.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, String> {
        let text = text.expose_secret();
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        // With a second @, or one in a query, a part of a password would be taken for that of a name, which is shown.
        let before = text
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'));
        let has_query = |before: &str| {
            before
                .split_once('/')
                .is_some_and(|(_, path)| path.contains('?'))
        };
        let is_odd = before.is_some_and(|(before, after)| has_query(before) || after.contains('@'));
        if !is_url || is_odd {
            return Err(EXPECTED.to_owned());
        }
        let (url, tls) = without_tls(text);
        let mut config: Config = url.parse().map_err(|_| EXPECTED.to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(EXPECTED.to_owned());
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
            return Err("expected one port, or one for each host".to_owned());
        }
        let trust = tls.judge(&mut config)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("pegasus-nest");
        }
        config
            .keepalives_idle(SILENCE.min(config.get_keepalives_idle()))
            .keepalives_interval(SILENCE / 3)
            .keepalives_retries(3);
        Ok(Self {
            config: Box::new(config),
            trust,
        })
    }

    /// What opens connections.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// What secures them.
    pub(super) fn tls(&self) -> Result<Tls, rustls::Error> {
        Tls::new(&self.trust)
    }

    /// How long it may take until a connection can be used.
    pub(super) fn patience(&self) -> Duration {
        let hosts = self
            .config
            .get_hosts()
            .len()
            .max(self.config.get_hostaddrs().len());
        let connect = self.config.get_connect_timeout();
        let connect = connect.copied().unwrap_or(CONNECT);
        GREET.saturating_add(connect.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX)))
    }
}

/// For people, and without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            let port = ports.get(at).or(ports.last());
            if let Some(port) = port.filter(|port| **port != 5432) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a URL says of TLS. Its parser knows less than `verify-full`.
#[derive(Default)]
struct TlsSettings {
    mode: Option<String>,
    roots: Option<String>,
}

/// A URL without what it says of TLS, and that.
fn without_tls(url: &str) -> (String, TlsSettings) {
    let mut settings = TlsSettings::default();
    let after_password = url.find('@').unwrap_or(0);
    let Some(begins) = url[after_password..].find('?') else {
        return (url.to_owned(), settings);
    };
    let (rest, query) = url.split_at(after_password + begins);
    let mut others = Vec::new();
    for part in query[1..].split('&') {
        // A plus is one here, other than in forms.
        let plain = part.replace('+', "%2B");
        match parse(plain.as_bytes()).next() {
            Some((name, value)) if name == "sslmode" => settings.mode = Some(value.into_owned()),
            Some((name, value)) if name == "sslrootcert" => {
                settings.roots = Some(value.into_owned());
            }
            _ => others.push(part),
        }
    }
    let query = others.join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    (format!("{rest}{mark}{query}"), settings)
}

impl TlsSettings {
    /// Whose certificates are good, by the same words as in libpq.
    fn judge(&self, config: &mut Config) -> Result<Trust, String> {
        let is_local = |host: &Host| matches!(host, Host::Unix(_));
        let roots = self.roots.as_deref().filter(|path| *path != "system");
        let roots = roots.map(read_roots).transpose()?;
        let has_roots = self.roots.is_some();
        let (mode, trust) = match self.mode.as_deref() {
            Some("disable") => (SslMode::Disable, Trust::Anyone),
            None | Some("prefer") => (SslMode::Prefer, Trust::Anyone),
            Some("require") if !has_roots => (SslMode::Require, Trust::Anyone),
            Some("require" | "verify-ca") => (SslMode::Require, Trust::Signed(roots)),
            Some("verify-full") => (SslMode::Require, Trust::Named(roots)),
            Some(_) => {
                let modes = "expected sslmode=disable, prefer, require, verify-ca or verify-full";
                return Err(modes.to_owned());
            }
        };
        // What stays on the machine is not encrypted, whatever is asked for: the server would refuse.
        let stays = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local);
        config.ssl_mode(if stays { SslMode::Disable } else { mode });
        Ok(trust)
    }
}

fn read_roots(path: &str) -> Result<Arc<[CertificateDer<'static>]>, String> {
    let read = CertificateDer::pem_file_iter(Path::new(path));
    let roots: Result<Vec<_>, _> = read.and_then(Iterator::collect);
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots.into()),
        _ => Err("expected sslrootcert to be a readable file of certificates in PEM".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        Address::parse(&text.into())
    }

    #[test]
    fn addresses_are_understood_and_shown_without_their_password() {
        for (text, shown) in [
            (
                "postgres://me:canary@db.example.com/books",
                "postgres://db.example.com/books",
            ),
            (
                "postgresql://me:c%40nary%2F@a:1,b:2/books?connect_timeout=1",
                "postgres://a:1,b:2/books",
            ),
            (
                "postgres:///books?host=/run/postgresql",
                "postgres:///run/postgresql/books",
            ),
            (
                "postgres://me@%2Frun%2Fpostgresql/books",
                "postgres:///run/postgresql/books",
            ),
            ("postgres://h/books?password=canary", "postgres://h/books"),
        ] {
            let address = read(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("nary"));
        }
        let two = read("postgres://a,b/books?connect_timeout=7").unwrap();
        assert_eq!(two.patience(), Duration::from_secs(17));
    }

    #[test]
    fn bad_addresses_are_not_repeated() {
        for text in [
            "",
            "canary",
            "host=canary",
            "mysql://canary@h/d",
            "postgres://",
            "postgres://me:can@ry@h/d",
            "postgres://h/d?user=me&password=can@ry",
            "postgres://me:canary@h:port/d",
            "postgres://me:canary@h/d?port=1,2",
            "postgres://me:canary@h/d?canary=1",
            "postgres://me:canary@h/d?sslmode=canary",
            "postgres://me:canary@h/d?sslmode=verify-full&sslrootcert=/canary",
            "postgres://me:canary@h/d?sslmode=verify-full&sslrootcert=/dev/null",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with("expected ") && !error.contains("nary"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn tls_is_as_the_url_says_it() {
        let mode = |query: &str| {
            let address = read(&format!("postgres://me:p?w@h/d{query}")).unwrap();
            assert_eq!(address.config.get_dbname(), Some("d"));
            (address.config.get_ssl_mode(), address.trust)
        };
        assert_eq!(mode(""), (SslMode::Prefer, Trust::Anyone));
        assert_eq!(mode("?sslmode=disable"), (SslMode::Disable, Trust::Anyone));
        assert_eq!(mode("?sslmode=require"), (SslMode::Require, Trust::Anyone));
        assert_eq!(
            mode("?connect_timeout=1&sslmode=verify-ca&application_name=x"),
            (SslMode::Require, Trust::Signed(None))
        );
        assert_eq!(
            mode("?sslmode=verify-full&sslrootcert=system"),
            (SslMode::Require, Trust::Named(None))
        );
        let local = read("postgres://me@%2Frun/d?sslmode=require").unwrap();
        assert_eq!(local.config.get_ssl_mode(), SslMode::Disable);
    }
}
