use super::*;

fn moved(text: &str, role: Role) -> String {
    match &propose(&Document::of(text, role), role)[..] {
        [] => text.to_owned(),
        [edit, ..] => edit.with.clone().into_owned(),
    }
}

const LETTER: &str = "    We met at the harbour, as we had said.\n    The boat was late by an hour.\n\n    \
                      Nobody minded, since there was coffee.\n";

#[test]
fn sentences_move_to_the_edge() {
    assert_eq!(
        moved(LETTER, Role::User),
        "We met at the harbour, as we had said.\nThe boat was late by an hour.\n\n\
         Nobody minded, since there was coffee.\n"
    );
}

#[test]
fn what_begins_at_a_place_stays_there() {
    for text in [
        // Columns that the language gives a meaning.
        "       PROGRAM-ID. TALLY.\n       DATA DIVISION.\n       PROCEDURE DIVISION.\n           STOP RUN.\n",
        "      PROGRAM TALLY\n      INTEGER COUNT\n      COUNT = COUNT + 1\n      END\n",
        // The column tells which of two files has the line.
        "\t\tthe oak by the old mill is still there\n\t\tthe elm is long gone by now\n\t\tthe ash stands next to it\n",
        // Names, and code.
        "    oak\n    elm\n    ash\n",
        "    let x = 1;\n    let y = 2;\n    return x;\n",
    ] {
        assert_eq!(moved(text, Role::User), text);
    }
    // What a tool shows may be a part of a file.
    assert_eq!(moved(LETTER, Role::Tool), LETTER);
}
