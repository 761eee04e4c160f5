use proptest::prelude::*;

use super::*;

fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let body = line.trim_matches([' ', '\t', '\n']);
            let at = start + line.find(body).unwrap();
            start += line.len();
            at..at + body.len()
        })
        .collect()
}

fn packed(text: &str) -> String {
    let rules = [Rule::TablePadding].into_iter().collect();
    let edits = propose(text, &bodies(text), rules);
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.at.start]);
        out.push_str(&edit.with);
        at = edit.at.end;
    }
    out.push_str(&text[at..]);
    out
}

#[test]
fn padding_goes() {
    for (table, packed_table) in [
        (
            "| Name  | Age |\n|-------|----:|\n| Ann   |  30 |",
            "| Name| Age|\n|-|-:|\n| Ann|30|",
        ),
        ("|a  |b |\n|:---|:--:|\n|c  |  |", "|a|b|\n|:-|:-:|\n|c| |"),
        ("a   | b\n--- | ---\n1   | 2", "a| b\n-|-\n1|2"),
        (
            "  | a  | b |\n  |----|---|\n  | c  | d |",
            "  | a| b|\n  |-|-|\n  | c| d|",
        ),
        (
            "| 类别   | 描述  |\n|:----:|-----|\n| 学术 | 写   |",
            "|类别|描述|\n|:-:|-|\n|学术|写|",
        ),
        (
            "| a | b |\n|---|---|\n| `a | b`  | c |\n| `x`   | d |",
            "| a| b|\n|-|-|\n| `a | b`  | c |\n|`x`| d|",
        ),
        (
            "| a \\| b  | c |\n|---|---|\n| x \\  | d |",
            "| a \\| b| c|\n|-|-|\n| x \\  | d|",
        ),
        ("| id | n  |\n| 1  | a  |", "| id| n|\n|1| a|"),
        (
            "| a | https://example.org   |\n|---|---|",
            "| a| https://example.org |\n|-|-|",
        ),
        (
            "| a | \u{3000}b\u{3000} |\n|---|---|",
            "| a| \u{3000}b\u{3000} |\n|-|-|",
        ),
        ("| a  | it's 5  |\n|---|---|", "| a| it's 5|\n|-|-|"),
    ] {
        assert_eq!(packed(table), packed_table);
        assert_eq!(packed(packed_table), packed_table);
    }
}

#[test]
fn other_bars_stay() {
    for text in [
        "| one line |",
        "|      |\n| box  |\n|      |",
        "|   |   |\n|   |   |",
        "| 1  2 |\n| 3  4 |",
        "a  | b\nc  | d",
        "| a  -> b | c |\n| a  == b | c |",
        "| \"a  | b\" |\n| \"c  | d\" |",
        "| 'a  | b' |\n| 'c  | d' |",
        "| “a  | b” |\n| “c  | d” |",
        "| a || b  |\n| c || d  |",
        "| a  | b |\n| c |",
        "||\n||",
        "|\n|",
        "",
        "\n",
    ] {
        assert_eq!(packed(text), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn cells_stay(text in "([|]|[|] |  |a|1|-|:|`|\"|'|\\\\|é|\u{3000}|\n|[|]---|[|]\n[|]){0,40}") {
        let once = packed(&text);
        prop_assert_eq!(packed(&once), once.as_str());
        let visible = |text: &str| text.replace([' ', '\t'], "");
        let cells = |text: &str| text.lines().map(|line| visible(line).matches('|').count()).collect::<Vec<_>>();
        prop_assert_eq!(cells(&once), cells(&text));
        let body = |text: &str| visible(text).replace('-', "");
        prop_assert_eq!(body(&once), body(&text));
    }
}
