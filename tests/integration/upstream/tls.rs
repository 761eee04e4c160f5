//! An upstream that speaks TLS, end to end.

use std::io;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Arc, Upstream, ask, ask_stream, text_of, within};
use crate::certificates::Certificates;
use crate::process::Process;
use crate::support::{Answer, Client};

/// The scripted upstream behind TLS. How each connection ended is told.
struct Secure {
    upstream: Upstream,
    port: u16,
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
    _task: JoinSet<()>,
}

impl Secure {
    async fn start(certificates: &Certificates) -> Self {
        let upstream = Upstream::start().await;
        let key = PrivateKeyDer::try_from(certificates.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificates.leaf.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), upstream.address);
        let (tell, ended) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                connections.spawn(async move {
                    let relay = async {
                        let mut secure = acceptor.accept(stream).await?;
                        let mut plain = TcpStream::connect(behind).await?;
                        plain.set_nodelay(true)?;
                        copy_bidirectional(&mut secure, &mut plain).await?;
                        Ok(())
                    };
                    let _ = tell.send(relay.await);
                });
            }
        });
        Self {
            upstream,
            port,
            ended,
            _task: task,
        }
    }
}

async fn proxy(secure: &Secure, host: &str, roots: &str, settings: &str) -> (Process, Client) {
    let settings = format!(
        "upstream.base_url = \"https://{host}:{}/v1\"\n{settings}",
        secure.port
    );
    // The roots are those of the system, which this variable replaces.
    let process = Process::start(&settings, &[], &[("SSL_CERT_FILE", roots)]).await;
    let client = Client::new(process.address());
    (process, client)
}

#[tokio::test]
async fn tls_is_spoken_over_one_connection_and_ended_in_order() {
    let certificates = Certificates::new();
    let mut secure = Secure::start(&certificates).await;
    let settings = "upstream.idle_timeout = \"2s\"";
    let (_process, client) =
        proxy(&secure, "localhost", &certificates.path("ca.pem"), settings).await;
    for number in 0..5 {
        let answer = client.chat(&ask(&number.to_string())).await;
        assert_eq!(answer.text(), "Hello.", "{answer:?}");
        let events = client.stream(&ask_stream(&format!("s{number}"))).await;
        assert_eq!(text_of(&events.all().await), "Hello.");
    }
    let counts = secure.upstream.counts();
    assert_eq!((counts.calls, counts.opened), (10, 1));
    let host = secure.upstream.last().header("host").to_owned();
    assert_eq!(host, format!("localhost:{}", secure.port));
    // An end that nobody announces could be an attacker's.
    let ended = within("the idle connection's end", secure.ended.recv()).await;
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn who_shows_a_wrong_certificate_is_not_asked() {
    let certificates = Certificates::new();
    let secure = Secure::start(&certificates).await;
    for (host, roots) in [("localhost", "other.pem"), ("127.0.0.1", "ca.pem")] {
        let settings = "retry.max_attempts = 1";
        let (_process, client) = proxy(&secure, host, &certificates.path(roots), settings).await;
        let refused: Answer = client.chat(&ask("q")).await;
        assert_eq!(refused.status, 502, "{host}, {roots}: {refused:?}");
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "upstream_unreachable", "{host}, {roots}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("certificate"), "{host}: {message}");
    }
    assert_eq!(secure.upstream.calls(), 0);
}
