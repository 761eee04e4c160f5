//! The books: rows of requests that are over, on their way to whoever makes something of them.
//!
//! Entering a row costs a request a lock and a move, and in a flood of hits a sum. A thread takes what has gathered and
//! hands it to its readers: the ledger, the figures of `/metrics` that have a model's name, the page. When it falls
//! behind, rows are dropped and counted; no request ever waits for it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Counter;
use super::account::Row;
use super::gathered::Gathered;
use super::hand::Hand;

/// Rows that may wait (about 25 MiB; three times that where all of them stand for others, too).
const MAX_WAITING: usize = 64 * 1024;
/// With so many rows waiting the thread does not rest.
const MANY: usize = MAX_WAITING / 4;
/// How long the thread lets rows gather: so late a reader may be, and so much a crash may cost.
const REST: Duration = Duration::from_millis(400);

/// Takes rows. Cheap to clone; when the last one is dropped, the thread hands on what is left and ends.
#[derive(Clone)]
pub struct Books {
    desk: Arc<Desk>,
    _closer: Arc<Closer>,
}

/// Who makes something of rows. Called by the books' own thread, which may take its time.
pub trait Reader: Send {
    /// Rows of requests that are over; see [`Hand`] for their order. May be none: then as much time has passed.
    fn read(&mut self, hand: &Hand<'_>);

    /// Nothing will follow.
    fn close(&mut self) {}
}

struct Desk {
    papers: Mutex<Papers>,
    /// There is something to do.
    bell: Condvar,
    /// Rows that there was no room for.
    dropped: Counter,
}

#[derive(Default)]
struct Papers {
    gathered: Gathered,
    /// Who waits until all of this has been read.
    waiting: Vec<oneshot::Sender<()>>,
    is_over: bool,
    /// The thread, until it is started.
    idle: Option<Vec<Box<dyn Reader>>>,
}

/// Ends the thread.
struct Closer(Arc<Desk>);

// === impl Books ===

impl Books {
    /// Books with these readers.
    pub fn new(readers: Vec<Box<dyn Reader>>) -> Self {
        let desk = Arc::new(Desk {
            papers: Mutex::new(Papers {
                idle: Some(readers),
                ..Papers::default()
            }),
            bell: Condvar::new(),
            dropped: Counter::default(),
        });
        Self {
            _closer: Arc::new(Closer(Arc::clone(&desk))),
            desk,
        }
    }

    /// Books without readers and without a thread: whoever holds them reads them, with [`Books::hand_out`].
    pub fn unread() -> Self {
        let desk = Arc::new(Desk {
            papers: Mutex::default(),
            bell: Condvar::new(),
            dropped: Counter::default(),
        });
        Self {
            _closer: Arc::new(Closer(Arc::clone(&desk))),
            desk,
        }
    }

    /// Lets `read` have the rows that nobody has read yet. For books that have no readers.
    pub fn hand_out(&self, mut read: impl FnMut(&Row)) {
        let mut papers = self.desk.papers.lock();
        papers.gathered.rows().iter().for_each(&mut read);
        papers.gathered.clear();
    }

    /// Enters a row, if there is room.
    pub fn enter(&self, row: Row) {
        let mut papers = self.desk.papers.lock();
        let waiting = papers.gathered.len();
        if papers.gathered.add(row, MAX_WAITING).is_err() {
            self.desk.dropped.add(1);
        }
        let are_many = waiting < MANY && papers.gathered.len() >= MANY;
        if waiting == 0 || are_many {
            self.desk.ring(&mut papers);
        }
    }

    /// Rows that nobody has read yet.
    pub fn waiting(&self) -> usize {
        self.desk.papers.lock().gathered.len()
    }

    /// Rows that were lost because the readers were too slow.
    pub fn dropped(&self) -> u64 {
        self.desk.dropped.get()
    }

    /// Waits until all that has been entered before has been read.
    pub async fn settled(&self) {
        let read = {
            let mut papers = self.desk.papers.lock();
            if papers.is_over {
                return;
            }
            let (tell, read) = oneshot::channel();
            papers.waiting.push(tell);
            self.desk.ring(&mut papers);
            read
        };
        // An error means that the thread is gone: nothing will be read any more.
        let _ = read.await;
    }
}

// === impl Desk ===

impl Desk {
    /// Wakes the thread, or starts it: processes that answer nothing need none.
    fn ring(self: &Arc<Self>, papers: &mut Papers) {
        let Some(readers) = papers.idle.take() else {
            self.bell.notify_one();
            return;
        };
        let desk = Arc::clone(self);
        let started = thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || desk.keep(readers));
        if let Err(error) = started {
            tracing::error!(%error, "no thread for the books: no request will be in them");
            papers.is_over = true;
            papers.waiting.clear();
        }
    }

    fn keep(&self, mut readers: Vec<Box<dyn Reader>>) {
        let _gone = Gone(self);
        let mut gathered = Gathered::default();
        loop {
            let (waiting, is_over) = self.gather(&mut gathered);
            let hand = Hand::new(gathered.rows());
            for reader in &mut readers {
                reader.read(&hand);
            }
            drop(hand);
            gathered.clear();
            for told in waiting {
                // Whoever has given up waiting needs no word.
                let _ = told.send(());
            }
            if is_over {
                for reader in &mut readers {
                    reader.close();
                }
                return;
            }
        }
    }

    /// Waits until there is something to do, and lets more of it gather unless somebody waits.
    fn gather(&self, gathered: &mut Gathered) -> (Vec<oneshot::Sender<()>>, bool) {
        let mut papers = self.papers.lock();
        while papers.gathered.is_empty() && papers.waiting.is_empty() && !papers.is_over {
            self.bell.wait(&mut papers);
        }
        while papers.gathered.len() < MANY && papers.waiting.is_empty() && !papers.is_over {
            if self.bell.wait_for(&mut papers, REST).timed_out() {
                break;
            }
        }
        std::mem::swap(&mut papers.gathered, gathered);
        (std::mem::take(&mut papers.waiting), papers.is_over)
    }
}

/// However the thread ends, nobody waits for it after that.
struct Gone<'d>(&'d Desk);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut papers = self.0.papers.lock();
        papers.is_over = true;
        papers.waiting.clear();
    }
}

// === impl Closer ===

impl Drop for Closer {
    fn drop(&mut self) {
        let mut papers = self.0.papers.lock();
        papers.is_over = true;
        self.0.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::request::Route;

    struct Tell(Sender<Option<Vec<i64>>>);

    impl Reader for Tell {
        fn read(&mut self, hand: &Hand<'_>) {
            let _ = self
                .0
                .send(Some(hand.rows.iter().map(|row| row.at).collect()));
        }

        fn close(&mut self) {
            let _ = self.0.send(None);
        }
    }

    fn row(at: i64) -> Row {
        Row {
            at,
            endpoint: Some(Route::Create),
            ..Row::default()
        }
    }

    #[tokio::test]
    async fn what_is_entered_is_read_once_and_in_order() {
        let (tell, told) = channel();
        let books = Books::new(vec![Box::new(Tell(tell))]);
        for at in 0..100 {
            books.enter(row(at));
        }
        books.settled().await;
        books.enter(row(100));
        books.settled().await;
        drop(books);
        let read: Vec<_> = told.iter().map_while(|rows| rows).flatten().collect();
        assert_eq!(read, (0..=100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_left_is_read_at_the_end() {
        let (tell, told) = channel();
        let books = Books::new(vec![Box::new(Tell(tell))]);
        let other = books.clone();
        books.enter(row(1));
        drop(books);
        other.enter(row(2));
        drop(other);
        let read: Vec<_> = told.iter().map_while(|rows| rows).flatten().collect();
        assert_eq!(read, [1, 2]);
    }

    #[test]
    fn books_without_readers_are_read_by_hand() {
        let books = Books::unread();
        for at in 0..100 {
            books.enter(row(at));
        }
        let mut read = Vec::new();
        books.hand_out(|row| read.push(row.at));
        books.enter(row(100));
        books.hand_out(|row| read.push(row.at));
        assert_eq!(read, (0..=100).collect::<Vec<_>>());
    }

    /// A reader that does not come along costs rows, never a request.
    #[tokio::test]
    async fn slow_readers_cost_rows_and_no_time() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Reader for Stuck {
            fn read(&mut self, _: &Hand<'_>) {
                let _ = self.0.recv();
            }
        }
        let (go_on, wait) = channel();
        let books = Books::new(vec![Box::new(Stuck(wait))]);
        for _ in 0..3 * MAX_WAITING {
            books.enter(Row {
                attempts: 1,
                ..row(0)
            });
        }
        assert!(books.waiting() <= MAX_WAITING);
        assert!(books.dropped() >= MAX_WAITING as u64);
        drop(go_on);
        books.settled().await;
        assert_eq!(books.waiting(), 0);
    }
}
