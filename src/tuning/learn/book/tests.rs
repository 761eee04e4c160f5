use super::*;
use crate::compressor::{Lesson, Role, Unit};

const TEXT: &str =
    "It is your task to help all of the people who write letters to the company that you work for.";

fn entry(state: State, span: Span) -> Entry {
    Entry {
        lesson: Lesson {
            role: Role::System,
            unit: Unit::Text,
            text: TEXT.into(),
            with: "Help all who write to the company.".into(),
        },
        state,
        is_pinned: false,
        span,
        before: None,
        note: Some("it's \"quoted\"\nover two lines".into()),
    }
}

fn approved(with: &str, version: u32) -> Entry {
    let mut approved = entry(State::Approved, Span::begin_after(version));
    approved.lesson.with = with.into();
    approved
}

/// The shorter text that is in force in a version.
fn with(book: &Book, version: u32) -> Option<String> {
    let lesson = book.rules[0].lesson_in(version)?;
    assert_eq!(
        book.lessons(version).digest(),
        Lessons::new(vec![lesson.clone()], Skips::default()).digest()
    );
    Some(lesson.with.to_string())
}

fn skip(span: Span) -> Skip {
    Skip {
        rule: Rule::Phrases,
        kind: Kind::Prose,
        state: State::Approved,
        is_pinned: true,
        span,
        since: Some(Timestamp::UNIX_EPOCH),
        note: None,
    }
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

#[test]
fn what_is_written_is_read_again() {
    let book = Book {
        version: 3,
        since: Some(hours(5)),
        ended: Some(2),
        rules: vec![entry(
            State::Approved,
            Span {
                from: Some(2),
                until: Some(9),
            },
        )],
        skips: vec![skip(Span::begin_after(3))],
    };
    let text = book.write();
    assert_eq!(Book::parse(&text), Ok(book), "{text}");
    assert_eq!(Book::parse(""), Ok(Book::default()));
    assert_eq!(Book::parse(&Book::default().write()), Ok(Book::default()));
}

#[test]
fn texts_of_any_characters_are_read_as_they_were_written() {
    let texts = [
        "\r\n a \t\u{0}\u{7f}\u{1b}[31m\\ \\\\",
        "''' \"\"\" ' \" #",
        "\n\n leading and trailing \n",
        "ünïcödé \u{feff} 漢字 😀\r",
    ];
    let mut book = Book::default();
    for text in texts {
        let mut entry = entry(State::Proposed, Span::default());
        entry.lesson.text = text.into();
        entry.lesson.with = text.into();
        book.put(entry);
    }
    assert_eq!(book.rules.len(), texts.len());
    assert_eq!(Book::parse(&book.write()), Ok(book));
}

#[test]
fn a_rule_written_by_hand_needs_few_words() {
    let text = format!(
        "version = 4\n[[rules]]\nstate = \"approved\"\nrole = \"system\"\nunit = \"text\"\ntext = '{TEXT}'\nwith = 'Help.'\n"
    );
    let book = Book::parse(&text).unwrap();
    assert_eq!(book.rules[0].span, Span::begin_after(4));
    assert_eq!(book.rules[0].id().len(), 12);
    // Who denies a rule that is in force need not say from when on.
    let denied = text.replace("approved", "denied") + "from = 2\n";
    let book = Book::parse(&denied).unwrap();
    assert_eq!(
        book.rules[0].span,
        Span {
            from: Some(2),
            until: Some(5)
        }
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let rule = format!(
        "[[rules]]\nstate = \"approved\"\nrole = \"system\"\nunit = \"text\"\ntext = '{TEXT}'\nwith = 'Help.'\n"
    );
    for (text, line, part) in [
        ("version = x".to_owned(), 1, "quoted"),
        ("\n\nversion = -1".to_owned(), 3, "u32"),
        ("\nversion = 4294967295".to_owned(), 2, "too large"),
        (
            "version = 1\nsince = \"yesterday\"".to_owned(),
            2,
            "yesterday",
        ),
        (
            rule.replace("approved", "perhaps"),
            2,
            "\"perhaps\" is no state",
        ),
        (
            rule.replace("\"system\"", "\"king\""),
            3,
            "\"king\" is no role",
        ),
        (
            rule.replace("\"text\"", "\"word\""),
            4,
            "\"word\" is no unit",
        ),
        (rule.replace("Help.", TEXT), 1, "fewer tokens"),
        (format!("{rule}from = 1\nform = 2\n"), 8, "form"),
        (format!("{rule}\n{rule}"), 8, "twice"),
        (
            "[[skips]]\nrule = \"phrase\"".to_owned(),
            2,
            "\"phrase\" is no compression rule",
        ),
        (
            "[[skips]]\nrule = \"phrases\"\nkind = \"poem\"\nstate = \"approved\"".to_owned(),
            3,
            "\"poem\" is no kind",
        ),
    ] {
        let error = Book::parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{error} in {text}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_version_lives_for_a_day_unless_nobody_can_wait() {
    let mut book = Book::default();
    assert!(!book.advance(hours(0), false, true), "nothing would change");
    book.put(entry(State::Approved, Span::begin_after(0)));
    assert!(book.lessons(0).is_empty());
    assert!(
        book.advance(hours(0), false, false),
        "nothing was in force before"
    );
    assert_eq!(
        (book.version, book.lessons(1).len(), book.due()),
        (1, 1, Some(hours(24)))
    );
    book.skips.push(skip(Span::begin_after(1)));
    assert!(!book.advance(hours(23), false, false));
    assert!(book.advance(hours(24), false, false));
    assert_eq!(
        (
            book.version,
            book.lessons(2).skipped(),
            book.lessons(1).skipped()
        ),
        (2, 1, 0)
    );
    let version = book.version;
    let known = book
        .find_mut(&entry(State::Denied, Span::default()).id()[..4])
        .unwrap();
    known.span.end_after(version);
    assert!(!book.advance(hours(25), false, false));
    assert!(book.advance(hours(25), false, true));
    assert_eq!((book.lessons(3).len(), book.lessons(2).len()), (0, 1));
    assert!(!book.advance(hours(99), false, true));
    assert!(
        book.advance(hours(99), true, false),
        "what was edited is another version"
    );
}

#[test]
fn what_has_not_begun_never_does_when_it_is_denied() {
    let mut span = Span::begin_after(3);
    span.end_after(3);
    assert_eq!(span, Span::default());
    let mut span = Span {
        from: Some(1),
        until: Some(3),
    };
    span.end_after(5);
    assert_eq!(span.until, Some(3));
}

#[test]
fn another_text_approved_in_the_place_of_one_waits_for_its_version_through_a_restart() {
    let (one, two) = ("Help all who write.", "Help all who write to the company.");
    let mut book = Book::default();
    book.put(approved(one, 0));
    assert!(book.advance(hours(0), false, false));
    book.put(approved(two, 1));
    assert!(!book.advance(hours(23), false, false));
    let mut book = Book::parse(&book.write()).unwrap();
    assert_eq!(with(&book, 1).as_deref(), Some(one));
    // A third one before the second had its effect takes that one's place.
    book.put(approved("Help who writes.", 1));
    book.put(approved(two, 1));
    assert!(book.advance(hours(24), false, false));
    let mut book = Book::parse(&book.write()).unwrap();
    assert_eq!(with(&book, 2).as_deref(), Some(two));
    assert_eq!(
        with(&book, 1).as_deref(),
        Some(one),
        "conversations go on with it"
    );
    assert!(!book.has_ended_since(1));
    book.skips.push(skip(Span::begin_after(2)));
    assert!(book.advance(hours(48), false, false));
    assert_eq!(book.rules[0].before, None, "nobody has it any more");
}

#[test]
fn what_takes_the_place_of_another_can_be_taken_back_denied_and_judged() {
    let (one, two) = ("Help all who write.", "Help all who write to the company.");
    let mut book = Book::default();
    book.put(approved(one, 0));
    assert!(book.advance(hours(0), false, false));
    let before = book.clone();
    book.put(approved(two, 1));
    let replaced = book.clone();
    book.put(approved(one, 1));
    assert_eq!(book, before, "as if nothing had been said");

    let mut book = replaced.clone();
    let mut denied = book.rules[0].clone();
    denied.state = State::Denied;
    denied.span.end_after(1);
    book.put(denied);
    assert_eq!(with(&book, 1).as_deref(), Some(one));
    // After all not, and then for good.
    let undecided = book.clone();
    book.put(approved(two, 1));
    assert!(book.advance(hours(1), false, true));
    assert!(!book.has_ended_since(1), "conversations keep it");
    let mut book = undecided;
    assert!(book.advance(hours(1), false, true));
    assert_eq!(with(&book, 2), None);
    assert!(book.has_ended_since(1), "also in conversations under way");

    // Whoever denies what is in force, and then approves it or another one.
    let mut book = before.clone();
    let mut denied = book.rules[0].clone();
    denied.state = State::Denied;
    denied.span.end_after(1);
    book.put(denied.clone());
    book.put(approved(one, 1));
    assert_eq!(book, before, "as if nothing had been said");
    book.put(denied);
    book.put(approved(two, 1));
    assert_eq!(with(&book, 1).as_deref(), Some(one));
    assert!(book.advance(hours(1), false, true));
    assert_eq!(with(&book, 2).as_deref(), Some(two));

    // Who follows sees only how it stands at last.
    let mut book = replaced.clone();
    let mut denied = book.rules[0].clone();
    denied.state = State::Denied;
    denied.span.end_after(1);
    book.put(denied);
    assert!(book.advance(hours(1), false, true));
    book.put(approved(two, 2));
    assert!(book.advance(hours(1), false, true));
    let book = Book::parse(&book.write()).unwrap();
    assert_eq!((book.version, with(&book, 3).as_deref()), (3, Some(two)));
    assert!(book.has_ended_since(1) && !book.has_ended_since(2));

    let mut book = replaced;
    book.rules[0].stop(1, "it did harm".into());
    assert!(book.advance(hours(1), false, true));
    assert!(book.has_ended_since(1), "also in conversations under way");
    assert_eq!(
        (with(&book, 2).as_deref(), book.rules[0].state),
        (Some(two), State::Approved)
    );
    let note = book.rules[0].note.as_deref().unwrap();
    assert!(note.ends_with("stopped. it did harm"), "{note}");
}
