use proptest::prelude::*;

use super::tests::safe;

/// Pieces of which texts are made: sentences with slips in them, and blocks that must survive.
const SLIPS: &[&str] = &[
    "We went home.  It was late.",
    "Please  tell us  what it is.",
    "It is late. ",
    "It is late.  ",
    "# Title ",
    "- an item \t",
    "1.  one  more item to do.",
    "They said \"it  is\"  so.",
    "a 5\" tall  thing is here.",
    "It's the users'  own text, of course.",
    "“Open  quotation",
    "closed  quotation”",
    "key:  value",
    "x  y",
    "Price  3.50",
    "“It  is”",
    "é  è à la  carte. ",
    "`a  b` ",
    "`",
    "\t",
    "",
    "",
    " ",
    "\r",
    "<x>",
    "</x>",
    "{",
    "}",
    "[ ] to do. ",
    "| a |",
    "> said  so ",
    "```",
    "    four  spaces ",
    "$$",
    "\\[",
    "'''",
];
const BLOCKS: &[&str] = &[
    "```\na  b \n\n\n\nc  \n```",
    "~~~\na  b \n\n\n\nc  \n~~~",
    "<q>\nWe go.  They stay.\n\n\n\nIt is  late.\n</q>",
    "{\n\"a\":  \"b  c \",\n\n\n\n\"d\": 1 \n}",
    "    if a:  \n\n\n\n        b  = 2 ",
    "| a  | b | \n| c  | d | ",
    "\"We go.  They \nstay.  \"",
    "$$\na  b \n\n\n\nc \n$$",
    "\"\"\"\nWe go.  They stay. \n\n\n\n\"\"\"",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::sample::select(SLIPS).prop_map(str::to_owned),
        1 => "[ a-c\t.\"'`<>{}\\[\\]|$\r“”é\u{a0}-]{0,12}",
    ]
}

fn prose() -> impl Strategy<Value = String> {
    proptest::sample::select(&SLIPS[..6]).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn only_white_space_goes_and_only_once(pieces in proptest::collection::vec(piece(), 0..24)) {
        let text = pieces.join("\n");
        let shorter = safe(&text);
        let visible = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(visible(&shorter), visible(&text));
        prop_assert_eq!(&safe(&shorter), &shorter, "{:?} is edited twice", text);
        let indents = |text: &str| {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| line.len() - line.trim_start_matches([' ', '\t']).len()).collect::<Vec<_>>()
        };
        prop_assert_eq!(indents(&shorter), indents(&text));
    }

    #[test]
    fn blocks_survive_any_neighbours(
        before in proptest::collection::vec(prose(), 0..8),
        block in proptest::sample::select(BLOCKS),
        after in proptest::collection::vec(piece(), 0..8),
    ) {
        let text = format!("{}\n\n{block}\n\n{}", before.join("\n"), after.join("\n"));
        prop_assert!(safe(&text).contains(block), "{:?}", text);
    }
}
