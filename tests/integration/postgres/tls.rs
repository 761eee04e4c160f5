//! A ledger over TLS, by the words of its URL.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::certificates::Certificates;
use crate::support::Proxy;

/// A server that speaks TLS for `localhost`, on an address of loopback that is this test's own.
fn server(certificates: &Certificates) -> (PostgresServer, SocketAddr) {
    let part = || fastrand::u8(1..255);
    let host = Ipv4Addr::new(127, part(), part(), part());
    let free = TcpListener::bind((host, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = PostgresServer::with(|directory| {
        let mut options = Vec::new();
        for (name, setting) in [("leaf.pem", "ssl_cert_file"), ("leaf.key", "ssl_key_file")] {
            let path = directory.join(name);
            fs::copy(certificates.path(name), &path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            options.push(format!("--{setting}={}", path.display()));
        }
        options.push("--ssl=on".to_owned());
        options.push(format!("--listen_addresses={}", address.ip()));
        options.push(format!("--port={}", address.port()));
        options
    });
    (server, address)
}

#[tokio::test]
async fn certificates_are_judged_as_the_address_says() {
    let upstream = Upstream::start().await;
    let certificates = Certificates::new();
    let (server, address) = server(&certificates);
    let (ca, other) = (certificates.path("ca.pem"), certificates.path("other.pem"));
    let begin = |name: &str, query: &str| {
        let (host, port) = (address.ip(), address.port());
        let address = format!("postgres://pegasus:{PASSWORD}@{name}:{port}/ledger?hostaddr={host}");
        format!("ledger.url = \"{address}&{query}\"")
    };
    for (name, query, is_good) in [
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            true,
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={other}"),
            false,
        ),
        ("localhost", "sslmode=verify-full".to_owned(), false),
        (
            "db.example",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            false,
        ),
        (
            "db.example",
            format!("sslmode=verify-ca&sslrootcert={ca}"),
            true,
        ),
        (
            "db.example",
            format!("sslmode=require&sslrootcert={other}"),
            false,
        ),
        // The password's proof is bound to the certificate, whoever signed that.
        (
            "db.example",
            "sslmode=require&channel_binding=require".to_owned(),
            true,
        ),
        ("db.example", "application_name=x".to_owned(), true),
    ] {
        let proxy = Proxy::start(&begin(name, &query), &upstream).await;
        let answer = proxy.get("/api/usage").await;
        if is_good {
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE client_addr IS NOT NULL AND NOT ssl";
            assert_eq!(server.run(plain), "0", "{query}");
        } else {
            assert_away(&answer);
        }
        proxy.stop().await;
    }
    // Bound to nothing, where there is no TLS.
    let plain = begin("localhost", "sslmode=disable&channel_binding=require");
    let proxy = Proxy::start(&plain, &upstream).await;
    assert_away(&proxy.get("/api/usage").await);
}
