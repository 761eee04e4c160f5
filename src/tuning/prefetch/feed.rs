//! How the cache tells what was asked, at the cost of a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::fingerprint::Fingerprint;
use crate::metering::Counter;
use crate::request::{Again, ProxyRequest};

/// Takes what is told, and drops what there is no room for. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    events: mpsc::Sender<Event>,
    overlooked: Arc<Counter>,
}

/// What happened, and when.
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) what: What,
}

pub(super) enum What {
    /// A question was asked.
    Asked(Question),
    /// Its client waited so long for the answer, which is on its way or here.
    Came { id: Fingerprint, wait: Duration },
}

/// A question that was asked.
pub struct Question {
    /// Who shares its answer.
    pub owner: Fingerprint,
    /// Of them the one that their client names.
    pub user: Option<Arc<str>>,
    /// What was asked.
    pub question: Fingerprint,
    /// Which of several answers it gets.
    pub variant: u32,
    /// How long its answer lives when it is new.
    pub ttl: Duration,
    /// How long the answer that was there will be fresh; `None`: there was none.
    pub fresh_for: Option<Duration>,
    /// How to ask again, where there was no answer and that may be.
    pub again: Option<Box<Again>>,
}

// === impl Feed ===

impl Feed {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            events,
            overlooked: Arc::default(),
        }
    }

    /// A question was asked, whose answer was there or not.
    pub fn asked(&self, question: Question) {
        self.tell(What::Asked(question));
    }

    /// The same, of a request.
    pub fn asked_by(
        &self,
        request: &ProxyRequest,
        question: Fingerprint,
        fresh_for: Option<Duration>,
    ) {
        let parts = request.parts();
        let again = fresh_for
            .is_none()
            .then(|| Again::of(request).map(Box::new));
        self.asked(Question {
            owner: request.owner(),
            user: request.chat().and_then(|chat| chat.user().cloned()),
            question,
            variant: request.variant(),
            ttl: parts.ttl,
            fresh_for,
            again: again.flatten(),
        });
    }

    /// A client waited so long for an answer that was not there.
    pub fn came(&self, id: Fingerprint, wait: Duration) {
        self.tell(What::Came { id, wait });
    }

    fn tell(&self, what: What) {
        let at = Instant::now();
        if self.events.try_send(Event { at, what }).is_err() {
            self.overlooked.add(1);
        }
    }

    /// What there was no room for.
    pub(super) fn overlooked(&self) -> u64 {
        self.overlooked.get()
    }
}
