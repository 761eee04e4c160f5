use futures_util::FutureExt as _;

use super::*;
use crate::config::Config;

fn gates(acts: bool) -> Gates {
    let text = "[upstream]\nmax_connections_per_host = 20\n[tuning]\nmin_concurrency = 2";
    Gates::new(&Config::from_toml(text).unwrap(), acts)
}

fn gate(gates: &Gates) -> Arc<Gate> {
    gates.of(Some("m".into()))
}

fn later() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// So many calls at once, of which the upstream refuses those beyond its capacity.
async fn round(gates: &Gates, calls: usize, capacity: usize) {
    let mut places = Vec::new();
    for _ in 0..calls {
        if let Some(place) = gate(gates).enter(later()).now_or_never() {
            places.push(place.unwrap());
        }
    }
    for (n, mut place) in places.into_iter().enumerate() {
        if n < capacity {
            place.went_well(Some(100));
        } else {
            place.was_too_much();
        }
    }
    tokio::time::advance(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_waits_here_and_the_upstream_is_not_asked_too_much() {
    let (gates, journal) = (gates(true), Journal::default());
    for _ in 0..10 {
        round(&gates, 20, 6).await;
    }
    gates.look(&journal, Instant::now());
    let limit = gates.narrow()[0].2;
    assert!((2..=7).contains(&limit), "{limit}");
    for _ in 0..20 {
        round(&gates, 20, 6).await;
    }
    gates.look(&journal, Instant::now());
    let entries = journal.entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].decision.action, Action::Applied);
    let (expected, measured) = (
        entries[0].decision.expected.unwrap(),
        entries[0].measured.unwrap(),
    );
    assert!(
        expected.amount > 100.0 && measured.amount > 100.0,
        "{entries:?}"
    );
    // There it stays, however often one looks: what it was before it came down is remembered.
    for _ in 0..5 {
        for _ in 0..10 {
            round(&gates, 20, 6).await;
        }
        gates.look(&journal, Instant::now());
    }
    assert!(gates.narrow()[0].2 <= 8);
    assert!(
        journal
            .entries()
            .iter()
            .all(|entry| entry.decision.action == Action::Applied)
    );
    gates.reset();
    assert!(gates.narrow().is_empty());
    assert_eq!(gate(&gates).places.available_permits(), 20);
}

/// Where the limit itself turns calls away, that is no better than where the upstream does.
#[tokio::test(start_paused = true)]
async fn what_is_turned_away_here_counts_as_well() {
    let (gates, journal) = (gates(true), Journal::default());
    for _ in 0..10 {
        round(&gates, 20, 6).await;
    }
    gates.look(&journal, Instant::now());
    let held = gate(&gates);
    let limit = gates.narrow()[0].2;
    let mut places = Vec::new();
    for _ in 0..limit {
        places.push(Arc::clone(&held).enter(later()).await.unwrap());
    }
    for _ in 0..100 {
        assert!(Arc::clone(&held).enter(later()).await.is_err());
    }
    gates.look(&journal, Instant::now());
    assert_eq!(journal.entries()[0].decision.action, Action::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_here_is_not_the_upstreams_fault() {
    let gates = gates(true);
    let narrow = gate(&gates);
    for _ in 0..10 {
        round(&gates, 20, 6).await;
    }
    let mut held = Vec::new();
    while let Some(place) = Arc::clone(&narrow).enter(later()).now_or_never() {
        held.push(place.unwrap());
    }
    let waiting = Arc::clone(&narrow).enter(later());
    let leave = async {
        tokio::time::advance(Duration::from_secs(9)).await;
        held.clear();
    };
    let (place, ()) = tokio::join!(waiting, leave);
    let mut place = place.unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(matches!(
        place.ran_out_of_time(),
        Some(ProxyError::UpstreamCrowded { .. })
    ));
    assert_eq!(place.outcome, Outcome::Otherwise);
    let mut other = narrow.enter(later()).await.unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(other.ran_out_of_time().is_none());
}

/// A limit that nothing has brought down yet holds nobody back: that is the sockets' business.
#[tokio::test(start_paused = true)]
async fn nobody_waits_where_nothing_was_too_much() {
    let gates = gates(true);
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(gate(&gates).enter(later()).now_or_never().unwrap().unwrap());
    }
    drop(held);
    assert_eq!(gate(&gates).places.available_permits(), 20);
}

#[tokio::test(start_paused = true)]
async fn places_come_and_go_with_the_limit_and_none_is_lost() {
    let gates = gates(true);
    let gate = gate(&gates);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(Arc::clone(&gate).enter(later()).await.unwrap());
    }
    held.pop().unwrap().was_too_much();
    assert_eq!(gate.state.lock().window.limit(), 15);
    // Those beyond the limit are not given on.
    assert!(Arc::clone(&gate).enter(later()).now_or_never().is_none());
    held.truncate(14);
    let next = Arc::clone(&gate).enter(later()).await.unwrap();
    assert!(Arc::clone(&gate).enter(later()).now_or_never().is_none());
    drop((next, held));
    assert_eq!(
        gate.places.available_permits(),
        gate.state.lock().window.limit()
    );
    assert_eq!(gate.state.lock().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_to_come_back() {
    let gates = gates(true);
    for _ in 0..10 {
        round(&gates, 20, 6).await;
    }
    let mut held = Vec::new();
    while let Some(place) = gate(&gates).enter(later()).now_or_never() {
        held.push(place.unwrap());
    }
    let error = gate(&gates).enter(later()).await.err().unwrap();
    assert!(matches!(
        error,
        ProxyError::UpstreamCrowded { limit: 2..8, .. }
    ));
    assert_eq!(error.status(), 503);
    assert!(error.retry_after().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_does_no_good_is_taken_back() {
    let (gates, journal) = (gates(true), Journal::default());
    for _ in 0..10 {
        round(&gates, 20, 15).await;
    }
    gates.look(&journal, Instant::now());
    // However few they are, the upstream refuses all of them.
    for _ in 0..50 {
        round(&gates, 20, 0).await;
    }
    gates.look(&journal, Instant::now());
    let newest = &journal.entries()[0].decision;
    assert_eq!((newest.action, &*newest.after), (Action::RolledBack, "20"));
    assert!(gates.narrow().is_empty());
    round(&gates, 20, 0).await;
    assert!(gates.narrow().is_empty(), "it is held for an hour");
}

/// A few calls in a hundred fail for reasons of their own, which a limit would make wait for nothing.
#[tokio::test(start_paused = true)]
async fn refusals_that_have_nothing_to_do_with_how_many_there_are_bring_no_lasting_limit() {
    let (gates, journal) = (gates(true), Journal::default());
    let mut calls = 0_u32;
    let mut one_in_thirty = async |rounds: usize| {
        for _ in 0..rounds {
            let mut places = Vec::new();
            for _ in 0..10 {
                places.extend(gate(&gates).enter(later()).now_or_never());
            }
            for place in places {
                calls += 1;
                let mut place = place.unwrap();
                if calls.is_multiple_of(30) {
                    place.was_too_much();
                } else {
                    place.went_well(Some(100));
                }
            }
            tokio::time::advance(Duration::from_secs(2)).await;
        }
    };
    one_in_thirty(60).await;
    gates.look(&journal, Instant::now());
    assert!(!gates.narrow().is_empty());
    one_in_thirty(60).await;
    gates.look(&journal, Instant::now());
    assert!(gates.narrow().is_empty());
    // Nor an hour later, when it is known how it was without.
    for hour in 0..2 {
        one_in_thirty(60).await;
        gates.look(&journal, Instant::now());
        assert!(gates.narrow().is_empty(), "{hour}");
        tokio::time::advance(HELD).await;
        one_in_thirty(60).await;
        gates.look(&journal, Instant::now());
        one_in_thirty(60).await;
        gates.look(&journal, Instant::now());
    }
    assert_eq!(journal.entries()[0].decision.action, Action::RolledBack);
    assert!(gate(&gates).state.lock().open > 0.0);
    gates.reset();
    let all = gate(&gates);
    let state = all.state.lock();
    assert!(state.open <= 0.0 && state.first.calls == 0, "forgotten");
}

/// By the time that one looks, the limit has long made few of what were many.
#[tokio::test(start_paused = true)]
async fn a_limit_that_came_down_at_once_is_not_taken_back_for_that() {
    let (gates, journal) = (gates(true), Journal::default());
    for _ in 0..4 {
        for _ in 0..2_000 {
            round(&gates, 20, 6).await;
        }
        gates.look(&journal, Instant::now());
        let limit = gates.narrow()[0].2;
        assert!((3..=7).contains(&limit), "{limit}");
    }
    let entries = journal.entries();
    assert!(
        entries
            .iter()
            .all(|entry| entry.decision.action == Action::Applied)
    );
    assert!(
        entries.last().unwrap().measured.unwrap().amount > 200.0,
        "{entries:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_only_looks_holds_nobody_back() {
    let (gates, journal) = (gates(false), Journal::default());
    let mut held = Vec::new();
    for _ in 0..500 {
        held.push(gate(&gates).enter(later()).now_or_never().unwrap().unwrap());
    }
    drop(held);
    for _ in 0..10 {
        round(&gates, 20, 6).await;
    }
    gates.look(&journal, Instant::now());
    assert_eq!(journal.entries()[0].decision.action, Action::Proposed);
}

#[tokio::test(start_paused = true)]
async fn models_beyond_the_bound_share_a_gate() {
    let gates = gates(true);
    for n in 0..1_000 {
        gates.of(Some(format!("model {n}").into()));
    }
    assert!(gates.all().len() <= MOST_MODELS + 1);
    // Of names that were called once no room is taken for long.
    let new = gates.of(Some("new".into()));
    assert!(!Arc::ptr_eq(&new, &gates.of(None)));
}
