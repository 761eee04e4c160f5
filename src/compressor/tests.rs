use super::*;

/// The text after all that the rules of white space propose, whether it pays or not.
pub(super) fn safe(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let document = Document::of(&text, Role::User);
        let edits = if space::is_worth_a_look(&text) {
            space::propose(&document, RuleSet::of(Level::Safe), Role::User)
        } else {
            Vec::new()
        };
        if edits.is_empty() {
            return text;
        }
        let mut shorter = String::new();
        let mut from = 0;
        for edit in edits {
            shorter.push_str(&text[from..edit.at.start]);
            shorter.push_str(&edit.with);
            from = edit.at.end;
        }
        shorter.push_str(&text[from..]);
        text = shorter;
    }
}

pub(super) fn stays(text: &str) {
    assert_eq!(safe(text), text, "{text:?} is edited");
}

/// `block` stays after sentences that are edited, and so do the blank lines around it.
fn stays_within_prose(block: &str) {
    stays_between(block, "\n\n\n");
}

/// `block` stays after sentences that are edited, with these line ends around it.
pub(super) fn stays_between(block: &str, gap: &str) {
    let text = format!("It is  late. \n\nWe go.\n\n\n{block}\n\n\nThey stay.\n\nIt is  cold. ");
    let shorter = safe(&text);
    assert!(
        shorter.starts_with(&format!("It is late.\n\nWe go.{gap}{block}{gap}")),
        "{shorter:?}"
    );
}

#[test]
fn levels_have_words() {
    for level in [Level::Off, Level::Safe, Level::Balanced, Level::Aggressive] {
        assert_eq!(level.as_str().parse(), Ok(level));
        assert_eq!(level.to_string(), level.as_str());
    }
    let error = "maximum".parse::<Level>().unwrap_err().to_string();
    assert!(
        error.contains("\"maximum\"") && error.contains("off, safe, balanced or aggressive"),
        "{error}"
    );
    assert!(Level::Off < Level::Safe && Level::Balanced < Level::Aggressive);
}

#[test]
fn off_changes_nothing() {
    let text = "We went home.  It was late.  ".repeat(20);
    assert_eq!(
        Compressor::new(Level::Off).compress(&text, Role::User),
        None
    );
}

#[test]
fn clean_text_is_not_copied() {
    for text in [
        "",
        " ",
        "\n\n\n",
        " \t\r\n \n",
        "One line.",
        "Two\n\nparagraphs.",
        "  indented\n  lines",
    ] {
        stays(text);
    }
}

#[test]
fn trailing_blanks_go() {
    assert_eq!(
        safe("We go. \nThey stay.\t\n\nIt is late.   \n"),
        "We go.\nThey stay.\n\nIt is late."
    );
    assert_eq!(
        safe("We go. \r\n \r\nThey stay. \t\r\n"),
        "We go.\n\nThey stay."
    );
    assert_eq!(safe("We go.   "), "We go.");
}

#[test]
fn blank_lines_fold_to_one() {
    assert_eq!(safe("We go.\n\n\n\nThey stay.\n"), "We go.\n\nThey stay.");
    assert_eq!(
        safe("We go.\r\n\r\n \t\r\n\r\nThey stay."),
        "We go.\n\nThey stay."
    );
    assert_eq!(safe("\n\n\nWe go.\n\n\n  "), "We go.");
}

#[test]
fn spaces_between_words_fold_to_one() {
    assert_eq!(
        safe("We went home.  It was late."),
        "We went home. It was late."
    );
    assert_eq!(
        safe("Please    summarize   this   text."),
        "Please summarize this text."
    );
    assert_eq!(
        safe("  Then we  went home again."),
        "  Then we went home again."
    );
    assert_eq!(
        safe("It was (very)  late, and  cold out there."),
        "It was (very) late, and cold out there."
    );
    assert_eq!(
        safe("Où  êtes-vous allés hier soir ?"),
        "Où êtes-vous allés hier soir ?"
    );
    assert_eq!(
        safe("- We went home.  It was late."),
        "- We went home. It was late."
    );
}

#[test]
fn what_is_not_a_slip_between_words_stays() {
    for text in [
        "-   We went home early again.",
        "1.  We went home early again.",
        "Name  Age  City",
        "We paid 5  dollars for the three of them.",
        "Tab\tbetween\twords stays. ",
        "No-break `a\u{a0}b` spaces in \"c\u{a0}d\" are content.",
        "status:   we went home early again today",
        "Full\u{3000}\u{3000}width\u{2003}\u{2003}spaces are content.",
    ] {
        stays(text);
    }
}

#[test]
fn quoted_text_and_code_within_a_line_stay() {
    assert_eq!(
        safe("We said  \"it  is\" and `a  b` again.  Yes."),
        "We said \"it  is\" and `a  b` again. Yes."
    );
    assert_eq!(
        safe("Use ``a `b`  c`` there.  Then go."),
        "Use ``a `b`  c`` there. Then go."
    );
    for text in [
        "We said “it  is” to them all.",
        "We said «it  is» to them all.",
        "We said ‘it  is’ to them all.",
        "We said 'it  is' to them all.",
        "The users' text 'a user's  own' is it.",
        "We said \"it  is to them all.",
        "We said \"it is \nlate \nand  cold\" to them all. ",
        "We said “it is \nlate  and cold” to them all. ",
        "Text: \"One  two three.\n\n\nFour  five six.\" ",
        "Use `a\nb ` here. ",
        "It runs `a  \" b` and `c  \" d` every single day.",
        "\"\"\"\nWe go.  They stay. \n\n\n\nIt is late.\n\"\"\"\n",
    ] {
        stays(text);
    }
}

#[test]
fn hard_breaks_stay_line_breaks() {
    assert_eq!(
        safe("Roses are red.  \nThey are.   \n\nWe go.  "),
        "Roses are red.\nThey are.\n\nWe go."
    );
}

#[test]
fn characters_in_disguise_go() {
    assert_eq!(
        safe("We\u{a0}went home, a\u{200b}nd it was late\u{ad}ly cold."),
        "We went home, and it was lately cold."
    );
    for text in [
        "ภาษา\u{200b}ไทย is Thai for the language.",
        "👩\u{200d}👧 are a family of two.",
    ] {
        stays(text);
    }
}

#[test]
fn drawn_lines_become_short() {
    let text = |line: &str| format!("We go.\n\n{line}\n\nThey stay.");
    for mark in ["-", "=", "*", "_", "─", "•"] {
        assert_eq!(safe(&text(&mark.repeat(40))), text(&mark.repeat(3)));
        assert_eq!(safe(&text(&mark.repeat(9))), text(&mark.repeat(9)));
    }
    // What stands beside it are sentences, and no headings as long as it.
    assert_eq!(
        safe("(72 more lines below)\n--------------------------------\nThis is the file as it is."),
        "(72 more lines below)\n---\nThis is the file as it is."
    );
    for text in [
        "The title\n==========\n\nWe go.",
        "A title it is\n-------------\n\nWe go.",
        "x = 1;\n----------\ny = 2;",
        "----------\nWe go there now.",
        "```\n----------\n```",
        "The parts are divided so:\n\n----------\n\nWe go.",
        "We went there again:\n^^^^^^^^^^^^^^\n\nWe go.",
    ] {
        stays(text);
    }
    // These words are other ones.
    assert_eq!(
        safe("First, start the format.\n\n==========\n\nWe go."),
        "First, start the format.\n\n===\n\nWe go."
    );
}

#[test]
fn verse_keeps_its_form() {
    let verse = "The fog  comes in\non little cat feet and\nsits looking  over harbor";
    stays(verse);
    stays(&format!("{verse}\n\n\n\n{verse}"));
}

#[test]
fn blocks_stay() {
    for block in [
        "    We go.  They stay. \n\n\n    It is late.",
        "\tWe go.  They stay. ",
        "x = a  + b; \n\n\n\ny = 2; ",
        "def f(a):\n  return a \n\n\n\ndef g(b):\n  return b ",
        "{\"a\":  1, \n\n\n\n \"b c\": \"d  e \"}",
        "[\n\n\n\"a  b. C\", \n2]",
        "The value is {\n  \"a\":  \"We go.  They stay. \"\n\n\n}",
        "<doc>\nWe go.  They stay.\n\n\n\nIt is late.\n</doc>",
        "See <b>this\n\n\nWe go.  They stay.</b> now.",
        "<a>\nIt is.\n</b>\n\n\nIt is  we.\n</a>",
        "<!-- We go.  They stay. \n\n\n\nIt is late. -->",
        "<pre>\nWe go.  They stay. \n\n\n</pre>",
        "> We go.  They stay. \n> It is late.",
        "apples and pears    3 dollars\nbread and butter    4 dollars",
        "a\tb \nc\td ",
        "┌──┐ \n│  │ \n└──┘",
        "$$\na  b \n\n\n\nc\n$$",
        "\\[\nWe go.  They stay. \n\\]",
        "\\begin{a}\nWe go.  They stay. \n\n\n\\end{a}",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-We go.  \n+They go. ",
        "$ ls  -l \n$ cd  x ",
        "2024-01-02 10:00:00 INFO  We go.  They stay.",
        "name: We go. \nage:  3 \ncity:   Bonn ",
        "SELECT a  \nFROM b  \nWHERE c = 1 ",
    ] {
        stays_within_prose(block);
    }
}

#[test]
fn what_has_no_end_is_protected_to_the_end() {
    for text in [
        "```\na  b. C \n\n\n\nWe go.  They stay. ",
        "[1, \n\n\nWe go.  They stay. ",
        "\"\"\"\n\n\nWe go. \n",
    ] {
        stays(text);
    }
}

#[test]
fn placeholders_and_marks_keep_their_line() {
    for line in [
        "Use {name}  there and go home.",
        "Use {{name}}  there and go home.",
        "Use <NAME>  there and go home.",
        "Use $NAME  there and go home.",
        "Use %s  there and go home.",
        "Call it()  there and go home.",
        "See https://a.b/?c=d  and go home then.",
        "Note x -> y  and go home then.",
    ] {
        stays(line);
    }
}

#[test]
fn texts_about_white_space_are_left_alone() {
    stays("Count the trailing spaces here:  We go. ");
    stays("Remove Double  spaces: whitespace matters.  We go. ");
}

#[test]
fn hostile_input_ends() {
    for unit in [
        "`",
        "\"",
        "'",
        "<",
        "{",
        "[",
        "|",
        " ",
        "\n",
        "\t",
        "`` ` ",
        "'a ",
        "<a>\n",
        "<a>\n</b>\n",
        "\"\n",
        "“\n",
        "a  b\n",
        "```a\n",
        "{\"\n",
        "a\n\n\n",
        "\\[\n",
        "\r",
        "é  ",
    ] {
        let text = unit.repeat(20_000);
        let shorter = safe(&text);
        assert_eq!(safe(&shorter), shorter, "{unit:?}");
    }
}

/// Runs of ascending length have no partner each, so whoever looks for each one's partner pays the square.
#[test]
fn marks_without_partners_cost_no_more_than_others() {
    let mut text = "This is  a sentence ".to_owned();
    for length in 1..1_500 {
        text.push_str(&"`".repeat(length));
        text.push('a');
    }
    assert!(text.len() > 1_000_000);
    stays(&text);
}

#[test]
fn odd_ends_are_no_ends() {
    stays("> ```\n\t\nWe went home.  It was late.");
    stays("\r \nWe go.");
    stays("We go.\r ");
}
