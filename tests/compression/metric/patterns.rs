//! The patterns that find what must survive. Those with look-around need `fancy_regex`.

use std::sync::LazyLock;

use fancy_regex::{Regex, RegexBuilder};

/// A pattern that is compiled when a text is first searched with it.
pub(crate) struct Pattern(LazyLock<Regex>);

macro_rules! pattern {
    ($($(#[$doc:meta])* $name:ident = $($part:literal)+;)+) => {
        $($(#[$doc])* pub(crate) static $name: Pattern =
            Pattern(LazyLock::new(|| compiled(concat!($($part),+))));)+
    };
}

pattern! {
    /// A terminal's control sequence.
    ANSI = r"\x1b\[[0-9;?]*[ -/]*[@-~]";
    INLINE = r"(?<!`)(`{1,2})(?!`)([^`\n]+)\1(?!`)";
    QUOTED = r#""([^"\n]{1,300})"|“([^”\n]{1,300})”|(?<![\w'])'([^'\n]{2,200})'(?!\w)"#;
    URL = r#"\b(?:https?|ftp|file|s3|ssh|git)://[^\s<>"')\]]+|\bwww\.[^\s<>"')\]]+"#
        r"|\b[\w.+-]+@[\w-]+\.[\w.-]*\w";
    PATH = r"(?<![\w/])(?:~|\.{1,2})?/(?:[\w.@+-]+/)*[\w.@+-]+|\b[A-Za-z]:\\[\w\\.-]+";
    TAG = r#"</?[A-Za-z][\w:.-]*(?:\s+[\w:.-]+(?:=(?:"[^"]*"|'[^']*'|[^\s<>]+))?)*\s*/?>"#;
    PLACEHOLDER = r"\{\{[^{}\n]{1,80}\}\}|\{%[^\n]*?%\}|\$\{[^{}\n]{1,60}\}"
        r"|(?<!\{)\{[A-Za-z_][\w.\[\]]{0,40}\}(?!\})|%\([a-z_]+\)[sd]|%[sd]\b"
        r"|\[\[[^\]\n]{1,40}\]\]|<[A-Z][A-Z_ ]{1,30}>|\[[A-Z][A-Z_ ]{2,30}\]";
    NUMBER = r"\d+(?:\.\d+)*";
    IDENTIFIER = r"\b(?:[A-Za-z]\w*_\w+|_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z0-9]+[A-Z]\w*"
        r"|\w*[A-Za-z]\d\w*|[A-Za-z]\w*(?:\.[A-Za-z]\w*)+(?:\(\))?)"
        r"|(?<!\w)--?[a-z][\w-]+|\b\w+\(\)";
    CAPITALS = r"\b[A-Z]{2,}\b";
    /// A capitalised word in the middle of a sentence: a name, as a rule.
    ENTITY = r"(?<=[a-z,;] )[A-Z][a-zA-Z]+\b";
    NEGATION = r"(?i)\b(?:not|no|never|none|nor|neither|without|cannot|nothing|nobody|nowhere"
        r"|unless|except|only|avoid|refuse|forbid\w*|prohibit\w*|exclud\w*)\b|n['’]t\b";
    CONSTRAINT = r"(?i)\b(?:must|shall|should|may|might|exactly|always|at least|at most|maximum"
        r"|minimum|all|every|each|any|if|until|before|after|or|because|but|however"
        r"|optional(?:ly)?|required)\b";
    /// Letters, marks and digits of other scripts, and accented ones.
    FOREIGN = r"[[\p{L}\p{M}\p{N}]&&[^\x00-\x7f]]+";
    CODE = r"^\s*(?:(?:def|class|import|from|return|if|elif|else|for|while|try|except|with|async"
        r"|public|private|static|const|let|var|function|fn|impl|struct|enum|use|package|@\w+"
        r"|#include|SELECT|INSERT|UPDATE|CREATE|\$ |>>> |\.\.\. )\b.*[:;{}()\[\]=]"
        r#"|.*[;{}]\s*$|\s*[\w.\[\]"']+\s*[+\-*/|&]?=\s*\S.*|[\w.]+\(.*\)[;,]?\s*$"#
        r"|\s*[}\])]+[;,]?\s*$|.*(?:=>|->|==|!=|&&|\|\||::).*)";
    LIST_ITEM = r"^\s*(?:[-•]|\d+[.)]) ";
    JSON_START = r#"^[\{\[]\s*["\{\[\d\-tfn\]\}]"#;
    /// How a line starts that may stand where a repeat was taken out.
    MARKER = r"(?m)^[ \t]*\[(?:repeats the (?:block|line)|line above repeated|\d+ (?:lines identical|similar lines))";
}

fn compiled(pattern: &str) -> Regex {
    // A damaged text must never pass because a search of it gave up.
    RegexBuilder::new(pattern)
        .backtrack_limit(usize::MAX)
        .build()
        .unwrap()
}

// === impl Pattern ===

impl Pattern {
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text).unwrap()
    }

    /// Every match, whole.
    pub(crate) fn find_all<'t>(&self, text: &'t str) -> Vec<&'t str> {
        self.0
            .find_iter(text)
            .map(|found| found.unwrap().as_str())
            .collect()
    }

    /// Where the matches lie.
    pub(crate) fn places(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        self.0
            .find_iter(text)
            .map(|found| found.unwrap().range())
            .collect()
    }

    pub(crate) fn replace_all(&self, text: &str, with: &str) -> String {
        self.0.replace_all(text, with).into_owned()
    }
}
