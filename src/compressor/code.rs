//! Tells by its first word whether a line is likely a statement, a query, a command or a log entry.

/// Words that begin a statement. In prose they stand in lower case only in the middle of a
/// sentence.
const STATEMENTS: [u128; 72] = keys([
    "abstract",
    "async",
    "await",
    "bool",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "def",
    "defer",
    "do",
    "double",
    "elif",
    "else",
    "enum",
    "except",
    "export",
    "extends",
    "extern",
    "final",
    "finally",
    "float",
    "fn",
    "for",
    "foreach",
    "from",
    "func",
    "function",
    "if",
    "impl",
    "import",
    "include",
    "int",
    "interface",
    "let",
    "local",
    "long",
    "match",
    "module",
    "namespace",
    "package",
    "private",
    "protected",
    "pub",
    "public",
    "raise",
    "require",
    "return",
    "static",
    "string",
    "struct",
    "switch",
    "template",
    "throw",
    "trait",
    "try",
    "type",
    "typedef",
    "union",
    "unless",
    "unsigned",
    "until",
    "use",
    "using",
    "val",
    "var",
    "void",
    "when",
    "while",
    "with",
    "yield",
]);
/// Words that are a line of code by themselves.
const LONE: [u128; 16] = keys([
    "begin", "break", "continue", "do", "done", "else", "end", "endif", "esac", "fi", "loop",
    "pass", "repeat", "return", "then", "try",
]);
const QUERIES: [u128; 30] = keys([
    "ALTER",
    "BEGIN",
    "CMD",
    "COMMIT",
    "COPY",
    "CREATE",
    "DELETE",
    "DROP",
    "ENTRYPOINT",
    "ENV",
    "EXPLAIN",
    "EXPOSE",
    "FROM",
    "GROUP",
    "HAVING",
    "INNER",
    "INSERT",
    "JOIN",
    "LEFT",
    "ORDER",
    "OUTER",
    "RIGHT",
    "RUN",
    "SELECT",
    "UNION",
    "UPDATE",
    "VALUES",
    "WHERE",
    "WITH",
    "WORKDIR",
]);
const COMMANDS: [u128; 52] = keys([
    "apt", "apt-get", "aws", "bash", "brew", "cargo", "cat", "cd", "chmod", "chown", "cmake", "cp",
    "curl", "docker", "echo", "exit", "export", "find", "gcc", "git", "go", "grep", "helm",
    "kubectl", "ls", "make", "mkdir", "mv", "node", "npm", "npx", "perl", "pip", "pip3", "pnpm",
    "ps", "python", "python3", "rm", "rsync", "ruby", "rustup", "scp", "sed", "sh", "source",
    "ssh", "sudo", "tar", "touch", "wget", "yarn",
]);
const LEVELS: [u128; 10] = keys([
    "CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTICE", "SEVERE", "TRACE", "WARN", "WARNING",
]);
const TRACES: [u128; 5] = keys(["Caused", "Exception", "Traceback", "goroutine", "panic"]);

/// Whether `line`, which has no indentation, is likely code, a query, a command, or part of a log
/// or stack trace.
pub(super) fn is_likely(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next() else {
        return false;
    };
    let more = words.take(3).count();
    let word = first.trim_end_matches([':', '(', ',']);
    if more == 0 && is_in(&LONE, word) || is_in(&QUERIES, first) {
        return true;
    }
    let bytes = line.as_bytes();
    let ends_as_code = || matches!(bytes.last(), Some(b':' | b',' | b')' | b']' | b'>'));
    let calls = || {
        bytes
            .windows(2)
            .any(|pair| pair[0].is_ascii_alphanumeric() && b"([".contains(&pair[1]))
    };
    if is_in(&STATEMENTS, word) {
        return more < 3 || ends_as_code() || calls() || memchr::memchr(b'=', bytes).is_some();
    }
    if is_in(&COMMANDS, first) {
        let names_file = || memchr::memchr3(b'/', b'.', b'"', &bytes[..bytes.len() - 1]).is_some();
        return more < 3 || line.contains(" -") || names_file();
    }
    is_in(&TRACES, word)
        || is_in(&LEVELS, word.trim_matches(['[', ']']))
        || first == "at" && calls()
}

/// Whether `line` is likely a shell command.
pub(super) fn is_command(line: &str) -> bool {
    is_in(&COMMANDS, first_word(line))
}

/// Whether `line` is likely part of a stack trace.
pub(super) fn is_trace(line: &str) -> bool {
    let word = first_word(line);
    is_in(&TRACES, word.trim_end_matches([':', '(', ',']))
        || word == "at"
        || line.starts_with("File \"")
}

/// Whether `line` begins with the level of a log entry.
pub(super) fn is_log(line: &str) -> bool {
    is_in(&LEVELS, first_word(line).trim_matches(['[', ']', ':']))
}

fn first_word(line: &str) -> &str {
    line.split_ascii_whitespace().next().unwrap_or_default()
}

/// Whether `word` is in `list`, which is sorted.
fn is_in(list: &[u128], word: &str) -> bool {
    (2..=16).contains(&word.len()) && list.binary_search(&key(word)).is_ok()
}

/// The word's bytes as one number, so that a look-up compares numbers: every line of a text pays
/// for several.
const fn key(word: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes
        .split_at_mut(word.len())
        .0
        .copy_from_slice(word.as_bytes());
    u128::from_be_bytes(bytes)
}

const fn keys<const N: usize>(words: [&str; N]) -> [u128; N] {
    let mut keys = [0; N];
    let mut at = 0;
    while at < N {
        keys[at] = key(words[at]);
        at += 1;
    }
    keys
}

/// Whether `line` begins with a date, a time, an address or another figure that lists and logs
/// begin with.
pub(super) fn begins_with_figures(line: &str) -> bool {
    let token = line
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default()
        .as_bytes();
    token.first().is_some_and(u8::is_ascii_digit)
        && token[..token.len() - 1]
            .iter()
            .any(|byte| !byte.is_ascii_digit())
        && token.iter().filter(|byte| byte.is_ascii_digit()).count() > 2
}

/// Whether `line` is `key: value` or `key:`, the key being one word.
pub(super) fn is_entry(line: &str) -> bool {
    let line = line.strip_prefix("- ").unwrap_or(line);
    let key = line
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(b))
        .count();
    key > 0
        && line.as_bytes().get(key) == Some(&b':')
        && matches!(line.as_bytes().get(key + 1), None | Some(b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        let lists: [&[u128]; 6] = [&STATEMENTS, &LONE, &QUERIES, &COMMANDS, &LEVELS, &TRACES];
        assert!(lists.iter().all(|list| list.is_sorted()));
    }

    #[test]
    fn tells_code_from_prose() {
        for code in [
            "import os",
            "def f(x):",
            "return x",
            "else:",
            "SELECT a FROM b",
            "git commit -m x",
            "cd src",
            "ERROR: disk full",
            "at java.lang.Thread.run(Thread.java:1)",
            "const x = 1",
            "Traceback (most recent call last):",
        ] {
            assert!(is_likely(code), "{code}");
        }
        for prose in [
            "Import the goods.",
            "for the sake of the argument it is so",
            "Let me know when you are done",
            "with a friend who lives in town.",
            "at last we met in the old town.",
            "The end",
        ] {
            assert!(!is_likely(prose), "{prose}");
        }
    }

    #[test]
    fn knows_figures_and_entries() {
        for line in ["2024-01-02 started", "12:30:01 ok", "10.0.0.1 up"] {
            assert!(begins_with_figures(line), "{line}");
        }
        for line in [
            "1. first",
            "2024 was good",
            "10) ten",
            "3 apples",
            "1st of May",
        ] {
            assert!(!begins_with_figures(line), "{line}");
        }
        assert!(
            is_entry("name: x") && is_entry("- a.b:") && !is_entry("a name: x") && !is_entry("a:b")
        );
    }
}
