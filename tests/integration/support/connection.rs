//! One connection of the scripted upstream: reads requests by hand and performs what the script says.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::act::Step;
use super::upstream::Shared;
use super::{Act, End, Recorded};

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, connection: usize) {
    shared.count(|counts| {
        counts.opened += 1;
        counts.open += 1;
        counts.peak_open = counts.peak_open.max(counts.open);
    });
    let _ = converse(stream, &shared, connection).await;
    shared.count(|counts| counts.open -= 1);
}

async fn converse(stream: TcpStream, shared: &Shared, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = stream.into_split();
    let mut buffer = BytesMut::new();
    for nth in 0.. {
        let Some(mut request) = read_request(&mut input, &mut buffer).await? else {
            return Ok(());
        };
        request.connection = connection;
        request.nth = nth;
        let act = shared.begin(&request);
        let performed = tokio::select! {
            // Whether a client left is only asked where there is still something to do.
            biased;
            performed = perform(&act, &mut output, shared) => performed,
            () = hung_up(&mut input, &mut buffer) => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        shared.count(|counts| {
            counts.busy -= 1;
            counts.hang_ups += usize::from(performed.is_err());
        });
        performed?;
        match act.end {
            End::KeepAlive => {}
            End::Reset => {
                let stream = input.reunite(output).map_err(io::Error::other)?;
                return stream.set_zero_linger();
            }
            End::Close | End::Silence | End::HalfClose => return Ok(()),
        }
    }
    Ok(())
}

async fn perform(act: &Act, output: &mut OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    for step in &act.steps {
        match step {
            Step::Wait(gate) => gate.pass().await,
            Step::Send(bytes) => write(output, bytes, shared).await?,
            Step::Drip(bytes) => {
                for byte in bytes.chunks(1) {
                    write(output, byte, shared).await?;
                    tokio::task::yield_now().await;
                }
            }
            Step::Crawl(bytes, pause) => {
                for byte in bytes.chunks(1) {
                    write(output, byte, shared).await?;
                    tokio::time::sleep(*pause).await;
                }
            }
            Step::Flood(bytes) => loop {
                write(output, bytes, shared).await?;
                tokio::task::yield_now().await;
            },
        }
    }
    if act.end == End::HalfClose {
        output.shutdown().await?;
    }
    if matches!(act.end, End::Silence | End::HalfClose) {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn write(output: &mut OwnedWriteHalf, bytes: &[u8], shared: &Shared) -> io::Result<()> {
    output.write_all(bytes).await?;
    shared.count(|counts| counts.written += bytes.len());
    Ok(())
}

/// Waits for the client's end; what it sends before that belongs to its next request.
async fn hung_up(input: &mut OwnedReadHalf, buffer: &mut BytesMut) {
    while input.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
}

/// The next request; `None` if the client has no more.
async fn read_request(
    input: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
) -> io::Result<Option<Recorded>> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        if input.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer.split_to(end)).into_owned();
    buffer.advance(4);
    let mut lines = head.split("\r\n");
    let mut start = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (start.next().unwrap_or_default(), start.next());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Recorded {
        method: method.to_owned(),
        path: path.unwrap_or_default().to_owned(),
        headers,
        body: Bytes::new(),
        connection: 0,
        nth: 0,
    };
    if request.header("transfer-encoding").contains("chunked") {
        request.body = read_chunks(input, buffer).await?;
    } else {
        let length = request.header("content-length").parse().unwrap_or(0);
        fill(input, buffer, length).await?;
        request.body = buffer.split_to(length).freeze();
    }
    Ok(Some(request))
}

async fn read_chunks(input: &mut OwnedReadHalf, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let end = loop {
            if let Some(end) = find(buffer, b"\r\n") {
                break end;
            }
            let have = buffer.len();
            fill(input, buffer, have + 1).await?;
        };
        let size = String::from_utf8_lossy(&buffer.split_to(end)).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        buffer.advance(2);
        fill(input, buffer, size + 2).await?;
        body.extend_from_slice(&buffer.split_to(size));
        buffer.advance(2);
        if size == 0 {
            return Ok(body.freeze());
        }
    }
}

async fn fill(input: &mut OwnedReadHalf, buffer: &mut BytesMut, length: usize) -> io::Result<()> {
    while buffer.len() < length {
        if input.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
