//! Calls upstream: as many of each model at once as the upstream stands, so that what is too much waits here for a moment
//! instead of failing there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::gate::{Outcome, Window};
use super::journal::{Action, Decision, Gain, Id, Journal, Unit};
use crate::config;
use crate::error::ProxyError;
use crate::metering::account::clip;
use crate::words::{count, percent};

/// Models that are told apart: clients name them. All others share one gate.
const MOST_MODELS: usize = 64;
/// A call waits for its place no longer: then it is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Of fewer calls nothing is concluded.
const LEAST_CALLS: u64 = 50;
/// Where fewer than this share are too many, and more were without it, a limit does what it is there for.
const FEW: f64 = 0.05;
/// After the first sign of overload so many calls tell how bad it is, while the limit comes down.
const FIRST: u64 = 100;
/// From this share on: of fewer it may be chance.
const BAD: f64 = 0.2;
/// A limit is to take away so much of what was refused, at least: whoever waits for nothing is worse off than before.
const LEAST_GAIN: f64 = 0.1;
/// A wait that is more than this part of the time that a call then had is to blame if that was not enough.
const WAIT_COUNTS: u32 = 4;
/// What did no good is not tried again for so long.
const HELD: Duration = Duration::from_hours(1);

/// The gates of all models. Cheap to clone.
#[derive(Clone)]
pub struct Gates {
    shared: Arc<Shared>,
}

struct Shared {
    least: usize,
    most: usize,
    acts: bool,
    is_frozen: AtomicBool,
    gates: Mutex<HashMap<Arc<str>, Arc<Gate>>>,
}

/// The calls to one model.
pub struct Gate {
    model: Arc<str>,
    acts: bool,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    window: Window,
    in_flight: usize,
    /// Places that there are, those that are taken included.
    places: usize,
    /// Places that are gone as soon as they are given back.
    owed: usize,
    seen: Seen,
    /// The first calls since the limit was at its most.
    first: Seen,
    /// The share of the calls that were too many while the limit was held at its most.
    open: f64,
    narrowed: Option<Narrowed>,
    held_until: Option<Instant>,
    is_frozen: bool,
}

/// What happened since the last look.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    calls: u64,
    overloads: u64,
    waited: u64,
    turned_away: u64,
}

/// A limit that came down.
struct Narrowed {
    /// What the journal says of it, until it is known what it brought.
    id: Option<Id>,
    /// The share of the calls that were too many before it did.
    before: f64,
    /// As the journal has it.
    told: usize,
}

/// A call's place, until its answer has ended; given back when dropped, whatever ended it.
pub struct Place {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
    waited: Duration,
    begun: Instant,
    outcome: Outcome,
}

impl Gates {
    pub(super) fn new(config: &config::Config, acts: bool) -> Self {
        let shared = Shared {
            least: config.tuning.min_concurrency,
            most: config.upstream.max_connections_per_host,
            acts,
            is_frozen: AtomicBool::new(false),
            gates: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The gate of a model.
    pub fn of(&self, model: Option<Arc<str>>) -> Arc<Gate> {
        let mut gates = self.shared.gates.lock();
        if gates.len() >= MOST_MODELS && model.as_ref().is_some_and(|it| !gates.contains_key(it)) {
            gates.retain(|_, gate| gate.is_of_use());
        }
        let model = model.filter(|model| gates.len() < MOST_MODELS || gates.contains_key(model));
        let model = model.unwrap_or_else(|| "others".into());
        let gate = gates.entry(model).or_insert_with_key(|model| {
            let shared = &self.shared;
            let gate = Gate::new(Arc::clone(model), shared.least, shared.most, shared.acts);
            gate.state.lock().is_frozen = shared.is_frozen.load(Ordering::Relaxed);
            Arc::new(gate)
        });
        Arc::clone(gate)
    }

    /// Decides for each model of which enough was seen.
    pub(super) fn look(&self, journal: &Journal, now: Instant) {
        for gate in self.all() {
            gate.look(journal, now, self.shared.most);
        }
    }

    /// Leaves everything as it is, or no longer.
    pub(super) fn freeze(&self, is_frozen: bool) {
        self.shared.is_frozen.store(is_frozen, Ordering::Relaxed);
        for gate in self.all() {
            gate.state.lock().is_frozen = is_frozen;
        }
    }

    /// Forgets everything: all places are there again.
    pub(super) fn reset(&self) {
        for gate in self.all() {
            let mut state = gate.state.lock();
            state.window = Window::new(self.shared.least, self.shared.most);
            (state.narrowed, state.held_until) = (None, None);
            (state.first, state.open) = (Seen::default(), 0.0);
            gate.fit(&mut state);
        }
    }

    /// The least that a limit comes down to.
    pub(super) fn least(&self) -> usize {
        self.shared.least
    }

    /// The models whose calls are kept to fewer at once than there could be: the most, and how many.
    pub(super) fn narrow(&self) -> Vec<(String, usize, usize)> {
        let narrow = self.all().into_iter().filter_map(|gate| {
            let limit = gate.state.lock().window.limit();
            (limit < self.shared.most).then(|| (gate.model.to_string(), self.shared.most, limit))
        });
        let mut narrow: Vec<_> = narrow.collect();
        narrow.sort();
        narrow
    }

    fn all(&self) -> Vec<Arc<Gate>> {
        self.shared.gates.lock().values().cloned().collect()
    }
}

impl Gate {
    fn new(model: Arc<str>, least: usize, most: usize, acts: bool) -> Self {
        let window = Window::new(least, most);
        let places = window.limit().min(Semaphore::MAX_PERMITS);
        Self {
            model,
            acts,
            places: Arc::new(Semaphore::new(places)),
            state: Mutex::new(State {
                window,
                in_flight: 0,
                places,
                owed: 0,
                seen: Seen::default(),
                first: Seen::default(),
                open: 0.0,
                narrowed: None,
                held_until: None,
                is_frozen: false,
            }),
        }
    }

    /// A place for a call: at once, unless as many are under way as the upstream was found to stand; then as soon as one
    /// has ended.
    pub async fn enter(self: Arc<Self>, deadline: Instant) -> Result<Place, ProxyError> {
        let arrived = Instant::now();
        let mut permit = None;
        if self.acts {
            permit = Arc::clone(&self.places).try_acquire_owned().ok();
            if permit.is_none() && self.is_narrow() {
                self.state.lock().seen.waited += 1;
                let until = deadline.min(arrived + LONGEST_WAIT);
                let free = timeout_at(until, Arc::clone(&self.places).acquire_owned()).await;
                permit = free.ok().and_then(Result::ok);
                if permit.is_none() {
                    self.state.lock().seen.turned_away += 1;
                    return Err(self.crowded());
                }
            }
        }
        self.state.lock().in_flight += 1;
        Ok(Place {
            gate: self,
            permit,
            waited: arrived.elapsed(),
            begun: Instant::now(),
            outcome: Outcome::Otherwise,
        })
    }

    /// Whether anything is known of the model, or under way.
    fn is_of_use(&self) -> bool {
        let state = self.state.lock();
        state.in_flight > 0 || state.narrowed.is_some() || state.window.is_narrow()
    }

    /// Whether the upstream was found to stand fewer than there could be. Else nobody waits here.
    fn is_narrow(&self) -> bool {
        self.state.lock().window.is_narrow()
    }

    fn crowded(&self) -> ProxyError {
        ProxyError::UpstreamCrowded {
            model: Arc::clone(&self.model),
            limit: self.state.lock().window.limit(),
            retry_after: Duration::from_secs(1),
        }
    }

    /// Makes the places as many as the window says; those that are taken go when they are given back.
    fn fit(&self, state: &mut State) {
        let wanted = state.window.limit().min(Semaphore::MAX_PERMITS);
        let there = state.places - state.owed;
        if wanted > there {
            let more = wanted - there;
            let kept = more.min(state.owed);
            state.owed -= kept;
            self.places.add_permits(more - kept);
            state.places += more - kept;
        } else if wanted < there {
            let fewer = there - wanted;
            let gone = self.places.forget_permits(fewer);
            state.places -= gone;
            state.owed += fewer - gone;
        }
    }

    fn leave(&self, outcome: Outcome, begun: Instant, permit: Option<OwnedSemaphorePermit>) {
        let mut state = self.state.lock();
        state.seen.calls += 1;
        state.seen.overloads += u64::from(outcome == Outcome::Overload);
        let (in_flight, now) = (state.in_flight, Instant::now());
        state.in_flight = in_flight.saturating_sub(1);
        let is_held = state.held_until.is_some_and(|until| now < until);
        if !state.window.is_narrow() {
            state.first = Seen::default();
        } else if state.first.calls < FIRST {
            state.first.calls += 1;
            state.first.overloads += u64::from(outcome == Outcome::Overload);
        }
        if !state.is_frozen && !is_held {
            let took = now.saturating_duration_since(begun);
            state.window.ended(outcome, in_flight, took, now);
        }
        if let Some(permit) = permit
            && state.owed > 0
        {
            state.owed -= 1;
            state.places -= 1;
            permit.forget();
        }
        // Also after a call that needed no place: what it told of the upstream holds for the next one.
        self.fit(&mut state);
    }

    fn look(&self, journal: &Journal, now: Instant, most: usize) {
        let mut state = self.state.lock();
        if state.seen.all() < LEAST_CALLS {
            return;
        }
        let seen = std::mem::take(&mut state.seen);
        let share = seen.share();
        let limit = state.window.limit();
        let acts = self.acts && !state.is_frozen;
        let is_narrow = state.window.is_narrow();
        if let Some(narrowed) = &mut state.narrowed {
            if !acts {
                return;
            }
            let amount = (narrowed.before - share) * 1_000.0;
            if let Some(id) = narrowed.id.take() {
                let unit = Unit::CallsPerThousand;
                journal.measured(id, Gain { amount, unit });
            }
            let is_enough = share <= FEW && narrowed.before > FEW;
            if !is_enough && amount < narrowed.before * LEAST_GAIN * 1_000.0 {
                let evidence = format!(
                    "With some {limit} calls at once {} of {} were refused as too many, ran out of time or waited here in vain, and {} before: \
                     their number is not what the upstream minds. It is not tried again for an hour.",
                    percent(share),
                    count(seen.all()),
                    percent(narrowed.before),
                );
                journal.note(self.decision(Action::RolledBack, (limit, most), evidence, None));
                state.narrowed = None;
                state.window.open();
                state.held_until = Some(now + HELD);
                self.fit(&mut state);
            } else if !is_narrow {
                state.narrowed = None;
            } else if limit.abs_diff(narrowed.told) > narrowed.told / 2 {
                let evidence = format!(
                    "Of {} calls {} were refused by the upstream as too many, ran out of time or waited here in vain, and {} before there was a \
                     limit. It stands about {limit} at once by now.",
                    count(seen.all()),
                    percent(share),
                    percent(narrowed.before),
                );
                let told = std::mem::replace(&mut narrowed.told, limit);
                journal.note(self.decision(Action::Applied, (told, limit), evidence, None));
            }
            return;
        }
        if state.held_until.is_some_and(|until| now < until) {
            state.open = share;
            return;
        }
        if !state.window.is_narrow() || seen.bad() == 0 {
            return;
        }
        // The limit came down while these calls were made, and is to blame for none of them.
        let first =
            Some(state.first.share()).filter(|first| state.first.calls == FIRST && *first >= BAD);
        let before = share.max(state.open).max(first.unwrap_or(0.0));
        let waiting = if self.acts {
            format!(
                " {} waited here for a moment, and {} waited in vain.",
                count(seen.waited),
                count(seen.turned_away)
            )
        } else {
            String::new()
        };
        let evidence = format!(
            "Of {} calls {} were refused by the upstream as too many, or ran out of time. It stands about {limit} at once.{waiting}",
            count(seen.all()),
            percent(share),
        );
        let action = if acts {
            Action::Applied
        } else {
            Action::Proposed
        };
        let id = journal.note(self.decision(action, (most, limit), evidence, Some(before)));
        if acts {
            state.narrowed = Some(Narrowed {
                id: Some(id),
                before,
                told: limit,
            });
        }
    }

    fn decision(
        &self,
        action: Action,
        (before, after): (usize, usize),
        evidence: String,
        share: Option<f64>,
    ) -> Decision {
        Decision {
            subject: format!("calls at once ({})", clip(&self.model)).into(),
            action,
            before: before.to_string().into(),
            after: after.to_string().into(),
            evidence: evidence.into(),
            expected: share.map(|share| Gain {
                amount: share * 1_000.0,
                unit: Unit::CallsPerThousand,
            }),
        }
    }
}

impl Place {
    /// The call has ended well: a whole answer of so many tokens, or the head of a stream.
    pub fn went_well(&mut self, tokens: Option<u64>) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.outcome = match tokens {
            #[expect(clippy::cast_precision_loss, reason = "tokens of one answer")]
            Some(tokens) => Outcome::Well {
                // What comes before the first token is as long for a short answer.
                seconds: seconds * 100.0 / (tokens as f64 + 100.0),
                is_stream: false,
            },
            None => Outcome::Well {
                seconds,
                is_stream: true,
            },
        };
    }

    /// The upstream said that it is too much.
    pub fn was_too_much(&mut self) {
        self.outcome = Outcome::Overload;
    }

    /// The call ran out of time. What it had waited here was not the upstream's: then this is what went wrong instead.
    pub fn ran_out_of_time(&mut self) -> Option<ProxyError> {
        if self.waited > self.begun.elapsed() / WAIT_COUNTS {
            return Some(self.gate.crowded());
        }
        self.outcome = Outcome::Overload;
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate
            .leave(self.outcome, self.begun, self.permit.take());
    }
}

impl Seen {
    /// Calls that came here.
    fn all(&self) -> u64 {
        self.calls + self.turned_away
    }

    /// Those that were too many, there or here.
    fn bad(&self) -> u64 {
        self.overloads + self.turned_away
    }

    fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let share = self.bad() as f64 / self.all().max(1) as f64;
        share
    }
}

#[cfg(test)]
mod tests;
