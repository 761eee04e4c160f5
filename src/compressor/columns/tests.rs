use super::*;

/// The text after all that the rule proposes.
fn folded(text: &str, role: Role) -> String {
    let document = Document::of(text, role);
    let mut out = String::new();
    let mut from = 0;
    for edit in propose(&document, [Rule::ColumnPadding].into_iter().collect(), role) {
        out.push_str(&text[from..edit.at.start]);
        from = edit.at.end;
    }
    out.push_str(&text[from..]);
    out
}

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .collect()
}

const PODS: &str = "\
NAME            READY   STATUS    RESTARTS   AGE
web-7f9c        1/1     Running   0          5d
worker-58       0/1     Pending   12         3h
db-0            1/1     Running   1          41d
";

#[test]
fn columns_of_a_command_lose_their_padding() {
    for role in [Role::Tool, Role::User] {
        let short = folded(PODS, role);
        assert_eq!(
            short,
            "NAME READY STATUS RESTARTS AGE\nweb-7f9c 1/1 Running 0 5d\n\
             worker-58 0/1 Pending 12 3h\ndb-0 1/1 Running 1 41d\n"
        );
        assert_eq!(words(&short), words(PODS));
        assert_eq!(folded(&short, role), short);
    }
}

#[test]
fn columns_may_end_below_each_other() {
    let text = "  PID TTY      CMD\n    1 pts/0    bash\n 2208 pts/0    sleep\n";
    assert_eq!(
        folded(text, Role::Tool),
        "PID TTY CMD\n1 pts/0 bash\n2208 pts/0 sleep\n"
    );
}

#[test]
fn the_meter_of_curl_is_known() {
    let text = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n\
                \u{20}                                Dload  Upload   Total   Spent    Left  Speed\n\
                100   441    0   441    0     0   9001      0 --:--:-- --:--:-- --:--:--  9187\nok  then\n";
    let short = folded(text, Role::Tool);
    assert!(short.starts_with(
        "% Total % Received % Xferd Average Speed Time Time Time Current\nDload Upload "
    ));
    assert!(
        short.ends_with("\n100 441 0 441 0 0 9001 0 --:--:-- --:--:-- --:--:-- 9187\nok  then\n")
    );
}

#[test]
fn what_may_be_something_else_keeps_its_blanks() {
    for text in [
        // An empty cell.
        "NAME     READY   STATUS\nweb      1/1     up\nworker           down\n",
        "NAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\nworker           down\n",
        // A cell that holds a blank.
        "NAME     AGE     STATUS\nweb      2 days  up\ndb       9 days  up\n",
        // Columns that do not stand below each other.
        "NAME     READY   STATUS\nweb  1/1     up\nworker    2/2   down\n",
        // Too few columns or rows.
        "NAME       AGE\nweb        5\nworker     7\ndb         9\n",
        "NAME     READY   STATUS\nweb      1/1     up\n",
        // Code, settings, fences.
        "MOV      EAX,    EBX\nADD      EAX,    ECX\nSUB      EAX,    EDX\n",
        "TYPE     NAME    VALUE\nint      a       = 1;\nint      b       = 2;\n",
        "```\nNAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n```\n",
        "Fields of 9, 8 and 6 bytes:\nNAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n",
        "NAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n\nThe status is at offset 17.\n",
        "NAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n\nPositions 1 to 9 hold the name.\n",
        "All fields have a fixed size.\n\nNAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n",
        "Align the columns:\nNAME     READY   STATUS\nweb      1/1     up\ndb       1/1     up\n",
    ] {
        assert_eq!(folded(text, Role::Tool), text);
        assert_eq!(folded(text, Role::User), text);
    }
    assert_eq!(folded(PODS, Role::System), PODS);
    assert_eq!(folded(PODS, Role::Assistant), PODS);
}

/// Only the number of blanks differs, whatever the text.
#[test]
fn words_and_lines_stay() {
    for cell in ["a", "1", "", "B", "a b", "%"] {
        for gap in [1, 2, 5] {
            let row = [cell; 4].join(&" ".repeat(gap));
            let text = format!("{PODS}{row}\n\n{row}\nA   B   C\n{row}\n{row}\n");
            assert_eq!(words(&folded(&text, Role::Tool)), words(&text));
        }
    }
}

/// Each line could be the header of all below it, were it not for the last.
#[test]
fn no_line_is_read_for_every_header() {
    let text = format!("{}AAAA   B  C\n", "A   B   C\n".repeat(200_000));
    assert_eq!(folded(&text, Role::Tool), text);
}
