//! Each message on its own, at each level: nothing lost, never longer, the same bytes every time.

use std::collections::BTreeMap;

use crate::lossless::{shown, spread};
use crate::{
    corpus::{Unit, units},
    metric,
    references::unfolded,
    subject::{LEVELS, compress, tokens},
};

/// What the messages of one category cost, before and after each level.
#[derive(Debug, Default)]
struct Row {
    messages: usize,
    before: usize,
    after: [usize; LEVELS.len()],
}

/// Fails with the first of `problems`, and with how many there are.
#[track_caller]
pub(crate) fn assert_none(problems: &[String]) {
    let first: Vec<&str> = problems.iter().take(20).map(String::as_str).collect();
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        first.join("\n")
    );
}

#[test]
fn no_message_loses_a_fact_or_gains_a_token() {
    let mut problems = Vec::new();
    let mut table: BTreeMap<String, Row> = BTreeMap::new();
    for unit in units() {
        let before = tokens(&unit.text);
        let row = table.entry(unit.category.clone()).or_default();
        row.messages += 1;
        row.before += before;
        for (level, sum) in LEVELS.into_iter().zip(&mut row.after) {
            let outgoing = compress(level, &unit.role, &unit.text);
            let after = tokens(&outgoing);
            *sum += after;
            judge(level, &unit, &outgoing, &mut problems);
            if after > before {
                problems.push(format!(
                    "{} {level}: {before} tokens became {after}",
                    unit.id
                ));
            }
        }
    }
    print(&table);
    assert_none(&problems);
}

fn judge(level: &str, unit: &Unit, outgoing: &str, problems: &mut Vec<String>) {
    let Unit { id, text, .. } = unit;
    let report = metric::check(&shown(text, outgoing), &spread(outgoing));
    if !report.is_clean() {
        problems.push(format!("{id} {level}: {report}"));
    }
    if let Err(line) = unfolded(text, outgoing, &[]) {
        problems.push(format!("{id} {level}: refers to nothing: {line}"));
    }
}

#[test]
fn compressing_again_changes_nothing() {
    let mut problems = Vec::new();
    for unit in units() {
        for level in LEVELS {
            let once = compress(level, &unit.role, &unit.text);
            if compress(level, &unit.role, &once) != once {
                problems.push(format!("{} {level}: changes again", unit.id));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_order_of_messages_does_not_matter() {
    let units = units();
    let mut problems = Vec::new();
    for level in LEVELS {
        let outgoing = |unit: &Unit| compress(level, &unit.role, &unit.text);
        let forwards: Vec<String> = units.iter().map(outgoing).collect();
        let mut backwards: Vec<String> = units.iter().rev().map(outgoing).collect();
        backwards.reverse();
        for ((unit, one), other) in units.iter().zip(&forwards).zip(&backwards) {
            if one != other {
                problems.push(format!("{} {level}: depends on what came before", unit.id));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn off_changes_nothing() {
    for unit in units() {
        assert_eq!(
            compress("off", &unit.role, &unit.text),
            unit.text,
            "{}",
            unit.id
        );
    }
}

#[expect(clippy::print_stdout, reason = "the table is what --nocapture is for")]
fn print(table: &BTreeMap<String, Row>) {
    let mut all = Row::default();
    println!(
        "{:18}{:>9}{:>9}{}",
        "category",
        "messages",
        "tokens",
        LEVELS.map(heading).concat()
    );
    for (category, row) in table {
        println!("{category:18}{}", row.figures());
        all.add(row);
    }
    println!("{:18}{}", "all", all.figures());
}

fn heading(level: &str) -> String {
    format!("{level:>12}")
}

// === impl Row ===

impl Row {
    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.before += other.before;
        for (sum, other) in self.after.iter_mut().zip(other.after) {
            *sum += other;
        }
    }

    fn figures(&self) -> String {
        let saved = self
            .after
            .map(|after| format!("{:>11}%", tenths(self.before, after)));
        format!("{:9}{:9}{}", self.messages, self.before, saved.concat())
    }
}

/// What `after` is less than `before`, in per cent with one decimal.
fn tenths(before: usize, after: usize) -> String {
    let tenths = before.saturating_sub(after) * 1000 / before.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}
