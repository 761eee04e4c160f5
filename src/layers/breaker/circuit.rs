//! The circuits themselves, free of tower: consecutive failures open one, time half-opens it, probes
//! close it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config;

/// Model names come from clients, so their number is bounded; what is beyond shares one circuit.
const MAX_CIRCUITS: usize = 1_000;
const SHARED: &str = "(other models)";

/// All circuits, one for each model. Cheap to clone.
#[derive(Clone)]
pub struct Circuits {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    upstream: String,
    circuits: Mutex<HashMap<Arc<str>, Circuit>>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    failure_threshold: u32,
    open_for: Duration,
    half_open_probes: u32,
}

/// The circuit of one model.
struct Circuit {
    state: State,
    /// Counts the changes of state, so that results of calls from an earlier state are ignored.
    epoch: u64,
    failures: u32,
    last_failure: Option<SystemTime>,
}

/// What a circuit does with calls.
///
/// - `Closed` → `Open` after `failure_threshold` failures without a success between them
/// - `Open` → `HalfOpen` with the first call after `open_for`
/// - `HalfOpen` → `Closed` when a probe succeeds, → `Open` when one fails
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls pass.
    Closed,
    /// Calls are rejected.
    Open { since: Instant },
    /// So many probes are on their way; other calls are rejected.
    HalfOpen { probes: u32 },
}

/// Leave to make one call. It owes a verdict; dropped without one, it only gives its place back.
pub struct Permit {
    shared: Arc<Shared>,
    model: Arc<str>,
    epoch: u64,
    settled: bool,
}

/// A circuit as operators see it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Upstream and model.
    pub name: String,
    /// The model alone.
    pub model: Arc<str>,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub state: &'static str,
    /// Consecutive failures.
    pub failure_count: u32,
    /// When the last one was.
    pub last_failure: Option<SystemTime>,
    /// How long until a probe may pass.
    pub next_attempt_in: Option<Duration>,
}

// === impl Circuits ===

impl Circuits {
    /// Circuits for the models of this upstream, all closed.
    pub fn new(config: &config::Breaker, upstream: impl Into<String>) -> Self {
        let settings = Settings {
            failure_threshold: config.failure_threshold,
            open_for: config.open_for,
            half_open_probes: config.half_open_probes,
        };
        let shared = Shared {
            settings,
            upstream: upstream.into(),
            circuits: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Lets a call pass, or says how long to wait.
    pub fn admit(&self, model: &Arc<str>) -> Result<Permit, Duration> {
        let mut circuits = self.shared.circuits.lock();
        let model = Arc::clone(known(&circuits, model));
        // A model without a circuit has not been heard of: nothing speaks against it.
        let epoch = match circuits.get_mut(&model) {
            Some(circuit) => circuit.admit(self.shared.settings, &self.shared.upstream, &model)?,
            None => 0,
        };
        Ok(Permit {
            shared: Arc::clone(&self.shared),
            model,
            epoch,
            settled: false,
        })
    }

    /// Whether calls of this model pass as they do when all is well.
    pub fn is_closed(&self, model: &Arc<str>) -> bool {
        let circuits = self.shared.circuits.lock();
        let model = known(&circuits, model);
        let circuit = circuits.get(model);
        circuit.is_none_or(|circuit| circuit.state == State::Closed)
    }

    /// All circuits, by name.
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let circuits = self.shared.circuits.lock();
        let mut all: Vec<_> = circuits
            .iter()
            .map(|(model, circuit)| {
                circuit.snapshot(self.shared.settings, &self.shared.upstream, model)
            })
            .collect();
        drop(circuits);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// The name of the circuit in charge of a model.
fn known<'a>(circuits: &HashMap<Arc<str>, Circuit>, model: &'a Arc<str>) -> &'a Arc<str> {
    static OTHERS: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| SHARED.into());
    if circuits.len() < MAX_CIRCUITS || circuits.contains_key(model) {
        model
    } else {
        &OTHERS
    }
}

// === impl Circuit ===

impl Circuit {
    fn new() -> Self {
        Self {
            state: State::Closed,
            epoch: 0,
            failures: 0,
            last_failure: None,
        }
    }

    fn admit(&mut self, settings: Settings, upstream: &str, model: &str) -> Result<u64, Duration> {
        match self.state {
            State::Closed => {}
            State::Open { since } => {
                let waited = since.elapsed();
                if waited < settings.open_for {
                    return Err(settings.open_for.saturating_sub(waited));
                }
                self.change(State::HalfOpen { probes: 1 }, upstream, model);
            }
            State::HalfOpen { probes } if probes < settings.half_open_probes => {
                self.state = State::HalfOpen { probes: probes + 1 };
            }
            // A probe is on its way; its verdict will not be long.
            State::HalfOpen { .. } => return Err(Duration::from_secs(1)),
        }
        Ok(self.epoch)
    }

    fn succeed(&mut self, upstream: &str, model: &str) {
        self.failures = 0;
        if matches!(self.state, State::HalfOpen { .. }) {
            self.change(State::Closed, upstream, model);
        }
    }

    fn fail(&mut self, settings: Settings, upstream: &str, model: &str) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(SystemTime::now());
        let trips = match self.state {
            State::Closed => self.failures >= settings.failure_threshold,
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if trips {
            self.change(
                State::Open {
                    since: Instant::now(),
                },
                upstream,
                model,
            );
        }
    }

    fn abandon(&mut self) {
        if let State::HalfOpen { probes } = &mut self.state {
            *probes = probes.saturating_sub(1);
        }
    }

    fn change(&mut self, state: State, upstream: &str, model: &str) {
        self.state = state;
        self.epoch += 1;
        let failures = self.failures;
        match state {
            State::Open { .. } => tracing::warn!(upstream, model, failures, "circuit opened"),
            State::HalfOpen { .. } => tracing::info!(upstream, model, "circuit half-open: probing"),
            State::Closed => tracing::info!(upstream, model, "circuit closed"),
        }
    }

    fn snapshot(&self, settings: Settings, upstream: &str, model: &Arc<str>) -> Snapshot {
        let (state, next_attempt_in) = match self.state {
            State::Closed => ("CLOSED", None),
            State::Open { since } => (
                "OPEN",
                Some(settings.open_for.saturating_sub(since.elapsed())),
            ),
            State::HalfOpen { .. } => ("HALF_OPEN", None),
        };
        Snapshot {
            name: format!("{upstream}/{model}"),
            model: Arc::clone(model),
            state,
            failure_count: self.failures,
            last_failure: self.last_failure,
            next_attempt_in,
        }
    }
}

// === impl Permit ===

impl Permit {
    /// The verdict on the call.
    pub fn settle(mut self, healthy: bool) {
        self.judge(healthy);
        self.settled = true;
    }

    /// The verdict on the call, or none: then it only gives its place back.
    pub fn settle_with(self, verdict: Option<bool>) {
        if let Some(healthy) = verdict {
            self.settle(healthy);
        }
    }

    /// The call's answer has begun: a probe has proved enough, its end is judged like any other call's.
    pub fn answering(&mut self) {
        let mut circuits = self.shared.circuits.lock();
        if let Some(circuit) = circuits.get_mut(&self.model)
            && circuit.epoch == self.epoch
            && matches!(circuit.state, State::HalfOpen { .. })
        {
            circuit.succeed(&self.shared.upstream, &self.model);
            self.epoch = circuit.epoch;
        }
    }

    fn judge(&self, healthy: bool) {
        let Shared {
            settings,
            upstream,
            circuits,
        } = &*self.shared;
        let mut circuits = circuits.lock();
        if circuits.len() >= MAX_CIRCUITS && !circuits.contains_key(&self.model) {
            // Nothing is lost with a circuit that is closed and has no failures.
            circuits.retain(|_, circuit| circuit.state != State::Closed || circuit.failures > 0);
        }
        let model = known(&circuits, &self.model);
        let circuit = circuits
            .entry(Arc::clone(model))
            .or_insert_with(Circuit::new);
        if circuit.epoch != self.epoch {
            return;
        }
        if healthy {
            circuit.succeed(upstream, &self.model);
        } else {
            circuit.fail(*settings, upstream, &self.model);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Some(circuit) = self.shared.circuits.lock().get_mut(&self.model)
            && circuit.epoch == self.epoch
        {
            circuit.abandon();
        }
    }
}

#[cfg(test)]
mod tests;
