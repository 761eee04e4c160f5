//! Where lines leave: a buffer that requests write to, and a thread that empties it.
//!
//! A pipe that nobody reads must stop no request, so lines beyond the bound are dropped and counted. And a line must wake
//! nobody: on a busy core the switch to another thread and its call into the kernel cost more than the line. So the
//! thread writes what there is, rests, and writes what has gathered meanwhile.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait for whoever reads them.
const MAX_WAITING: usize = 2 * 1024 * 1024;
/// How long the thread rests: so late a line may be that follows another one.
const REST: Duration = Duration::from_millis(10);
/// Room that is kept for lines once many have been written.
const KEPT: usize = 64 * 1024;
/// How long the end waits for the last lines to be read.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes lines. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// The thread's: there is something to write, or nothing will follow.
    come: Condvar,
    /// The end's: all has been written.
    gone: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread sleeps until it is woken.
    is_idle: bool,
    /// Nothing will follow.
    is_over: bool,
    /// The thread has ended, or never began.
    is_gone: bool,
}

/// Keeps the thread going; whoever drops it waits, briefly, until all is written.
pub(super) struct OutletGuard {
    outlet: Outlet,
    thread: Option<JoinHandle<()>>,
}

/// An outlet to this writer. Where no thread can be started, all lines are lost, and counted.
pub(super) fn open(to: impl Write + Send + 'static) -> (Outlet, OutletGuard) {
    let shared = Shared {
        waiting: Mutex::default(),
        come: Condvar::new(),
        gone: Condvar::new(),
        lost: AtomicU64::new(0),
    };
    let outlet = Outlet {
        shared: Arc::new(shared),
    };
    let emptied = Arc::clone(&outlet.shared);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || emptied.empty(to));
    outlet.shared.waiting.lock().is_gone = thread.is_err();
    let guard = OutletGuard {
        outlet: outlet.clone(),
        thread: thread.ok(),
    };
    (outlet, guard)
}

// === impl Outlet ===

impl Outlet {
    /// How many lines were lost because nobody read them.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Write for &Outlet {
    /// Takes all of a line, or nothing.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shared = &self.shared;
        let mut waiting = shared.waiting.lock();
        if waiting.is_gone || waiting.lines.len() + line.len() > MAX_WAITING {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.lines.extend_from_slice(line);
            if std::mem::take(&mut waiting.is_idle) {
                shared.come.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

// === impl Shared ===

impl Shared {
    /// Writes what comes until nothing follows.
    fn empty(&self, mut to: impl Write) {
        let mut lines = Vec::new();
        let mut is_torn = false;
        let mut waiting = self.waiting.lock();
        loop {
            while waiting.lines.is_empty() {
                if waiting.is_over {
                    waiting.is_gone = true;
                    self.gone.notify_all();
                    return;
                }
                waiting.is_idle = true;
                self.come.wait(&mut waiting);
            }
            std::mem::swap(&mut lines, &mut waiting.lines);
            waiting.is_idle = false;
            drop(waiting);
            self.write(&mut to, &lines, &mut is_torn);
            lines.clear();
            lines.shrink_to(KEPT);
            waiting = self.waiting.lock();
            if !waiting.is_over {
                // Nobody wakes it but the end.
                self.come.wait_for(&mut waiting, REST);
            }
        }
    }

    /// Writes lines, or as many as can be written; the others are lost, and counted. `is_torn`: only the beginning of the
    /// last one was written.
    fn write(&self, to: &mut impl Write, mut lines: &[u8], is_torn: &mut bool) {
        if *is_torn && to.write_all(b"\n").is_ok() {
            *is_torn = false;
        }
        while !lines.is_empty() {
            match to.write(lines) {
                Ok(written) if written > 0 => {
                    *is_torn = lines[written - 1] != b'\n';
                    lines = &lines[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else who holds the pipe does not want to wait for it; we do.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(REST);
                    // Nor does the end.
                    if self.waiting.lock().is_over {
                        break;
                    }
                }
                Ok(_) | Err(_) => break,
            }
        }
        let lost = memchr::memchr_iter(b'\n', lines).count();
        self.lost.fetch_add(lost as u64, Ordering::Relaxed);
        let _ = to.flush();
    }
}

// === impl OutletGuard ===

impl OutletGuard {
    /// What takes the lines.
    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }
}

impl Drop for OutletGuard {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let shared = &self.outlet.shared;
        let mut waiting = shared.waiting.lock();
        waiting.is_over = true;
        shared.come.notify_one();
        if !waiting.is_gone {
            shared.gone.wait_for(&mut waiting, FAREWELL);
        }
        let is_gone = waiting.is_gone;
        drop(waiting);
        // A thread whose pipe nobody reads cannot be waited for.
        if is_gone {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes a piece when it is told to, and tells what it got.
    struct Slow {
        go: Receiver<()>,
        got: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            self.got.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes some bytes, fails, and takes the rest.
    struct Failing {
        got: Arc<Mutex<Vec<u8>>>,
        takes: std::vec::IntoIter<Option<usize>>,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = match self.takes.next() {
                Some(None) => return Err(io::Error::other("the disk is full")),
                Some(Some(length)) => length.min(bytes.len()),
                None => bytes.len(),
            };
            self.got.lock().extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_tear_no_others() {
        let got = Arc::new(Mutex::new(Vec::new()));
        let to = Failing {
            got: Arc::clone(&got),
            takes: vec![Some(6), None].into_iter(),
        };
        let (outlet, guard) = open(to);
        // In one piece: the thread has not begun, or takes what there is.
        (&outlet).write_all(b"one\ntwo\nthree\n").unwrap();
        while outlet.lost() == 0 {
            std::thread::yield_now();
        }
        (&outlet).write_all(b"four\n").unwrap();
        drop(guard);
        assert_eq!(outlet.lost(), 2, "what of two was not written, and three");
        assert_eq!(&**got.lock(), b"one\ntw\nfour\n");
        // Nobody is there any more.
        (&outlet).write_all(b"five\n").unwrap();
        assert_eq!(outlet.lost(), 3);
    }

    fn slow() -> (Slow, Sender<()>, Receiver<Vec<u8>>) {
        let (go, told) = channel();
        let (got, gets) = channel();
        (Slow { go: told, got }, go, gets)
    }

    #[test]
    fn a_line_leaves_at_once_and_what_follows_together() {
        let (to, go, gets) = slow();
        let (outlet, guard) = open(to);
        let lines = || &outlet;
        lines().write_all(b"one\n").unwrap();
        go.send(()).unwrap();
        assert_eq!(gets.recv().unwrap(), b"one\n");
        // Whether or not the thread rests, it has at most one piece in hand.
        for line in ["two\n", "three\n", "four\n"] {
            lines().write_all(line.as_bytes()).unwrap();
        }
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        drop(guard);
        let rest: Vec<u8> = gets.try_iter().flatten().collect();
        assert_eq!(rest, b"two\nthree\nfour\n");
        assert_eq!(outlet.lost(), 0);
    }

    #[test]
    fn the_end_waits_for_the_last_lines() {
        let (to, go, gets) = slow();
        let (outlet, guard) = open(to);
        for _ in 0..3 {
            (&outlet).write_all(b"line\n").unwrap();
            go.send(()).unwrap();
        }
        drop(guard);
        let got: Vec<u8> = gets.try_iter().flatten().collect();
        assert_eq!(got, b"line\nline\nline\n");
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let (to, go, gets) = slow();
        let (outlet, guard) = open(to);
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let written = 3 * MAX_WAITING / line.len();
        for _ in 0..written {
            (&outlet).write_all(&line).unwrap();
        }
        // What waits, and what the thread has in hand.
        let lost = usize::try_from(outlet.lost()).unwrap();
        assert!(lost >= written / 3 && lost < written, "{lost} of {written}");
        // Each piece is taken whole, and there are never more pieces than lines.
        for _ in 0..written {
            go.send(()).unwrap();
        }
        drop(guard);
        let read: usize = gets.try_iter().map(|piece| piece.len()).sum();
        assert_eq!(read, (written - lost) * line.len());
    }
}
