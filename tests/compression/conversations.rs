//! Conversations as clients send them: each request is the one before with messages added, and what
//! went out once goes out the same again, or the provider's prompt cache would miss.

use crate::lossless::{shown, spread};
use crate::{
    corpus::prompts,
    messages::assert_none,
    metric,
    references::unfolded,
    subject::{LEVELS, conversation, tokens},
};

#[test]
fn earlier_messages_go_out_as_they_did_before() {
    let mut problems = Vec::new();
    for prompt in prompts() {
        let messages = prompt.messages();
        for level in LEVELS {
            let mut before: Vec<String> = Vec::new();
            for length in 1..=messages.len() {
                let outgoing = conversation(level, &messages[..length]);
                assert_eq!(
                    outgoing.len(),
                    length,
                    "{} {level}: one text a message",
                    prompt.id
                );
                if outgoing[..length - 1] != before {
                    problems.push(format!("{} {level}: message {length} rewrites", prompt.id));
                }
                before = outgoing;
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn what_is_folded_really_stands_earlier() {
    let mut problems = Vec::new();
    for prompt in prompts() {
        let messages = prompt.messages();
        for level in LEVELS {
            let outgoing = conversation(level, &messages);
            for (nth, ((_, text), sent)) in messages.iter().zip(&outgoing).enumerate() {
                let place = format!("{} {level} #{nth}", prompt.id);
                match unfolded(text, sent, &outgoing[..nth]) {
                    Ok(whole) => {
                        let report = metric::check(&shown(text, &whole), &spread(&whole));
                        if !report.is_clean() {
                            problems.push(format!("{place}: {report}"));
                        }
                    }
                    Err(line) => problems.push(format!("{place}: refers to nothing: {line}")),
                }
                let (before, after) = (tokens(text), tokens(sent));
                if after > before {
                    problems.push(format!("{place}: {before} tokens became {after}"));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn an_outgoing_conversation_is_not_changed_again() {
    let mut problems = Vec::new();
    for prompt in prompts() {
        let messages = prompt.messages();
        for level in LEVELS {
            let outgoing = conversation(level, &messages);
            let roles = messages.iter().map(|(role, _)| role.clone());
            let again: Vec<_> = roles.zip(outgoing.iter().cloned()).collect();
            if conversation(level, &again) != outgoing {
                problems.push(format!("{} {level}: changes again", prompt.id));
            }
        }
    }
    assert_none(&problems);
}
