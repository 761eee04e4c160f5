use super::*;
use crate::compressor::{Level, guard};

/// The bytes of each line that is not empty.
fn lines_of(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if !line.is_empty() {
            lines.push(at..at + line.len());
        }
        at += line.len() + 1;
    }
    lines
}

pub(super) fn round(text: &str, level: Level, role: Role) -> Vec<Edit> {
    let lines = lines_of(text);
    let rules = RuleSet::of(level);
    let mut edits = proposals(text, &lines, rules, role);
    if edits.is_empty() {
        edits = emphasis(text, &lines, rules);
    }
    edits
}

pub(super) fn applied(text: &str, edits: &[Edit]) -> String {
    let mut result = String::new();
    let mut last = 0;
    for edit in edits {
        assert!(edit.at.start >= last, "edits ascend: {edits:?}");
        result.push_str(&text[last..edit.at.start]);
        result.push_str(&edit.with);
        last = edit.at.end;
    }
    result + &text[last..]
}

/// All rounds until nothing is left to do.
pub(super) fn settled(text: &str, level: Level, role: Role) -> String {
    let mut text = text.to_owned();
    for _ in 0..6 {
        let edits = round(&text, level, role);
        if edits.is_empty() {
            return text;
        }
        text = applied(&text, &edits);
    }
    panic!("does not settle: {text}");
}

pub(super) fn user(text: &str) -> String {
    settled(text, Level::Balanced, Role::User)
}

pub(super) fn aggressive(text: &str) -> String {
    settled(text, Level::Aggressive, Role::User)
}

#[test]
fn phrases_become_plain() {
    for (before, after) in [
        (
            "You have to run in order to win.",
            "You have to run to win.",
        ),
        (
            "In order to win, you have to run.",
            "To win, you have to run.",
        ),
        (
            "- In order to win, you have to run.",
            "- To win, you have to run.",
        ),
        (
            "It fails due to the fact that you are late.",
            "It fails because you are late.",
        ),
        (
            "In the event that the call fails, try again.",
            "If the call fails, try again.",
        ),
        (
            "Make sure that the output is valid.",
            "Ensure that the output is valid.",
        ),
        (
            "Make sure the output is valid.",
            "Ensure the output is valid.",
        ),
        (
            "The agent is able to read the file.",
            "The agent can read the file.",
        ),
        ("You’re able to read the file.", "You can read the file."),
        (
            "Answer all of the questions in a clear and concise manner.",
            "Answer all of the questions clearly and concisely.",
        ),
        (
            "Give a brief summary of the plot.",
            "Briefly summarize the plot.",
        ),
        (
            "I will provide you with details on an event.",
            "I will give you details on an event.",
        ),
        (
            "You are able to compare, to weigh and judge texts.",
            "You are able to compare, to weigh and judge texts.",
        ),
        (
            "You are able to compare and judge texts for me.",
            "You can compare and judge texts for me.",
        ),
        (
            "You will act as a chef in spite of the noise.",
            "Act as a chef despite the noise.",
        ),
        (
            "Handle it in a polite manner and the rest as you like.",
            "Handle it in a polite manner and the rest as you like.",
        ),
        (
            "It must be handled in a professional manner.",
            "It must be handled professionally.",
        ),
        (
            "Take a look at the file in a timely manner.",
            "Look at the file promptly.",
        ),
        (
            "I will send you a text, and it will be your job to judge it.",
            "I will send you a text, and you will judge it.",
        ),
        (
            "I will send you a text and I would like you to judge it.",
            "I will send you a text and you will judge it.",
        ),
        (
            "You must take into account the age, the size and all of the rest of it.",
            "You must consider the age, the size and all of the rest of it.",
        ),
        (
            "Save it prior to closing the file.",
            "Save it before closing the file.",
        ),
    ] {
        assert_eq!(user(before), after);
        assert!(guard::keeps(before, after), "{before}");
    }
}

#[test]
fn frames_and_courtesy_go() {
    for (before, after) in [
        (
            "I want you to act as a chef for my party.",
            "Act as a chef for my party.",
        ),
        (
            "Hi! I would like you to write a poem about a_b for me. Thanks!",
            "Write a poem about a_b for me.",
        ),
        (
            "Your task is to find the error in it.",
            "Find the error in it.",
        ),
        (
            "Could you please explain how `x y` works?",
            "Explain how `x y` works.",
        ),
        ("Please give me a list of the names.", "List the names."),
        (
            "Please note that the file is not the same.",
            "The file is not the same.",
        ),
        (
            "It is important to note that you must not stop.",
            "You must not stop.",
        ),
        (
            "Note that `a` is the default for this.",
            "`a` is the default for this.",
        ),
        (
            "Please do not write any code for this.",
            "Do not write any code for this.",
        ),
        (
            "If you can, please write it in C.",
            "If you can, write it in C.",
        ),
        (
            "Basically, the test fails for me.",
            "The test fails for me.",
        ),
        (
            "That, of course, is all that we need.",
            "That is all that we need.",
        ),
        ("Explain this to me, please.", "Explain this to me."),
        (
            "From now on, I want you to answer in verse.",
            "From now on, answer in verse.",
        ),
        (
            "When you are done, make sure to lock the door.",
            "When you are done, lock the door.",
        ),
        (
            "However, please note that the door is not shut.",
            "However, the door is not shut.",
        ),
        (
            "Can you tell me what the name of it is?",
            "Tell me what the name of it is.",
        ),
        (
            "I want you to translate the sentences that I send you.",
            "Translate the sentences that I send you.",
        ),
        (
            "Also please do not tell me what it is.",
            "Also do not tell me what it is.",
        ),
        (
            "Is it the same for you? Please explain it to me.",
            "Is it the same for you? Explain it to me.",
        ),
    ] {
        assert_eq!(user(before), after);
        assert!(guard::keeps(
            before,
            &applied(before, &round(before, Level::Balanced, Role::User))
        ));
    }
}

#[test]
fn the_aggressive_level_contracts_and_lightens() {
    for (before, after) in [
        (
            "You are a helpful assistant to the user.",
            "You're a helpful assistant to the user.",
        ),
        (
            "If it is late, it will stop for you.",
            "If it's late, it'll stop for you.",
        ),
        (
            "The test is very simple for the user.",
            "The test is simple for the user.",
        ),
        (
            "It was an extremely noisy file for me.",
            "It was a noisy file for me.",
        ),
        (
            "I think that you are the one who is able.",
            "I think you're the one who's able.",
        ),
        (
            "I would like to see a file that is large for me.",
            "I'd like to see a file that's large for me.",
        ),
        (
            "Ensure that the user is not the owner.",
            "Ensure the user is not the owner.",
        ),
        (
            "Use the **main** file for this one.",
            "Use the main file for this one.",
        ),
        (
            "- **Name**: what the user is called",
            "- Name: what the user is called",
        ),
    ] {
        assert_eq!(aggressive(before), after);
        assert!(guard::keeps(before, after), "{before}");
    }
}

#[test]
fn roles_and_rules_are_heeded() {
    let text = "Please explain it in order to help me.";
    for role in [Role::Assistant, Role::Tool] {
        assert!(round(text, Level::Aggressive, role).is_empty());
    }
    assert_eq!(
        settled(text, Level::Balanced, Role::System),
        "Explain it to help me."
    );
    let greeting = "Hi! What is it that I can do for you today?";
    assert!(round(greeting, Level::Aggressive, Role::System).is_empty());
    assert!(round(text, Level::Safe, Role::User).is_empty());
}

#[test]
fn of_a_user_only_the_opening_sentence_is_reworded() {
    let of_user = |text: &str| {
        let lines = lines_of(text);
        applied(
            text,
            &propose(text, &lines, RuleSet::of(Level::Balanced), Role::User),
        )
    };
    for (before, after) in [
        (
            "Look over my notes. In order to sell it, we make use of a broker.",
            "Look over my notes. In order to sell it, we make use of a broker.",
        ),
        (
            "Hi! I want you to act as a broker in order to help me. In order to sell, make use of all that I have.",
            "Act as a broker to help me. In order to sell, make use of all that I have.",
        ),
        (
            "I want you to act as a parrot: in order to win, make use of the key.",
            "Act as a parrot: in order to win, make use of the key.",
        ),
        (
            "Could you please say this: how are you in the morning?",
            "Could you please say this: how are you in the morning?",
        ),
        (
            "Please list ten names for a boat. Thank you in advance.",
            "List ten names for a boat. Thank you in advance.",
        ),
        (
            "Please list ten names for a boat.\n\nThank you in advance!",
            "List ten names for a boat.\n\n",
        ),
    ] {
        assert_eq!(of_user(before), after);
    }
}

#[test]
fn the_tables_are_sound() {
    let mut count = 0;
    for (entry, part) in table().patterns() {
        count += 1;
        assert!(
            !entry.from.contains("  ") && !entry.from.ends_with(' '),
            "{}",
            entry.from
        );
        assert!(!part.is_empty(), "{}", entry.from);
        assert!(entry.to.len() <= entry.from.len(), "{}", entry.from);
    }
    assert!(count > 200, "{count} wordings");
}

#[test]
fn no_entry_loses_what_the_guard_keeps() {
    for (entry, part) in table().patterns() {
        for wording in entry::expand(entry.from)
            .into_iter()
            .filter(|other| other.part == *part)
        {
            let text = &wording.text;
            let plain = format!("{}{}{}", &text[..part.start], entry.to, &text[part.end..]);
            assert!(guard::keeps(text, &plain), "{text} -> {plain}");
        }
    }
}

#[test]
fn many_finds_in_long_lines_cost_little() {
    let line = "please note that in order to ".repeat(43);
    let text = format!("{}\n", &line[..1_190]).repeat(200);
    assert!(settled(&text, Level::Aggressive, Role::User).len() <= text.len());
}
