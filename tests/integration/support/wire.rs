//! A client that writes bytes by hand, and reads the answers one after the other.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// One connection, for whatever bytes a test wants to send.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Such as `HTTP/1.1 200 OK`.
    pub(crate) start: String,
    pub(crate) status: u16,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self::over(stream.unwrap())
    }

    /// Connects from the loopback address of this number, as if many hosts took part.
    pub(crate) async fn connect_as(number: usize, address: SocketAddr) -> io::Result<Self> {
        let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 1, high, low], 0).into())?;
        let stream = within("a connection", socket.connect(address)).await?;
        Ok(Self::over(stream))
    }

    fn over(stream: TcpStream) -> Self {
        // Packets as the test makes them.
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Connects, sends these bytes, and reads all answers until the other side closes.
    pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<Reading> {
        let mut wire = Self::connect(address).await;
        // A server may refuse before it has read everything.
        let _ = wire.send(bytes).await;
        wire.rest().await
    }

    /// Sends these bytes.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("room for the bytes", self.stream.write_all(bytes.as_ref())).await
    }

    /// The next answer; `None` once the other side has closed.
    pub(crate) async fn answer(&mut self) -> Option<Reading> {
        self.read(true).await
    }

    /// The next answer, to a HEAD: its length is that of a body which does not come.
    pub(crate) async fn answer_to_head(&mut self) -> Option<Reading> {
        self.read(false).await
    }

    /// All answers until the other side closes. Bytes that are no answer fail the test.
    pub(crate) async fn rest(mut self) -> Vec<Reading> {
        let mut all = Vec::new();
        while let Some(answer) = self.answer().await {
            all.push(answer);
        }
        all
    }

    /// Waits until the other side has closed; gives what it said before.
    pub(crate) async fn end(mut self) -> Bytes {
        while self.more().await {}
        self.buffer.freeze()
    }

    /// Reads on; whether anything came. A reset is an end as well.
    pub(crate) async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        within("bytes or an end", read).await.unwrap_or(0) > 0
    }

    async fn read(&mut self, has_body: bool) -> Option<Reading> {
        let head = loop {
            if let Some(head) = self.until(b"\r\n\r\n") {
                break head;
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "half a head: {:?}", self.buffer);
                return None;
            }
        };
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        let mut answer = Reading {
            status: status(&start),
            start,
            headers: headers.collect(),
            body: Bytes::new(),
        };
        let is_empty = answer.status < 200 || matches!(answer.status, 204 | 304);
        if has_body && !is_empty {
            answer.body = self.body(&answer).await;
        }
        Some(answer)
    }

    async fn body(&mut self, answer: &Reading) -> Bytes {
        if !answer.header("transfer-encoding").is_empty() {
            return self.chunks().await;
        }
        let Ok(length) = answer.header("content-length").parse() else {
            while self.more().await {}
            return self.buffer.split().freeze();
        };
        self.exactly(length).await
    }

    async fn chunks(&mut self) -> Bytes {
        let mut body = BytesMut::new();
        loop {
            let size = loop {
                if let Some(size) = self.until(b"\r\n") {
                    break usize::from_str_radix(&size, 16).unwrap();
                }
                assert!(self.more().await, "the body breaks off: {body:?}");
            };
            let chunk = self.exactly(size + 2).await;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body.freeze();
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Bytes {
        while self.buffer.len() < length {
            assert!(self.more().await, "the body breaks off: {:?}", self.buffer);
        }
        self.buffer.split_to(length).freeze()
    }

    /// The bytes before this mark, if it has come.
    fn until(&mut self, mark: &[u8]) -> Option<String> {
        let end = self.buffer.windows(mark.len()).position(|w| w == mark)?;
        let before = self.buffer.split_to(end);
        self.buffer.advance(mark.len());
        Some(String::from_utf8_lossy(&before).into_owned())
    }
}

impl Reading {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

fn status(start: &str) -> u16 {
    let is_http = start.starts_with("HTTP/1.1 ") || start.starts_with("HTTP/1.0 ");
    let status = start.get(9..12).and_then(|digits| digits.parse().ok());
    assert!(
        is_http && status.is_some(),
        "no answer begins with {start:?}"
    );
    status.unwrap()
}
