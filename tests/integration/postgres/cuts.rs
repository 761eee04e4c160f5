//! Connections that break anywhere, also where nobody knows what became of a commit: everything is entered once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::support::Proxy;

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// It breaks before the commit of a batch is on its way.
    BeforeCommit,
    /// It breaks when the server has committed, and its word is not heard.
    AfterCommit,
    /// It breaks after so many bytes of answers.
    Answers(usize),
    /// It breaks after so many bytes of questions.
    Questions(usize),
}

/// A way to the server on which connections break one after the other, and those after them do not.
struct Way {
    url: String,
    broken: Arc<AtomicUsize>,
}

impl Way {
    async fn to(server: &PostgresServer, cuts: Vec<Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = server.directory().join(".s.PGSQL.5432");
        let broken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&broken);
        tokio::spawn(async move {
            let mut cuts = cuts.into_iter();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let cut = cuts.next();
                let (socket, count) = (socket.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    carry(client, socket, cut).await;
                    count.fetch_add(usize::from(cut.is_some()), Ordering::Relaxed);
                });
            }
        });
        Self {
            url: format!("postgres://pegasus:{PASSWORD}@127.0.0.1:{port}/ledger"),
            broken,
        }
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf, cut: Option<Cut>) {
    let mut server = UnixStream::connect(socket).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut questions, mut answers) = (0, 0);
    let mut is_writer = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                questions += count;
                let bytes = &asked[..count];
                let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
                is_writer |= has(b"INSERT INTO writers");
                let commits = is_writer && has(b"COMMIT\0");
                match cut {
                    Some(Cut::BeforeCommit) if commits => return,
                    Some(Cut::Questions(most)) if questions > most => return,
                    _ => {}
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                if commits && matches!(cut, Some(Cut::AfterCommit)) {
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                answers += count;
                if let Some(Cut::Answers(most)) = cut && answers > most {
                    return;
                }
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_fate_is_unknown_is_neither_lost_nor_made_twice() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    let cuts = vec![
        Cut::AfterCommit,
        Cut::BeforeCommit,
        Cut::AfterCommit,
        Cut::AfterCommit,
    ];
    let expected = cuts.len();
    let way = Way::to(&server, cuts).await;
    let proxy = Proxy::start(&format!("ledger.url = {:?}", way.url), &upstream).await;
    let mut made = 0;
    within("the breaks", async {
        while way.broken.load(Ordering::Relaxed) < expected {
            make(&proxy, &format!("turn {made}"), 3).await;
            made += 3;
        }
    })
    .await;
    proxy.stop().await;
    assert_entered(&server, made);
}

/// Wherever it breaks: in the greeting, in the making of the tables, in a batch or after it.
#[tokio::test]
async fn connections_may_break_anywhere() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    let mut random = fastrand::Rng::with_seed(11);
    let cuts: Vec<_> = (0..24)
        .map(|at| {
            if at % 2 == 0 {
                Cut::Questions(random.usize(..9_000))
            } else {
                Cut::Answers(random.usize(..6_000))
            }
        })
        .collect();
    let expected = cuts.len();
    let way = Way::to(&server, cuts).await;
    let proxy = Proxy::start(&format!("ledger.url = {:?}", way.url), &upstream).await;
    let mut made = 0;
    within("the breaks", async {
        while way.broken.load(Ordering::Relaxed) < expected {
            make(&proxy, &format!("turn {made}"), 5).await;
            made += 5;
            // A report breaks like everything else, and tries at once where the writer pauses.
            proxy.get("/api/usage").await;
        }
    })
    .await;
    reports(&proxy, made as u64).await;
    proxy.stop().await;
    assert_entered(&server, made);
}
