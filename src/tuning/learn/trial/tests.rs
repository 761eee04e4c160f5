use super::*;

fn answered(answer: u64, is_cut: bool) -> Outcome {
    Outcome::Answered {
        prompt: 800,
        answer,
        is_cut: Some(is_cut),
    }
}

/// A trial of so many on each side; the n-th of each comes to what these say.
fn trial(
    sizes: [u64; 2],
    treated: impl Fn(u64) -> Outcome,
    held: impl Fn(u64) -> Outcome,
) -> Trial {
    let mut trial = Trial::default();
    (0..sizes[0]).for_each(|n| trial.note(false, 200, treated(n)));
    (0..sizes[1]).for_each(|n| trial.note(true, 0, held(n)));
    trial
}

#[test]
fn two_sides_that_are_alike_do_no_harm() {
    let same = |n: u64| {
        if n.is_multiple_of(20) {
            Outcome::Failed
        } else {
            answered(90 + n % 21, n.is_multiple_of(10))
        }
    };
    let trial = trial([5_000, 100], same, same);
    assert_eq!(trial.harm(), None);
    let saving = trial.saving().unwrap();
    assert!(
        (saving.value - 0.2).abs() < 1e-9 && saving.give < 1e-6,
        "{saving:?}"
    );
    assert!((trial.saved_tokens() - 200.0).abs() < 1e-9);
    let longer = trial.longer_answers().unwrap();
    assert!(longer.value.abs() < longer.give, "{longer:?}");
}

#[test]
fn each_harm_beyond_chance_is_named() {
    let well = |n: u64| answered(90 + n % 21, false);
    let fails = |n: u64| {
        if n.is_multiple_of(5) {
            Outcome::Failed
        } else {
            well(n)
        }
    };
    assert_eq!(
        trial([5_000, 100], fails, well).harm(),
        Some(Harm::Failures)
    );
    assert_eq!(
        trial([5_000, 100], well, fails).harm(),
        None,
        "the hold-out is worse"
    );
    assert_eq!(
        trial([5_000, 49], fails, well).harm(),
        None,
        "too few to say"
    );
    let cut = |n: u64| answered(90 + n % 21, n.is_multiple_of(4));
    assert_eq!(trial([5_000, 100], cut, well).harm(), Some(Harm::Cuts));
    // Sixty tokens more of an answer are worth more than the 200 of the prompt, thirty are not.
    let long = |more: u64| move |n: u64| answered(90 + more + n % 21, false);
    assert_eq!(
        trial([5_000, 100], long(60), well).harm(),
        Some(Harm::Length)
    );
    assert_eq!(trial([5_000, 100], long(30), well).harm(), None);
    let mut again = trial([5_000, 100], well, well);
    (0..1_000).for_each(|_| again.asked_again(false));
    assert_eq!(again.harm(), Some(Harm::Repeats));
    assert!(
        again.tell().contains("asked again 20.0 % against 0.0 %"),
        "{}",
        again.tell()
    );
}

#[test]
fn nothing_known_is_nothing_said() {
    let trial = Trial::default();
    assert_eq!(
        (trial.harm(), trial.saving(), trial.longer_answers()),
        (None, None, None)
    );
    assert!(
        trial.tell().starts_with("0 conversations"),
        "{}",
        trial.tell()
    );
}

/// The interval of the saving holds what is true about as often as it says.
#[test]
fn intervals_hold_the_truth() {
    let mut random = fastrand::Rng::with_seed(7);
    let held = (0..400).filter(|_| {
        let mut trial = Trial::default();
        for _ in 0..200 {
            let whole = random.u64(200..2_000);
            // A fifth, on the average.
            let saved = whole * random.u64(0..=40) / 100;
            let outcome = Outcome::Answered {
                prompt: whole - saved,
                answer: 1,
                is_cut: None,
            };
            trial.note(false, saved, outcome);
        }
        let saving = trial.saving().unwrap();
        (saving.value - 0.2).abs() <= saving.give
    });
    let held = held.count();
    assert!((360..=397).contains(&held), "{held} of 400");
}
