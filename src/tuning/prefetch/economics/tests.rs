use super::*;

#[test]
fn it_pays_where_what_is_gained_is_more_likely_than_dear() {
    let value = Value(0.001);
    let stake = Stake {
        cost: 0.003,
        wait: 3.0,
        early: 0.0,
    };
    assert!(value.expects(stake, 0.51) > 0.0);
    assert!(value.expects(stake, 0.49) < 0.0);
    assert!((value.break_even(stake) - 0.5).abs() < 1e-9);
    assert!(Value(0.0).expects(stake, 0.99) < 0.0);
    assert!(
        value.expects(
            Stake {
                early: 0.25,
                ..stake
            },
            0.51
        ) < 0.0
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_budget_is_spent_within_any_day() {
    let now = Instant::now();
    let mut purse = Purse::new(1.0);
    assert!(purse.reserve(0.6, 1.0, now));
    // What is under way counts as it may cost.
    assert!(!purse.reserve(0.6, 1.0, now));
    purse.pay(0.6, 0.1, now);
    assert!(purse.reserve(0.6, 1.0, now) && !purse.reserve(0.1, 0.1, now));
    purse.pay(0.6, 0.9, now + HOUR);
    // The first hour may have had something in its last second.
    let second = Duration::from_secs(1);
    assert!(!purse.reserve(0.1, 1.0, now + 25 * HOUR - second));
    assert!(purse.reserve(0.1, 1.0, now + 25 * HOUR));
    purse.pay(0.1, 0.1, now + 25 * HOUR);
    assert!(!purse.reserve(0.1, 1.0, now + 26 * HOUR - second));
    assert!(purse.reserve(0.9, 1.0, now + 26 * HOUR));
    let mut purse = Purse::new(1.0);
    purse.pay(0.0, 0.1, now);
    purse.pay(0.0, 0.9, now + HOUR - second);
    assert!(!purse.reserve(0.9, 1.0, now + DAY + HOUR - 2 * second));
}

#[test]
fn calls_ahead_are_a_share_of_all() {
    let mut share = Share::new(0.2);
    let mut ahead = 0;
    for _ in 0..4_000 {
        share.deposit(1);
        while share.withdraw() {
            ahead += 1;
        }
    }
    assert!((1_000..=1_009).contains(&ahead), "{ahead}");
    let mut none = Share::new(0.0);
    none.deposit(1_000);
    assert!(!none.withdraw());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pay_is_stopped_and_tried_again_with_little() {
    let (mut balance, value) = (Balance::new(), Value(0.001));
    let stake = Stake {
        cost: 0.003,
        wait: 3.0,
        early: 0.0,
    };
    let settle = |balance: &mut Balance, used: u32| {
        let verdicts =
            (0..WINDOW).map(|n| balance.settle(stake, n < used, value, 1.0, Instant::now()));
        verdicts.last().unwrap().unwrap()
    };
    assert!(matches!(settle(&mut balance, 25), Verdict::Pays(..)));
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        let verdict = settle(&mut balance, 24);
        let Verdict::Stop(sums, _, pause) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!((sums.used, pause), (24, Duration::from_hours(hours)));
        assert!(!balance.resume(Instant::now()));
        // What comes in meanwhile is no reason for a second stop.
        for _ in 0..2 * WINDOW {
            assert_eq!(
                balance.settle(stake, false, value, 1.0, Instant::now()),
                None
            );
        }
        tokio::time::advance(pause).await;
        assert!(balance.resume(Instant::now()) && balance.part() < 0.2);
    }
    assert!(matches!(settle(&mut balance, 26), Verdict::Pays(..)));
    assert!((balance.part() - 1.0).abs() < 1e-9);
    // A few dear calls in vain are enough.
    let dear = Stake {
        cost: 0.06,
        wait: 3.0,
        early: 0.0,
    };
    assert_eq!(
        balance.settle(dear, false, value, 1.0, Instant::now()),
        None
    );
    let verdict = balance.settle(dear, false, value, 1.0, Instant::now());
    assert!(matches!(verdict, Some(Verdict::Stop(..))), "{verdict:?}");
}
