//! Says which lines the rules stay away from as a whole.

use std::sync::LazyLock;

use super::words::{Dictionary, listed};

/// A line longer than this is no prose that a person wrote as one paragraph; in bytes.
const LONGEST: usize = 1_200;
/// How much of an English line common words are, at least; in percent.
const COMMON_SHARE: usize = 22;
/// A line with fewer words says too little about its language.
const FEWEST_WORDS: usize = 3;

/// The most frequent words of English instructions.
const COMMON: &str = "\
    the of to and is in you a that it for on are with as i this be your or if by from an can \
    will not have at do was what my which all should use each please any into one so how me we \
    has their they when there more who them but would only his he she her its were been about \
    than up out some other using these then no must make sure give need like want could just \
    also may";

/// What a sentence about wording or a quotation has in it.
const MENTIONING: &str = "\
    phrase phrases phrased phrasing wording worded wordy sentence sentences grammar grammatical \
    grammatically proofread proofreading synonym synonyms idiom idioms idiomatic spelling \
    misspelled verbatim lyrics lyric paraphrase paraphrased rephrase rephrased reword reworded \
    transcript translate translates translated translation preposition prepositions conjunction \
    conjunctions adverb adverbs verb verbs noun nouns adjective adjectives quote quotes quoted \
    quotation say says said saying saith replied whispered shouted titled entitled subtitle \
    slogan motto tagline sings sang chorus";

/// What a contract has in it, and nothing else.
const BINDING: &str = "\
    hereby herein hereto hereof hereunder hereinafter thereof therein thereto thereunder whereas pursuant \
    lessee lessor licensee licensor tenant landlord indemnify indemnification plaintiff defendant \
    notwithstanding covenant aforementioned shall liable liability license licence licensed licensor \
    copyright copyrighted clause clauses agreement warranty warranties";

/// What a line of an example or of a conversation starts with, before a colon.
const LABELS: &str = "\
    q a question answer user assistant human ai bot customer client agent input output example \
    text sentence review email message tweet title subject premise hypothesis response reply \
    query prompt context passage document summary system speaker interviewer interviewee \
    patient doctor student teacher me you original before after translation caption headline \
    comment post";

/// Words that are frequent in other languages and none in English.
const OTHERS: &str = "\
    der das dem den und ist nicht ein eine einen mit auf auch dass zu wie que el los las una \
    por para pero les des une est pour avec dans sont della che sono non di het een van niet \
    och att som det";

static COMMON_WORDS: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(COMMON));
static OTHER_WORDS: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(OTHERS));
static MENTIONING_WORDS: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(MENTIONING));
static BINDING_WORDS: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(BINDING));

/// Whether the rules may look at this line at all.
pub(super) fn admits(body: &str) -> bool {
    body.len() <= LONGEST
        && !set_apart(body)
        && !labelled(body)
        && english(body)
        && !words(body).any(|word| BINDING_WORDS.has(word))
}

/// Whether bold type may go from this line: prose, and no pattern of what an answer is to look like.
pub(super) fn admits_emphasis(body: &str) -> bool {
    body.len() <= LONGEST
        && !set_apart(body)
        && !body.contains(['{', '}', '[', ']', '<', '>', '|', '\\', '='])
        && english(body)
}

/// A heading, a quotation, a table's row, a comment of code, an element, a directive.
fn set_apart(body: &str) -> bool {
    let heading =
        |mark: &str| body.len() > mark.len() * 2 && body.starts_with(mark) && body.ends_with(mark);
    body.starts_with([
        '#', '>', '|', '<', '@', '%', ';', '{', '}', '=', ':', '$', '~',
    ]) || ["//", "/*", "--", "* @", "->", "\"\"\"", "'''", "Dear "]
        .iter()
        .any(|mark| body.starts_with(mark))
        || heading("**")
        || heading("__")
        || body.contains('\t')
}

fn labelled(body: &str) -> bool {
    let text = body.trim_start_matches(|c: char| !c.is_alphabetic());
    let Some(colon) = text.find(':').filter(|colon| *colon <= 40) else {
        return false;
    };
    let label = text[..colon].trim_end_matches(|c: char| !c.is_alphabetic());
    let mut words = label.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    // `Student A:` is one as well, `The user asks:` is not.
    words.count() <= 1 && listed(LABELS, first)
}

fn english(body: &str) -> bool {
    // Beyond the Latin letters of Western and Central Europe.
    if body.chars().any(|c| c > '\u{24f}' && c.is_alphabetic()) {
        return false;
    }
    let foreign = body
        .chars()
        .filter(|c| !c.is_ascii() && c.is_alphabetic())
        .count();
    let (mut all, mut common, mut others) = (0, 0, 0);
    for word in words(body) {
        all += 1;
        common += usize::from(COMMON_WORDS.has(word));
        others += usize::from(OTHER_WORDS.has(word));
    }
    all >= FEWEST_WORDS
        && others < 2
        && common * 100 >= all * COMMON_SHARE
        && foreign * 25 <= body.len().max(50)
}

/// Whether a sentence may be about the words in it.
pub(super) fn mentions(sentence: &str) -> bool {
    words(sentence).any(|word| MENTIONING_WORDS.has(word))
        || sentence.contains("the word")
        || sentence.contains("difference between")
        || sentence.contains("how many times")
        || sentence.contains("eplace ") && sentence.contains(" with ")
}

fn words(body: &str) -> impl Iterator<Item = &str> {
    body.split(|c: char| !(c.is_alphabetic() || c == '\''))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{admits, mentions};

    #[test]
    fn english_prose_is_admitted() {
        for line in [
            "Please write a story about a dog in order to amuse me.",
            "- Make sure that the output is valid",
            "**Note**: you should use the tools that you have",
            "Use a naïve approach in order to get it done",
        ] {
            assert!(admits(line), "{line}");
        }
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in [
            "# How to use it in order to win",
            "> In order to win, you have to run.",
            "**In order to win you have to run**",
            "// in order to win, it has to run",
            "Um zu gewinnen, in order to, muss man rennen und lachen",
            "Чтобы in order to the of to and",
            "User: can you write a story for me in order to win?",
            "The Tenant shall pay in order to stay.",
            "Bitte make sure dass der Test in order to da ist.",
            "Dear Sir, I would like to apply for this in order to grow.",
            "in order",
        ] {
            assert!(!admits(line), "{line}");
        }
        assert!(mentions("Is the phrase in order to the same as to?"));
        assert!(mentions(
            "What is the difference between in order to and so as to?"
        ));
        let long = "In order to win, you have to run. ".repeat(40);
        assert!(!admits(&long));
    }
}
