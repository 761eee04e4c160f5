use super::*;

fn of(values: &[&str]) -> CacheControl {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::CACHE_CONTROL, value.parse().unwrap());
    }
    CacheControl::from_headers(&headers)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn reads_all_directives_however_they_are_written() {
    assert_eq!(of(&[]), CacheControl::default());
    assert!(of(&["No-Cache"]).no_cache);
    assert!(of(&["max-age=5 , no-store"]).no_store);
    assert!(of(&["foo", "only-if-cached"]).only_if_cached);
    let all = of(&["max-age=\"60\", MAX-STALE = 7", " min-fresh=5"]);
    assert_eq!(all.max_age, Some(seconds(60)));
    assert_eq!(all.max_stale, Some(seconds(7)));
    assert_eq!(all.min_fresh, Some(seconds(5)));
    assert_eq!(of(&["max-stale"]).max_stale, Some(Duration::MAX));
}

#[test]
fn of_repeated_directives_the_strictest_counts() {
    for [first, second] in [
        ["max-age=60", "max-age=9"],
        ["max-stale=60", "max-stale=9"],
        ["max-stale", "max-stale=9"],
        ["min-fresh=9", "min-fresh=60"],
        ["min-fresh=9", "min-fresh=x"],
        ["max-age=9", "max-age=x"],
    ] {
        let strictest = of(&[second]);
        assert_eq!(of(&[first, second]), strictest);
        assert_eq!(of(&[second, first]), strictest);
    }
}

#[test]
fn what_cannot_be_read_counts_as_the_strictest() {
    for argument in ["", "=", "=soon", "=-1", "=1.5", "=\"\"", "=1s"] {
        let of = |name: &str| of(&[&format!("{name}{argument}")]);
        assert_eq!(of("max-age").max_age, Some(Duration::ZERO), "{argument}");
        assert_eq!(of("min-fresh").min_fresh, Some(Duration::MAX), "{argument}");
        if !argument.is_empty() {
            assert_eq!(
                of("max-stale").max_stale,
                Some(Duration::ZERO),
                "{argument}"
            );
        }
    }
    // Large is not unreadable.
    for name in ["max-age", "max-stale", "min-fresh"] {
        let control = of(&[&format!("{name}=99999999999999999999999")]);
        let read = [control.max_age, control.max_stale, control.min_fresh];
        assert_eq!(read.into_iter().flatten().collect::<Vec<_>>(), [AGES]);
    }
}

const NO: Verdict = Verdict::Unacceptable;

fn fresh(ttl_left: u64) -> Verdict {
    Verdict::Fresh {
        ttl_left: seconds(ttl_left),
    }
}

/// Stale, and nothing said about it.
fn stale(expired_for: u64) -> Verdict {
    Verdict::Stale {
        expired_for: seconds(expired_for),
        allowed: false,
    }
}

/// Stale, and welcome.
fn allowed(expired_for: u64) -> Verdict {
    Verdict::Stale {
        expired_for: seconds(expired_for),
        allowed: true,
    }
}

#[test]
fn answers_are_judged_by_their_age() {
    // All with a ttl of 100 s.
    for (directives, age, expected) in [
        // Nothing said.
        ("", 0, fresh(100)),
        ("", 99, fresh(1)),
        ("", 100, stale(0)),
        ("", 130, stale(30)),
        ("only-if-cached", 99, fresh(1)),
        ("only-if-cached", 130, stale(30)),
        // An answer of one's own.
        ("no-cache", 0, NO),
        ("no-store", 0, NO),
        ("no-cache, max-stale", 130, NO),
        // No older than that, and no stale one either.
        ("max-age=60", 60, fresh(40)),
        ("max-age=60", 61, NO),
        ("max-age=0", 0, fresh(100)),
        ("max-age=0", 1, NO),
        ("max-age=100", 100, NO),
        ("max-age=200", 99, fresh(1)),
        ("max-age=200", 130, NO),
        ("max-age=soon", 1, NO),
        // Fresh for so much longer.
        ("min-fresh=0", 99, fresh(1)),
        ("min-fresh=0", 100, NO),
        ("min-fresh=40", 60, fresh(40)),
        ("min-fresh=40", 61, NO),
        ("min-fresh=40", 130, NO),
        ("min-fresh=101", 0, NO),
        ("min-fresh", 0, NO),
        ("min-fresh=20, max-age=60", 40, fresh(60)),
        ("min-fresh=20, max-age=60", 60, fresh(40)),
        ("min-fresh=20, max-age=60", 61, NO),
        ("min-fresh=20, max-age=90", 81, NO),
        // Stale by no more than that.
        ("max-stale", 99, fresh(1)),
        ("max-stale", 100, allowed(0)),
        ("max-stale", 1_000_000, allowed(999_900)),
        ("max-stale=30", 130, allowed(30)),
        ("max-stale=30", 131, NO),
        ("max-stale=0", 100, allowed(0)),
        ("max-stale=0", 101, NO),
        ("max-stale=much", 101, NO),
        // Older than max-age by no more than that, though still within its life.
        ("max-stale=30, max-age=60", 60, fresh(40)),
        ("max-stale=30, max-age=60", 61, fresh(39)),
        ("max-stale=30, max-age=60", 90, fresh(10)),
        ("max-stale=30, max-age=60", 91, NO),
        ("max-stale, max-age=200", 130, allowed(30)),
        ("max-stale=30, max-age=200", 131, NO),
        // Fresh and stale at once cannot be had.
        ("max-stale, min-fresh=0", 99, fresh(1)),
        ("max-stale, min-fresh=0", 101, NO),
        ("max-stale, min-fresh=40", 61, NO),
        ("max-stale, min-fresh=40, max-age=50", 60, fresh(40)),
        ("max-stale, min-fresh=40, max-age=50", 61, NO),
    ] {
        let verdict = of(&[directives]).judge(seconds(age), seconds(100));
        assert_eq!(verdict, expected, "{directives:?} at {age} s");
    }
}

#[test]
fn parts_of_seconds_count() {
    let millis = Duration::from_millis;
    let judge = |directives, age| of(&[directives]).judge(millis(age), seconds(100));
    assert_eq!(judge("max-age=5", 5_001), NO);
    let left = millis(1);
    assert_eq!(judge("", 99_999), Verdict::Fresh { ttl_left: left });
    assert_eq!(judge("max-stale=1", 101_001), NO);
    assert_eq!(judge("min-fresh=1", 99_001), NO);
}

#[test]
fn nothing_overflows() {
    let judge = |directives, age, ttl| of(&[directives]).judge(age, ttl);
    let long = Duration::MAX;
    let stale = Verdict::Stale {
        expired_for: long,
        allowed: true,
    };
    assert_eq!(judge("max-stale", long, Duration::ZERO), stale);
    assert_eq!(judge("min-fresh=9", long, seconds(1)), NO);
    assert_eq!(judge("min-fresh=soon", seconds(9), seconds(10)), NO);
}
