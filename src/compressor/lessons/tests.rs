use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::compressor::{Compressor, Conversation, Level, RuleSet};
use crate::tokens::Vocabulary;

const LONG: &str = "You are the assistant of a company that sells furniture, and it is your task to help the people who write \
    to the company. When somebody asks you a question about an order, then you should first of all take a look at the number \
    of the order, which has 8 digits, and only after that you should answer the question. You must never promise a refund.";
const SHORT: &str = "You assist a furniture company's customers. For questions about an order, first look at its number \
    (8 digits), only then answer. You must never promise a refund.";
const PHRASE: &str = "Please be as helpful as you possibly can.";

fn lesson(unit: Unit, role: Role, text: &str, with: &str) -> Lesson {
    Lesson {
        role,
        unit,
        text: text.into(),
        with: with.into(),
    }
}

fn compressor(lessons: Vec<Lesson>) -> Compressor {
    // Nothing but what was learned.
    let others = Rule::ALL.iter().filter(|rule| **rule != Rule::Learned);
    let lessons = Arc::new(Lessons::new(lessons, Skips::default()));
    let all = Compressor::new(Level::Balanced).with(&lessons);
    all.without(others.copied().collect())
}

fn out(compressor: &Compressor, text: &str, role: Role) -> String {
    let compressed = compressor.compress(text, role);
    compressed.map_or_else(|| text.to_owned(), |compressed| compressed.text)
}

#[test]
fn a_text_is_replaced_where_it_is_all_there_is_and_in_its_role() {
    let learned = compressor(vec![lesson(Unit::Text, Role::System, LONG, SHORT)]);
    let compressed = learned.compress(LONG, Role::System).unwrap();
    assert_eq!(compressed.text, SHORT);
    let [saving] = &compressed.savings[..] else {
        panic!("one rule saved something");
    };
    let count = |text| Vocabulary::O200k.count(text) as u64;
    assert_eq!(
        (saving.rule, saving.tokens),
        (Rule::Learned, count(LONG) - count(SHORT))
    );
    for text in [
        format!("{LONG} "),
        format!("{LONG}\n\nMore."),
        LONG.replace('8', "9"),
    ] {
        assert_eq!(out(&learned, &text, Role::System), text);
    }
    for role in [Role::User, Role::Assistant, Role::Tool] {
        assert_eq!(out(&learned, LONG, role), LONG);
    }
    let denied = learned.clone().without(RuleSet::one(Rule::Learned));
    assert_eq!(denied.compress(LONG, Role::System), None);
    let off =
        Compressor::new(Level::Off).with(&Arc::new(Lessons::new(Vec::new(), Skips::default())));
    assert_eq!(off.compress(LONG, Role::System), None);
}

#[test]
fn a_paragraph_is_replaced_between_blank_lines_and_where_a_person_says_it_themselves() {
    let in_system = lesson(Unit::Paragraph, Role::System, LONG, SHORT);
    let in_user = lesson(Unit::Paragraph, Role::User, LONG, SHORT);
    let learned = compressor(vec![in_system, in_user]);
    let around = |part: &str| format!("Today is Monday.\r\n \r\n{part}\n\t\nAnswer in German.\n");
    assert_eq!(out(&learned, &around(LONG), Role::System), around(SHORT));
    let by_user =
        |part: &str| format!("I write to you again.\n\n{part}\n\nThe order came yesterday.");
    assert_eq!(out(&learned, &by_user(LONG), Role::User), by_user(SHORT));
    assert_eq!(
        out(&learned, LONG, Role::System),
        SHORT,
        "it may be all there is"
    );
    let beside = format!("Today is Monday.\n{LONG}");
    assert_eq!(out(&learned, &beside, Role::System), beside);
    // Whoever says it: what is no speech stays.
    for around in [
        (
            "The template, to be used as it is:\n\n```text\nDear customer,\n\n",
            "\n\nYours,\n```",
        ),
        (
            "The template, to be used as it is:\n\n~~~\nDear customer,\n\n",
            "\n\nYours,\n~~~",
        ),
        ("{\n  \"rules\": [\"\n\n", "\n\n\"]\n}"),
        ("The template, as it is:\n\n<pre>\n\n", "\n\n</pre>\n"),
        ("The template, as it is:\n\n<PRE>\n\n", "\n\n</PRE>\n"),
        (
            "As it is:\n\n\\begin{verbatim}\n\n",
            "\n\n\\end{verbatim}\n",
        ),
    ] {
        let text = format!("{}{LONG}{}", around.0, around.1);
        assert_eq!(out(&learned, &text, Role::System), text);
        assert_eq!(out(&learned, &text, Role::User), text);
    }
    let tagged = |part: &str| format!("<instructions>\n\n{part}\n\n</instructions>");
    assert_eq!(out(&learned, &tagged(LONG), Role::System), tagged(SHORT));
    // What a person asks about stays, and so do quotations.
    for text in [
        format!("Translate the following text into German:\n\n{LONG}"),
        format!("How many words are there in this text?\n\n{LONG}"),
        format!("They wrote:\n\n```\n\n{LONG}\n\n```\n"),
    ] {
        assert_eq!(out(&learned, &text, Role::User), text);
    }
}

/// What a paragraph looks like by itself says nothing of where it stands.
#[test]
fn long_and_odd_paragraphs_of_a_system_prompt_are_replaced_as_others_are() {
    let sentence =
        "When somebody asks you a question about an order, then take a look at its number first.";
    let some = [sentence; 3].join(" ");
    for long in [
        [sentence; 16].join(" "),
        format!("Follow these rules:\n{some}\n{some} Answer in German."),
        format!("Assistant: {some}\nUser: {some}"),
        format!("{some} They say:\n> {some}\n> {some}"),
        format!("{some} It is called `order` or `number or so. {some}"),
    ] {
        let learned = compressor(vec![lesson(Unit::Paragraph, Role::System, &long, SHORT)]);
        let around = |part: &str| format!("Today is Monday.\n\n{part}\n\nBe polite.");
        assert_eq!(out(&learned, &around(&long), Role::System), around(SHORT));
    }
}

#[test]
fn a_phrase_is_replaced_as_a_sentence_with_the_blanks_that_it_leaves() {
    let learned = compressor(vec![lesson(Unit::Phrase, Role::System, PHRASE, "")]);
    let rest = "The company sells furniture to people all over the country, and they write to us when something breaks on \
        the way. We answer each of them within a day, in the language that they write in, and with their name. We are polite \
        and brief, and we tell them what happens next, also where that is not what they hope for.";
    for (before, after) in [
        (format!("{PHRASE} {rest}"), rest.to_owned()),
        (format!("{rest} {PHRASE}"), rest.to_owned()),
        (format!("{rest} {PHRASE}  {rest}"), format!("{rest} {rest}")),
        (
            format!("{rest}\n\n{PHRASE}\n\n{rest}"),
            format!("{rest}\n\n\n\n{rest}"),
        ),
    ] {
        assert_eq!(out(&learned, &before, Role::System), after);
    }
    for text in [
        format!("{rest}\n{PHRASE}\n{rest}"),
        format!("{rest} \"{PHRASE}\""),
        format!("{rest} \"Hello there. {PHRASE} I thank you.\" {rest}"),
        format!("{rest} “Hello there. {PHRASE} I thank you.” {rest}"),
        format!("{rest} «Hello there. {PHRASE} I thank you.» {rest}"),
        format!("{rest} `Come in. {PHRASE} Bye.` {rest}"),
        format!("{rest} <q>Come in. {PHRASE} Bye.</q> {rest}"),
        format!("{rest} <PRE class=\"x\">Come in. {PHRASE} Bye.</pre> {rest}"),
        format!("{rest}\n\n```\n{PHRASE} x\n```"),
        format!("{rest} {}", PHRASE.to_uppercase()),
    ] {
        assert_eq!(out(&learned, &text, Role::System), text);
    }
}

#[test]
fn what_does_not_pay_or_binds_is_refused() {
    let refused =
        |unit, text: &str, with: &str| lesson(unit, Role::System, text, with).check().unwrap_err();
    assert_eq!(
        lesson(Unit::Text, Role::System, LONG, SHORT).check(),
        Ok(())
    );
    assert!(matches!(
        refused(Unit::Text, SHORT, LONG),
        Refused::DoesNotPay { .. }
    ));
    assert!(matches!(
        refused(Unit::Text, LONG, LONG),
        Refused::DoesNotPay { .. }
    ));
    for unit in [Unit::Text, Unit::Paragraph] {
        for blank in ["", " ", "\n\t\n", "\u{200b}", "\u{feff} \0\u{a0}"] {
            assert_eq!(refused(unit, LONG, blank), Refused::Empty(unit));
        }
    }
    let never = "Please never tell anybody about it.";
    let error = refused(Unit::Phrase, never, "").to_string();
    assert!(error.contains("never"), "{error}");
    for (unit, text) in [
        (Unit::Text, ""),
        (Unit::Paragraph, "one\n\ntwo"),
        (Unit::Paragraph, "one\n"),
        (Unit::Phrase, "One thing. And another."),
        (Unit::Phrase, "One\nthing."),
    ] {
        assert_eq!(
            refused(unit, text, ""),
            Refused::NoSuchUnit(unit),
            "{text:?}"
        );
    }
}

#[test]
fn equal_sets_have_equal_names_and_others_have_others() {
    let one = lesson(Unit::Text, Role::System, LONG, SHORT);
    let other = lesson(Unit::Phrase, Role::System, PHRASE, "");
    let digest = |lessons: &[&Lesson], skips: &Skips| {
        Lessons::new(
            lessons.iter().map(|lesson| (*lesson).clone()).collect(),
            skips.clone(),
        )
        .digest()
    };
    let none = Skips::default();
    assert_eq!(
        digest(&[&one, &other], &none),
        digest(&[&other, &one, &one], &none)
    );
    let mut skips = Skips::default();
    skips.add(Rule::Phrases, Kind::Prose);
    let shorter = Lesson {
        with: "You assist.".into(),
        ..one.clone()
    };
    let in_user = Lesson {
        role: Role::User,
        ..one.clone()
    };
    let all = [
        digest(&[], &none),
        digest(&[], &skips),
        digest(&[&one], &none),
        digest(&[&one], &skips),
        digest(&[&shorter], &none),
        digest(&[&in_user], &none),
        digest(&[&one, &other], &none),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    let debugged = format!("{:?}", Lessons::new(vec![one], none));
    assert!(!debugged.contains("furniture"), "{debugged}");
}

#[test]
fn a_rule_that_is_left_out_in_a_kind_is_tried_in_the_others() {
    let text =
        "We went home  and nobody was there to open the door for us. ".repeat(9) + "And so on.";
    let mut skips = Skips::default();
    skips.add(Rule::InnerBlanks, Kind::Prose);
    let lessons = Arc::new(Lessons::new(Vec::new(), skips));
    let all = Compressor::new(Level::Safe);
    let kinds = |compressor: &Compressor| {
        let compressed = compressor.compress(&text, Role::System).unwrap();
        let blanks = compressed
            .savings
            .into_iter()
            .filter(|saving| saving.rule == Rule::InnerBlanks);
        blanks.map(|saving| saving.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&all), [Kind::Prose]);
    let less = all.with(&lessons);
    assert!(less.skips_in(Rule::InnerBlanks, Kind::Prose));
    assert!(!less.skips_in(Rule::InnerBlanks, Kind::Quote));
    assert_eq!(less.compress(&text, Role::System), None);
}

/// Paragraphs of which texts are made, the learned ones among them.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just(LONG.to_owned()),
        1 => Just(SHORT.to_owned()),
        2 => Just(format!("It was late. {PHRASE} We went home.")),
        2 => Just("In order to  see it, we went there.\n- one\n- two".to_owned()),
        1 => "[ a-z.\n`|{}]{0,40}",
    ];
    proptest::collection::vec(part, 1..6).prop_map(|parts| parts.join("\n\n"))
}

proptest! {
    /// The same bytes each time, never more tokens, and nothing left to do.
    #[test]
    fn lessons_are_deterministic_pay_and_come_to_rest(text in text(), is_system: bool) {
        let role = if is_system { Role::System } else { Role::User };
        let all = [(Unit::Text, LONG, SHORT), (Unit::Paragraph, LONG, SHORT), (Unit::Phrase, PHRASE, "")];
        let lessons = all.map(|(unit, text, with)| lesson(unit, role, text, with));
        let lessons = Arc::new(Lessons::new(lessons.into(), Skips::default()));
        let compressor = Compressor::new(Level::Balanced).with(&lessons);
        let Some(compressed) = compressor.compress(&text, role) else {
            return Ok(());
        };
        prop_assert_eq!(Some(compressed.clone()), compressor.compress(&text, role));
        let count = |vocabulary: Vocabulary, text: &str| vocabulary.count(text);
        let saved: u64 = compressed.savings.iter().map(|saving| saving.tokens).sum();
        let before = count(Vocabulary::O200k, &text) as u64;
        prop_assert_eq!(before - saved, count(Vocabulary::O200k, &compressed.text) as u64);
        prop_assert!(saved > 0);
        prop_assert!(count(Vocabulary::Cl100k, &compressed.text) <= count(Vocabulary::Cl100k, &text));
        prop_assert_eq!(compressor.compress(&compressed.text, role), None);
    }

    /// As a conversation grows, what has been sent stays byte for byte.
    #[test]
    fn turns_that_were_sent_stay_what_they_were(turns in proptest::collection::vec(text(), 1..5)) {
        let lesson = lesson(Unit::Paragraph, Role::User, LONG, SHORT);
        let lessons = Arc::new(Lessons::new(vec![lesson], Skips::default()));
        let compressor = Compressor::new(Level::Balanced).with(&lessons);
        let sent = |turns: &[String]| {
            let mut conversation = Conversation::new();
            let mut sent = Vec::new();
            for turn in turns {
                let compressed = conversation.compress(&compressor, turn, Role::User);
                let turn = compressed.map_or_else(|| turn.clone(), |compressed| compressed.text);
                conversation.remember(turn.clone());
                sent.push(turn);
            }
            sent
        };
        let all = sent(&turns);
        for until in 1..turns.len() {
            prop_assert_eq!(&all[..until], sent(&turns[..until]));
        }
    }
}
