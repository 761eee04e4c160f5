//! Watches over the tier: connects in the background, follows what the other instances tell, and turns it on and off.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::link::{Address, Links, Push, is_refusal};
use super::{Shared, WRITE, clears, late, lease, spending};

/// How long the tier is off after a failure.
const OFF: Duration = Duration::from_secs(1);
/// How long connecting may take; nobody waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// What is written behind requests waits so long for a tier that has just gone off.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same failure is logged once in so much time.
const TELL_AGAIN: Duration = Duration::from_mins(1);
/// How often an idle link is tried, and asked for clears of which the message was lost.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The tier's own breaker.
#[derive(Default)]
pub(super) struct Switch {
    state: Mutex<State>,
    turned_off: Notify,
    turned_on: Notify,
}

#[derive(Default)]
struct State {
    on: Option<On>,
    /// How often links were made.
    made: u64,
    last_error: Option<RedisError>,
    /// When it went off.
    off_since: Option<Instant>,
    /// The last failure that was logged, and when.
    told: Option<(String, Instant)>,
}

/// The links that are in use.
#[derive(Clone)]
pub(super) struct On {
    pub(super) links: Links,
    /// Which ones they are, so that a late failure of those before does not turn these off.
    pub(super) number: u64,
}

impl Switch {
    /// The links in use, if the tier is on.
    pub(super) fn links(&self) -> Option<On> {
        self.state.lock().on.clone()
    }

    pub(super) fn is_on(&self) -> bool {
        self.state.lock().on.is_some()
    }

    /// Waits until the tier is on, if it went off only a moment ago: for what no request waits for.
    pub(super) async fn patience(&self) {
        let turned_on = self.turned_on.notified();
        let until = match &*self.state.lock() {
            State {
                on: None,
                off_since: Some(since),
                ..
            } => *since + PATIENCE,
            _ => return,
        };
        let _ = timeout_at(until, turned_on).await;
    }

    /// How often links were made.
    pub(super) fn made(&self) -> u64 {
        self.state.lock().made
    }

    /// Whether these very links are in use.
    fn is_on_by(&self, number: u64) -> bool {
        let state = self.state.lock();
        state.on.as_ref().is_some_and(|on| on.number == number)
    }

    pub(super) fn state(&self) -> &'static str {
        let State {
            on,
            made,
            last_error,
            ..
        } = &*self.state.lock();
        match (on, made, last_error) {
            (Some(_), ..) => "ok",
            (None, 0, None) => "connecting",
            (None, ..) => "off",
        }
    }

    pub(super) fn last_error(&self) -> Option<&'static str> {
        self.state.lock().last_error.as_ref().map(class)
    }

    fn on(&self, links: Links) -> u64 {
        let mut state = self.state.lock();
        state.made += 1;
        let number = state.made;
        state.on = Some(On { links, number });
        self.turned_on.notify_waiters();
        number
    }

    /// Turns the tier off, if these links are still in use.
    pub(super) fn off(&self, number: u64, error: &RedisError) -> bool {
        let mut state = self.state.lock();
        if state.on.as_ref().is_none_or(|on| on.number != number) {
            return false;
        }
        state.on = None;
        state.off_since = Some(Instant::now());
        state.last_error = Some(error.clone());
        self.turned_off.notify_one();
        true
    }

    /// Notes why there are no links.
    fn failed(&self, error: &RedisError) {
        self.state.lock().last_error = Some(error.clone());
    }

    /// Whether the last failure was a link that broke.
    fn is_broken(&self) -> bool {
        let state = self.state.lock();
        let error = state.last_error.as_ref();
        error.is_some_and(RedisError::is_connection_dropped)
    }

    /// The last failure, if it is one to be told: another one than the last, or the last that is long ago.
    fn news(&self) -> Option<String> {
        let mut state = self.state.lock();
        let error = line(state.last_error.as_ref()?);
        let is_known = state
            .told
            .as_ref()
            .is_some_and(|(told, when)| *told == error && when.elapsed() < TELL_AGAIN);
        if is_known {
            return None;
        }
        state.told = Some((error.clone(), Instant::now()));
        Some(error)
    }
}

/// What went wrong, on one line: some errors quote what came.
fn line(error: &RedisError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

/// What went wrong, in a few words that hold nothing of the server's or the network's.
fn class(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "the credentials were refused",
        ErrorKind::Io if error.is_timeout() => "no answer in time",
        ErrorKind::Io if error.is_connection_refusal() => "the connection was refused",
        ErrorKind::Io => "the connection failed",
        ErrorKind::Server(_) | ErrorKind::Extension => "the server refused a command",
        ErrorKind::ClusterConnectionNotFound => "no node of the cluster answers",
        _ => "what answers is no Redis that is understood",
    }
}

/// Keeps the tier on as far as Redis lets it, for ever.
pub(super) async fn run(shared: Arc<Shared>, address: Address) {
    let channel = shared.keys.channel();
    let mut is_told = true;
    loop {
        let began = Instant::now();
        match shared.open(&address, &channel).await {
            Ok((links, pushes)) => {
                let number = shared.switch.on(links.clone());
                shared.start_sweeps();
                shared.landings.tell_all();
                // A server at its limit may go on and off every few seconds.
                if is_told {
                    tracing::info!("redis: connected, the cache is shared");
                }
                shared.attend(links, number, pushes).await;
            }
            Err(error) => shared.switch.failed(&error),
        }
        let news = shared.switch.news();
        is_told = news.is_some();
        if let Some(error) = news {
            tracing::warn!(error, "redis: off, this instance caches for itself");
        }
        // A link that was good and broke is made anew at once. A server that does not answer in time is left alone.
        if !shared.switch.is_broken() || began.elapsed() < OFF {
            shared.landings.tell_all();
            sleep(OFF).await;
        }
    }
}

impl Shared {
    /// Connects, and learns what was cleared before anything is read.
    async fn open(
        &self,
        address: &Address,
        channel: &str,
    ) -> RedisResult<(Links, mpsc::Receiver<Push>)> {
        let connected = timeout(CONNECT, async {
            let (links, pushes) = address.connect(channel).await?;
            let scripts = lease::scripts().into_iter().chain(clears::scripts());
            for script in scripts.chain([spending::script()]) {
                // Where that is not permitted, the first use of each takes a little longer.
                match script.load_async(&mut links.asks.clone()).await {
                    Err(error) if !is_refusal(&error) => return Err(error),
                    _ => {}
                }
            }
            RedisResult::Ok((links, pushes))
        });
        let (links, pushes) = connected.await.unwrap_or_else(|_| Err(late()))?;
        let mut link = links.asks.clone();
        // It must do in time what a request will ask of it, or it would be off again with the first one.
        let synced = timeout(self.timeout, self.sync(&mut link)).await;
        synced.unwrap_or_else(|_| Err(late()))?;
        // As long as a clear is owed, what is there may be what was cleared.
        let settled = timeout(CONNECT, self.settle(&mut link)).await;
        settled.unwrap_or_else(|_| Err(late()))?;
        Ok((links, pushes))
    }

    /// Follows a link until it fails.
    async fn attend(&self, links: Links, number: u64, mut pushes: mpsc::Receiver<Push>) {
        let Links {
            asks: mut link,
            mut writes,
        } = links;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.tick().await;
        loop {
            let has_news = tokio::select! {
                () = self.switch.turned_off.notified() => {
                    if !self.switch.is_on_by(number) {
                        return;
                    }
                    // It was about the links before these.
                    false
                }
                _ = heartbeat.tick() => true,
                () = self.news.notified() => true,
                push = pushes.recv() => match push {
                    Some(Push::Message(message)) => {
                        self.landings.tell(&message);
                        message == b"clears"
                    }
                    // A cluster is more than one socket; the others tell what there is to know.
                    Some(Push::Disconnected) => {
                        self.landings.tell_all();
                        true
                    }
                    None => {
                        self.fail(number, &closed());
                        return;
                    }
                },
            };
            if !has_news {
                continue;
            }
            let well = async {
                let ping = redis::cmd("PING");
                // Idle connections are closed by servers and by what is on the way to them.
                let alive = timeout(self.timeout.max(WRITE), ping.exec_async(&mut writes));
                let synced = timeout(self.timeout, self.sync(&mut link));
                let (alive, synced) = tokio::join!(alive, synced);
                alive.unwrap_or_else(|_| Err(late()))?;
                synced.unwrap_or_else(|_| Err(late()))?;
                let settled = timeout(CONNECT, self.settle(&mut link)).await;
                settled.unwrap_or_else(|_| Err(late()))
            };
            if let Err(error) = well.await {
                self.fail(number, &error);
                return;
            }
            self.start_sweeps();
        }
    }
}

fn closed() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the connection was closed").into()
}
