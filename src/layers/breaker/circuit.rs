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

    fn snapshot(&self, settings: Settings, upstream: &str, model: &str) -> Snapshot {
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
mod tests {
    use super::*;

    fn circuits(probes: u32) -> Circuits {
        let config = config::Breaker {
            enabled: true,
            failure_threshold: 3,
            open_for: Duration::from_mins(1),
            half_open_probes: probes,
        };
        Circuits::new(&config, "upstream")
    }

    fn model() -> Arc<str> {
        "m".into()
    }

    fn fail(circuits: &Circuits, times: u32) {
        for _ in 0..times {
            circuits.admit(&model()).unwrap().settle(false);
        }
    }

    fn state(circuits: &Circuits) -> &'static str {
        circuits.snapshot()[0].state
    }

    #[tokio::test(start_paused = true)]
    async fn consecutive_failures_open_it_and_a_success_between_does_not() {
        let circuits = circuits(1);
        fail(&circuits, 2);
        circuits.admit(&model()).unwrap().settle(true);
        fail(&circuits, 2);
        assert_eq!(state(&circuits), "CLOSED");
        fail(&circuits, 1);
        assert_eq!(state(&circuits), "OPEN");
        assert_eq!(circuits.admit(&model()).err(), Some(Duration::from_mins(1)));
        assert!(
            circuits.admit(&"other".into()).is_ok(),
            "another model has its own circuit"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_admits_exactly_its_probes_and_closes_on_success() {
        let circuits = circuits(2);
        fail(&circuits, 3);
        tokio::time::advance(Duration::from_mins(1)).await;
        let first = circuits.admit(&model()).unwrap();
        let second = circuits.admit(&model()).unwrap();
        assert!(circuits.admit(&model()).is_err());
        first.settle(true);
        assert_eq!(state(&circuits), "CLOSED");
        // The second probe speaks of a state that is over.
        second.settle(false);
        assert_eq!(circuits.snapshot()[0].failure_count, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_it_again_and_a_lost_one_gives_its_place_back() {
        let circuits = circuits(1);
        fail(&circuits, 3);
        tokio::time::advance(Duration::from_mins(1)).await;
        drop(circuits.admit(&model()).unwrap());
        circuits.admit(&model()).unwrap().settle(false);
        assert_eq!(state(&circuits), "OPEN");
        assert_eq!(circuits.admit(&model()).err(), Some(Duration::from_mins(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn late_results_of_an_older_state_are_ignored() {
        let circuits = circuits(1);
        let late = circuits.admit(&model()).unwrap();
        let later = circuits.admit(&model()).unwrap();
        fail(&circuits, 3);
        late.settle(true);
        drop(later);
        assert_eq!(state(&circuits), "OPEN");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_streams_closes_it_with_its_first_chunk() {
        let circuits = circuits(1);
        fail(&circuits, 3);
        tokio::time::advance(Duration::from_mins(1)).await;
        let mut probe = circuits.admit(&model()).unwrap();
        probe.answering();
        assert_eq!(state(&circuits), "CLOSED");
        probe.settle(false);
        assert_eq!(
            circuits.snapshot()[0].failure_count,
            1,
            "its end still counts"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn names_from_clients_cannot_grow_it_without_bound() {
        let circuits = circuits(1);
        for n in 0..3 * MAX_CIRCUITS {
            let model: Arc<str> = format!("m{n}").into();
            if let Ok(permit) = circuits.admit(&model) {
                permit.settle(n % 2 == 0);
            }
        }
        assert!(circuits.snapshot().len() <= MAX_CIRCUITS + 1);
    }

    #[test]
    fn many_threads_count_one_opening() {
        let circuits = circuits(1);
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    if let Ok(permit) = circuits.admit(&model()) {
                        permit.settle(false);
                    }
                });
            }
        });
        assert_eq!(circuits.shared.circuits.lock()["m"].epoch, 1);
    }
}
