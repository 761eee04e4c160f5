use crate::compressor::{
    Level, Role, RuleSet,
    document::Document,
    space,
    tests::{safe, stays, stays_between},
};

#[test]
fn blank_lines_around_fences_and_tables_are_none_of_theirs() {
    for block in [
        "```\na  b \n\n\n\nc\n```",
        "```python title=\"x\"\na  b \n\n\n\nc\n```",
        "~~~\na  b \n```\n\n\n\nc\n~~~",
        "````md\n```\na  b \n```\n\n\n\nc  d \n````",
        "```md\n```js\na  b \n```\n\n\nThat is  it. \n```",
        "- ```\n  a  b \n\n\n\n  c\n  ```",
        "> ```\n> a  b \n>\n> c\n> ```",
        "Here it is: ```\nWe go.  They stay. \n```",
        "| a  | b |\n|----|---|\n| c  | d | ",
    ] {
        stays_between(block, "\n\n");
    }
}

#[test]
fn ends_of_logs_and_traces_are_no_part_of_them() {
    assert_eq!(
        safe(
            "2024-01-02 10:00:00 INFO  We go.  They stay. \n\nTraceback (most recent call last): \n  File \"x.py\", line 1, in f  \n"
        ),
        "2024-01-02 10:00:00 INFO  We go.  They stay.\n\nTraceback (most recent call last):\n  File \"x.py\", line 1, in f"
    );
    // A file's lines with their numbers.
    stays("1021:    total = 1 \n1022:    total += x \n1023:    return total ");
}

#[test]
fn what_all_lines_end_with_goes() {
    let code = [
        "def f(a):",
        "    b = a + 1",
        "",
        "    return {",
        "        b",
        "    }",
        "x = f(1)",
        "y = [x,",
        "    2]",
    ];
    let ended = |ending: &str| code.join(&format!("{ending}\n")) + ending;
    assert_eq!(safe(&ended("  ")), code.join("\n"));
    assert_eq!(
        safe(&format!("What does this do?\n{}", ended(" "))),
        format!("What does this do?\n{}", code.join("\n"))
    );
    // A tab may open an empty cell, and few lines are alike by chance.
    stays(&ended("\t"));
    stays(&format!("{}\nz = 1\nprint(z)", ended(" ")));
    // Fences and changes keep theirs.
    stays(&format!("```\n{}\n```", ended("  ")));
    stays("diff --git a/x b/x \n--- a/x \n+++ b/x \n@@ -1,2 +1,2 @@ \n-a = 1 \n+b = 2 ");
    let tool = |text: &str| {
        let document = Document::of(text, Role::Tool);
        space::propose(&document, RuleSet::of(Level::Safe), Role::Tool).len()
    };
    let failed = format!(
        "The text did not match, white space included: \n{}",
        ended(" ")
    );
    assert_eq!(tool(&failed), 10);
    assert_eq!(tool(&failed.replacen(": \n", ":\n", 1)), 0);
}

#[test]
fn blank_lines_before_and_behind_code_go() {
    assert_eq!(
        safe("\n\n    x = 1;\n\n\n    y = 2;\n"),
        "    x = 1;\n\n\n    y = 2;\n"
    );
    assert_eq!(safe("We go.\n\n```\nx\n```\n\n"), "We go.\n\n```\nx\n```");
    // What is open may be what is to be continued.
    stays("We go.\n\n```\nx = \n\n");
    stays("def f(a):\n    return a\n\n\n");
    let tool = |text: &str| {
        let document = Document::of(text, Role::Tool);
        space::propose(&document, RuleSet::of(Level::Safe), Role::Tool).len()
    };
    assert_eq!(tool("\n\nimport os\n\n\nx = 1;\n"), 0);
}

#[test]
fn gaps_between_sentences_need_no_plain_line() {
    let long = |gap: &str| {
        format!(
            "Document [3](Title: The river) It runs for 40% of its 1,200 km through the town’s old centre.{gap}The users' “second  bridge” costs +3 and was built [4] in 1931.{gap}It stands."
        )
    };
    assert_eq!(safe(&long("  ")), long(" "));
    for text in [
        "The sum is $3 for all of them.  We go [home].",
        "Document [3] is one of those that were read by all of them in  the town of Rome [4].",
        "Document [3] is one of those that “were read by all of them in the town.  It was Rome [4].",
        "Document [3] is one of 'those that were read by all of them in the town.  It was Rome [4]'.",
    ] {
        stays(text);
    }
}

#[test]
fn no_break_spaces_at_edges_go() {
    assert_eq!(
        safe("We went:\n\n\u{a0}- \u{a0}home and\n- \u{a0}away."),
        "We went:\n\n- home and\n- away."
    );
    assert_eq!(
        safe("\u{feff}We went home \u{200b}again."),
        "We went home again."
    );
    stays("\u{200b}# no heading it is");
    stays("\u{a0}\u{a0}- an item below another");
}

#[test]
fn tabs_behind_bullets_become_blanks() {
    assert_eq!(
        safe("•\tWe went home again.\no\tIt was late and cold."),
        "• We went home again.\no It was late and cold."
    );
    stays("o\ta\tb c d e f");
    stays("o\tone two three");
    stays("x\tWe went home again.");
}
