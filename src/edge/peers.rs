//! How many connections each address has open, so that one cannot take all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection that is turned away is kept for its client to read why. Closed at once, it would be
/// reset by what the client sends, and the reset can overtake the answer.
const FAREWELL: Duration = Duration::from_millis(250);
/// So many are kept for that at once; a crowd that is turned away is not worth more.
const FAREWELLS: usize = 16;

/// The addresses that have connections, and how many.
pub(super) struct Peers {
    /// Zero: none is turned away, and none counted.
    limit: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    farewells: Arc<Semaphore>,
}

/// One of an address's connections.
pub(super) struct Counted {
    peer: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Arc::default(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        }
    }

    /// Counts one more connection of this address; `Err` where that is one too many.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Option<Counted>, TooMany> {
        if self.limit == 0 {
            return Ok(None);
        }
        let peer = holder(peer);
        let mut open = self.open.lock();
        let count = open.entry(peer).or_default();
        if *count >= self.limit {
            return Err(TooMany {
                limit: self.limit,
                farewell: Arc::clone(&self.farewells).try_acquire_owned().ok(),
            });
        }
        *count += 1;
        Ok(Some(Counted {
            peer,
            open: Arc::clone(&self.open),
        }))
    }
}

/// Who stands behind an address: of IPv6 everybody has a whole /64.
fn holder(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            // Addresses come and go; those without a connection are forgotten.
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// An address has as many connections as it may.
#[derive(Debug)]
pub(super) struct TooMany {
    limit: usize,
    /// Where there is time to say so.
    farewell: Option<OwnedSemaphorePermit>,
}

impl TooMany {
    /// Says so and closes the connection, whatever was asked on it: its head is not waited for. So the answer is in
    /// the proxy's own words on `/v1`, too.
    pub(super) async fn tell(self, mut stream: TcpStream) {
        if self.farewell.is_none() {
            return;
        }
        let id = uuid::Uuid::now_v7();
        let body = json!({
            "success": false,
            "error": format!(
                "your address has {} connections open already (server.max_connections_per_ip); use one of them again or close it",
                self.limit
            ),
            "code": "too_many_connections",
            "request_id": id.to_string(),
        })
        .to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             retry-after: 1\r\nx-request-id: {id}\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
             connection: close\r\n\r\n{body}"
        );
        let farewell = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        // It fails only if the client is gone.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_so_many_and_they_come_back() {
        let peers = Peers::new(2);
        let one = peers.admit(address("10.0.0.1")).unwrap();
        let _two = peers.admit(address("::ffff:10.0.0.1")).unwrap();
        assert!(peers.admit(address("10.0.0.1")).is_err());
        assert!(peers.admit(address("10.0.0.2")).is_ok());
        drop(one);
        assert!(peers.admit(address("10.0.0.1")).is_ok());
        assert_eq!(peers.open.lock().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn a_crowd_that_is_turned_away_is_not_kept() {
        let peers = Peers::new(1);
        let _one = peers.admit(address("10.0.0.1")).unwrap();
        let turned_away: Vec<_> = (0..100)
            .filter_map(|_| peers.admit(address("10.0.0.1")).err())
            .collect();
        let kept = turned_away.iter().filter(|one| one.farewell.is_some());
        assert_eq!((turned_away.len(), kept.count()), (100, FAREWELLS));
    }

    #[test]
    fn of_ipv6_a_64_counts_as_one() {
        let peers = Peers::new(1);
        let _one = peers.admit(address("2001:db8::1")).unwrap();
        assert!(peers.admit(address("2001:db8::ffff:1")).is_err());
        assert!(peers.admit(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let peers = Peers::new(0);
        assert!((0..1_000).all(|_| peers.admit(address("10.0.0.1")).is_ok_and(|c| c.is_none())));
        assert!(peers.open.lock().is_empty());
    }
}
