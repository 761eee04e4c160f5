use proptest::prelude::*;

use super::*;
use crate::compressor::Role;

fn packed(text: &str) -> String {
    let document = Document::of(text, Role::Tool);
    let mut out = String::new();
    let mut from = 0;
    for edit in propose(&document) {
        out.push_str(&text[from..edit.at.start]);
        out.push_str(&edit.with);
        from = edit.at.end;
    }
    out.push_str(&text[from..]);
    out
}

const FRAMED: &str = "\
+----+-------------+-------+
| id | name        | born  |
+----+-------------+-------+
|  1 | Ann Bo      | 1990  |
|  2 | Cé          | NULL  |
+----+-------------+-------+
2 rows in set";

#[test]
fn frames_become_narrow() {
    assert_eq!(
        packed(FRAMED),
        "+-+-+-+\n| id| name| born|\n+-+-+-+\n|1| Ann Bo|1990|\n|2| Cé| NULL|\n+-+-+-+\n2 rows in set"
    );
    let open = " id |   name   \n----+----------\n  1 | Ann\n  2 | \n(2 rows)";
    assert_eq!(packed(open), " id| name\n-+-\n1| Ann\n2|\n(2 rows)");
}

#[test]
fn what_is_no_proven_table_stays() {
    for text in [
        " a  | b\n----+---\n c  | d\n----+---\n e  | f".to_owned(),
        // A tree, a cell that goes on, a board, a plan, a grid that somebody wrote.
        FRAMED.replace("| Cé  ", "|   Cé"),
        " id |     body\n----+---------------\n  1 | if so:       +\n    |     go there +\n    | or not\n(1 row)".to_owned(),
        "+-----+-----+\n| 5 3 |   7 |\n| 6   | 1 9 |\n+-----+-----+\n|   9 | 4 1 |\n| 8   |   2 |\n+-----+-----+".to_owned(),
        "+-----+-----------+\n| row | seats     |\n+-----+-----------+\n| A   | XX  XX  X |\n| B   |  X  XX    |\n+-----+-----------+".to_owned(),
        "+------+---------+\n| Flag | Meaning |\n+======+=========+\n| -v   | verbose |\n+------+---------+".to_owned(),
        "+------+---------+\n| -q   | quiet   |\n+------+---------+\n| -v   | verbose |\n+------+---------+\n\
         | -x   | exact   |\n+------+---------+".to_owned(),
        // A row without a bar below each cross, a frame without an end, a drawing.
        FRAMED.replace("|  2 | Cé  ", "|  2 | C | "),
        FRAMED.replace("| Ann Bo ", "| Ann Bo"),
        "+----+------+\n| id | name |\n| 1  | Ann  |".to_owned(),
        "+------+    +-----+\n|  a   |--->|  b  |\n+------+    +-----+".to_owned(),
        "+------+\n+------+\n".to_owned(),
        format!("```\n{FRAMED}\n```"),
        " a  | b\n a + b\n----+---".to_owned(),
        "----+---\n".to_owned(),
        "+----+-------+\n| a  == b     |\n+----+-------+".to_owned(),
    ] {
        assert_eq!(packed(&text), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn only_blanks_and_dashes_go(text in "([+][-]--[+]---[+]\n|[|] a [|] 1 [|]\n|[|]a b[|]  x[|]\n|--[+]---\n| a[|] b \n|[-+|a é\n]){0,12}") {
        let once = packed(&text);
        prop_assert_eq!(packed(&once), once.as_str());
        let visible = |text: &str| text.replace([' ', '-'], "");
        prop_assert_eq!(visible(&once), visible(&text));
    }
}
