//! Tells the service manager how the process does, where there is one that asks (systemd's `Type=notify`).
//!
//! Where none does, all of this does nothing. Where its socket is full, because it is busy or gone, telling it blocks;
//! so that is done by a thread that nobody waits for.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use sd_notify::NotifyState;
use tokio::time::interval;

/// Messages that may wait to be told; more are dropped.
const WAITING: usize = 8;

/// The way to the service manager.
pub(crate) struct Supervisor {
    messages: Option<SyncSender<Message>>,
}

enum Message {
    Ready(String),
    Stopping,
    Alive,
}

impl Supervisor {
    /// Starts the thread that tells, if anybody wants to be told.
    pub(crate) fn start() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self { messages: None };
        }
        let (messages, told) = sync_channel::<Message>(WAITING);
        let teller = thread::Builder::new().name("supervisor".to_owned());
        let started = teller.spawn(move || {
            for message in told {
                if let Err(error) = message.tell() {
                    tracing::warn!(%error, "cannot tell the service manager");
                }
            }
        });
        Self {
            messages: started.is_ok().then_some(messages),
        }
    }

    /// The process answers requests from now on.
    pub(crate) fn ready(&self, address: &str) {
        self.tell(Message::Ready(format!("listening on http://{address}")));
    }

    /// The process lets what is under way finish, and takes nothing new.
    pub(crate) fn stopping(&self) {
        self.tell(Message::Stopping);
    }

    /// Gives signs of life, for ever, where the manager restarts a service that gives none (`WatchdogSec`). They come
    /// from the runtime, so that one which is stuck gives none.
    pub(crate) async fn give_signs_of_life(&self) {
        let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        // Twice in that time, as systemd's own documentation advises.
        let mut ticks = interval(patience / 2);
        loop {
            ticks.tick().await;
            self.tell(Message::Alive);
        }
    }

    fn tell(&self, message: Message) {
        if let Some(messages) = &self.messages {
            // Full: the manager does not read, and would not read this either.
            let _ = messages.try_send(message);
        }
    }
}

impl Message {
    fn tell(self) -> std::io::Result<()> {
        match self {
            Self::Ready(status) => {
                sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])
            }
            Self::Stopping => sd_notify::notify(&[
                NotifyState::Stopping,
                NotifyState::Status("draining: requests under way may finish"),
            ]),
            Self::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        }
    }
}
