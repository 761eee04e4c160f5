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
