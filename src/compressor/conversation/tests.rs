use super::*;
use crate::compressor::Level;

/// What goes out for the messages, all of which the user says.
fn outgoing(level: Level, messages: &[&str]) -> Vec<String> {
    let mut said = Conversation::new();
    let mut outgoing = Vec::new();
    for text in messages {
        let sent = said.compress(&Compressor::new(level), text, Role::User);
        let sent = sent.map_or_else(|| (*text).to_owned(), |sent| sent.text);
        said.remember(sent.clone());
        outgoing.push(sent);
    }
    outgoing
}

/// Lines of a listing that begin with this line.
fn listing(first: &str, lines: usize) -> String {
    let lines =
        (1..lines).map(|line| format!("step {line}: total_{line} += rate_{line} * {line};"));
    let lines: Vec<_> = std::iter::once(first.to_owned()).chain(lines).collect();
    lines.join("\n")
}

#[test]
fn small_repeats_fold_once_they_add_up() {
    let status = "(Open file: /srv/app/billing/invoices/rounding.py)\n\
        (Current directory: /srv/app/billing/invoices)\n(Branch: fix/rounding-of-small-amounts)";
    let turn = |number: usize| {
        let rows = (0..12).map(|row| format!("row {number}.{row} holds {}", number * 97 + row));
        format!("{}\n{status}", rows.collect::<Vec<_>>().join("\n"))
    };
    let turns: Vec<_> = (1..=6).map(turn).collect();
    let turns: Vec<_> = turns.iter().map(String::as_str).collect();
    let sent = outgoing(Level::Balanced, &turns);
    let reference = "\n[3 lines identical to earlier, from: (Open file:]";
    let folds: Vec<_> = sent.iter().map(|text| text.ends_with(reference)).collect();
    // The second and the third repeat 142 bytes each, the fourth is over 400.
    assert_eq!(folds, [false, false, false, true, true, true]);
    assert!(sent[3].starts_with(turns[3].strip_suffix(status).unwrap().trim_end()));
}

#[test]
fn what_stays_counts_once() {
    // 250 bytes that stand in both messages, and in the second a longer block that stands there twice.
    let small = listing("def small(rates):", 9);
    assert!((200..400).contains(&small.len()));
    let twice = (1..9).map(|year| {
        format!("In year {year} the rates of the house rose again, as the tenants had feared.\n")
    });
    let twice = twice.collect::<String>();
    let first = format!("It begins so:\n\n{small}\n\nand goes on elsewhere.");
    let second = format!("{small}\n\n{twice}\n\nand then once more\n\n{twice}");
    let sent = outgoing(Level::Aggressive, &[&first, &second]);
    let balanced = outgoing(Level::Balanced, &[&first, &second]);
    assert!(
        sent[1].contains("lines identical to earlier"),
        "160 are enough: {}",
        sent[1]
    );
    assert!(
        balanced[1].contains("lines identical above"),
        "{}",
        balanced[1]
    );
    assert!(
        !balanced[1].contains("lines identical to earlier"),
        "{}",
        balanced[1]
    );
}

#[test]
fn each_copy_refers_to_the_earlier_message() {
    let code = listing("def monthly_total(rates, months):", 14);
    let first = format!("Here is what we have so far:\n\n{code}\n\nIt is slow.");
    let second =
        format!("Before my change:\n\n{code}\n\nAfter it, as you see:\n\n{code}\n\nWhy is that?");
    let sent = outgoing(Level::Aggressive, &[&first, &second]);
    let reference = "[14 lines identical to earlier, from: def";
    assert_eq!(sent[1].matches(reference).count(), 2, "{}", sent[1]);
    assert!(!sent[1].contains("above"), "{}", sent[1]);
}

#[test]
fn a_name_that_this_message_has_above_is_none() {
    let old = listing("[File: /srv/app/total.rs (14 lines)]", 14);
    let new = old.replace("rate_1 ", "rate_0 ");
    let first = format!("What is in there?\n\n{old}");
    let second = format!("Changed to:\n\n{new}\n\nIt was:\n\n{old}\n\nBetter?");
    let sent = outgoing(Level::Balanced, &[&first, &second]);
    // By the first line a reader would find the changed listing.
    let was = sent[1].split("It was:").nth(1).unwrap();
    assert!(
        was.contains("[File: /srv/app/total.rs (14 lines)]"),
        "{was}"
    );
    assert!(
        was.contains("lines identical to earlier, from: step 1: total_1"),
        "{was}"
    );
}

#[test]
fn alike_lines_without_end_end() {
    let line = "the same beginning of all lines, number ";
    let many = |from: usize| {
        let lines = (from..from + 20_000).map(|number| format!("{line}{}", number % 700));
        lines.collect::<Vec<_>>().join("\n")
    };
    let sent = outgoing(Level::Aggressive, &[&many(0), &many(13), &many(400)]);
    assert_eq!(sent.len(), 3);
}
