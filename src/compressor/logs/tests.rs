use proptest::prelude::*;

use super::*;

fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let body = line.trim_matches([' ', '\t', '\n', '\r']);
            let at = start + line.find(body).unwrap();
            start += line.len();
            at..at + body.len()
        })
        .collect()
}

fn edits(text: &str) -> Vec<Edit> {
    propose(
        text,
        &bodies(text),
        [Rule::LogTemplates].into_iter().collect(),
    )
}

fn folded(text: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits(text) {
        out.push_str(&text[at..edit.at.start]);
        out.push_str(&edit.with);
        at = edit.at.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The lines that a fold stands for.
fn expanded(fold: &str) -> String {
    let (header, mut values) = fold.split_once(VALUES).unwrap();
    let (count, template) = header
        .strip_prefix('[')
        .unwrap()
        .split_once(HEADER)
        .unwrap();
    values = values.strip_suffix(']').unwrap();
    let gap = &values[..values.len() - values.trim_ascii_start().len()];
    let values: Vec<&str> = values[gap.len()..].split(gap).collect();
    assert_eq!(values.len(), count.parse::<usize>().unwrap());
    let lines = values.iter().map(|values| {
        let mut rest = *values;
        let mut line = String::new();
        for (nth, piece) in template.split("{}").enumerate() {
            if nth > 0 {
                let end = match rest.strip_prefix('"') {
                    Some(quoted) => quoted.find('"').unwrap() + 2,
                    None => rest.find(' ').unwrap_or(rest.len()),
                };
                line.push_str(&rest[..end]);
                rest = rest[end..].strip_prefix(' ').unwrap_or(&rest[end..]);
            }
            line.push_str(piece);
        }
        assert_eq!(rest, "");
        line
    });
    lines.collect::<Vec<_>>().join(gap)
}

fn numbered(numbers: Range<usize>, line: impl Fn(usize) -> String) -> String {
    numbers.map(line).collect()
}

fn check(text: &str) -> usize {
    let edits = edits(text);
    for edit in &edits {
        assert_eq!(expanded(&edit.with), text[edit.at.clone()], "{text}");
    }
    let once = folded(text);
    assert_eq!(folded(&once), once, "{text}");
    edits.len()
}

#[test]
fn runs_fold_without_loss() {
    for line in [
        "2026-01-01 12:00:0@ INFO worker-@ job 44@1.5 done in 1@ms",
        "  INFO GET /items/@ \"agent @ x\" 200 and more words",
        "10.0.0.@ - - [01/Jan/2026:00:00:0@ +0000] \"GET /a@ HTTP/1.1\" 200 51@",
        "[ @/200] Downloading crate-@.0.1 from 0xa@b and others",
        "WARN pass @ of the whole suite is over",
        "ERROR é@ naïve message ü",
    ] {
        for end in ["\n", "\r\n", "\n    "] {
            let lines: Vec<_> = (0..8)
                .map(|n: u32| line.replace('@', &(n * 7).to_string()))
                .collect();
            let text = format!("start\n{}\nend", lines.join(end));
            assert_eq!(check(&text), 1, "{text}");
        }
    }
    let text = numbered(1..7, |n| format!("12:00:0{n} job 44{n}1 done in {n}ms\n"));
    assert_eq!(
        folded(&text),
        "[6 similar lines: 12:00:{} job {} done in {}ms; values:\n01 4411 1\n02 4421 2\n03 4431 3\n04 4441 4\n\
         05 4451 5\n06 4461 6]\n"
    );
}

#[test]
fn what_does_not_pay_stays() {
    let run = |line: &str, count: usize| {
        let lines = (0..count).map(|n| line.replace('@', &n.to_string()) + "\n");
        lines.collect::<String>()
    };
    for text in [
        run("12:00:0@ INFO job done", 5),
        run("@ @ @", 20),
        run("INFO job done", 20),
        run("INFO {} job @ done and more words", 20),
        run("register(\"tool_@\", handler_@, some_more_words_of_it)", 20),
        run("(\"tool\", @, \"some more words of it\")", 20),
        run("SOME_KEY=value of @ and more words", 20),
        run("DEBUG=value of @ and more words", 20),
        run("@. item of the numbered list and more words", 20),
        run("src/a.py:1@: hit of the search and more words", 20),
        run("INFO job @ \" done", 3),
        run("{\"id\":@,\"name\":\"one and the same\"}", 20),
        run("+ job @ done and more words", 20),
        run("| job @ | done and more words |", 20),
        run("assert_eq!(double(@), some_value_of(@));", 20),
        numbered(0..10, |n| format!("INFO job {n} word{}\n", "x".repeat(n))),
        numbered(0..10, |n| format!("INFO job {n} done\n\n")),
        numbered(0..10, |n| format!("INFO job {n} done{}\n", " ".repeat(n))),
        String::new(),
        "\n".repeat(20),
        "[9 similar lines: x {} {}; values:\n".to_owned() + &run("12:00:0@ INFO job done", 9),
        format!("[{} similar lines: x; values:\n1", usize::MAX),
    ] {
        assert_eq!(check(&text), 0, "{text}");
    }
}

#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "1",
        "\"",
        "1\n",
        "a1 \"",
        "a-",
        "1.",
        "\"\n",
        "{}\n",
        "a 1 b\n",
        "1 2 3 4 5 6\n",
        "\"1\" ",
    ] {
        check(&unit.repeat(300_000 / unit.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_run_is_folded_without_loss(
        lines in proptest::collection::vec(
            ("(12|12:0[12]|[0-9]{1,3}ms|x-[12]|\"[a 1]{0,3}\"|a1\\.[12])", "[0-9]{1,2}|7"), 0..24),
        words in "[a-z]{2,8}( |: | = )[a-zé]{0,8}( |, |\")",
        tail in "( [a-z ]{0,12})?",
    ) {
        let lines = lines.iter().map(|(a, b)| format!("INFO {words}{a} {words}{b}{tail}\n"));
        check(&lines.collect::<String>());
    }

    #[test]
    fn any_text(text in "([ab]|1|22|\"|:|-| |\n|\\{\\}|\\[6 similar lines: |; values:\n|é){0,120}") {
        check(&text);
    }
}
