//! Says whether the rest of a sentence goes with a change at its start.

use std::ops::Range;

use super::{entry::Rest, line::Line, words::listed};

/// What hides a second thing that the same words govern.
const SECOND_VERB: [&str; 28] = [
    " and my ",
    " but my ",
    " and I would like ",
    " and I want ",
    " and I need ",
    " and I'd ",
    " and to ",
    " or to ",
    " then to ",
    ", to ",
    "; to ",
    " but to ",
    " not to ",
    " and your ",
    " and you ",
    " and you'",
    " but you ",
    " while your ",
    " as well as to ",
    " and that ",
    " mine ",
    " his ",
    " hers ",
    " ours ",
    " theirs ",
    " yours ",
    " is to ",
    " are to ",
];
/// What a lead-in before a main clause begins with.
const LEADS: &str = "\
    if when whenever once after before from now in next then first finally lastly today instead unless \
    while whenever until throughout during afterwards for at on";
/// What hangs on an `able` that goes.
const ABLE: [&str; 14] = [
    " able ",
    " willing ",
    " ready ",
    " allowed ",
    " free ",
    " unable ",
    " likely ",
    " and to ",
    " or to ",
    ", to ",
    " but ",
    " than ",
    " nor ",
    " not ",
];
/// What joins a second thing to the first.
const COORDINATED: [&str; 13] = [
    " and ",
    " or ",
    " nor ",
    " but ",
    " as well as ",
    " along with ",
    " followed by ",
    " rather than ",
    " not ",
    " also ",
    " plus ",
    " then ",
    " & ",
];
/// What may refer back to a noun that goes.
const REFERENCES: &str = "\
    it its it's it’s they their theirs them this that these those one ones both each such same \
    former latter here above which who whose whom that's that’s which's which’s who's who’s \
    who're who’re";
/// Words of a line that is about how something is written or how strongly it is meant.
const MANNERS: &str = "\
    when whenever only until unless if while where should must score scale how what who which \
    whether whose";
/// Words of a line that is about style.
const STYLES: &str = "\
    contraction contractions contracted formal formally informal informally formality tone \
    register style voice academic professional abbreviate abbreviations";
/// A question about what is wanted rather than a request.
const ALTERNATIVES: [&str; 19] = [
    " can you ",
    " could you ",
    " would you ",
    " will you ",
    " do you ",
    " or is ",
    " or are ",
    " or do ",
    " or does ",
    " or should ",
    " or would ",
    " or can ",
    " or could ",
    " or will ",
    " or not",
    " or am ",
    " or was ",
    ", or ",
    " by any chance",
];
/// Adjectives of a scale are no ornaments.
const SCALES: &str = "\
    rate rating ratings scale scored score scores level levels likert degree grade graded tier";

/// Whether the rest of the sentence is as `rest` wants it.
pub(super) fn allows(
    rest: Rest,
    line: &Line<'_>,
    found: &Range<usize>,
    part: &Range<usize>,
) -> bool {
    let sentence = || line.rest_of_sentence(found.end);
    let lacks = |text: &str, list: &[&str]| !list.iter().any(|word| text.contains(word));
    match rest {
        Rest::Any => true,
        Rest::Lone => sentence().is_some_and(|(text, _)| is_lone(text) && !text.contains(',')),
        Rest::OneClause => sentence().is_some_and(|(text, _)| {
            is_lone(text)
                && text.matches(',').nth(1).is_none()
                && lacks(text, &[" that ", " the fact "])
        }),
        Rest::Sole => {
            sentence().is_some_and(|(text, _)| {
                is_lone(text) && !text.contains(',') && lacks(text, &[" with "])
            }) && !refers_back(line, found)
        }
        Rest::OneVerb => sentence().is_some_and(|(text, end)| {
            let asked = end.is_some_and(|end| line.body.as_bytes()[end] == b'?');
            let vain = [" be able", " be sure"]
                .iter()
                .any(|start| text.starts_with(start));
            !asked && !vain && lacks(text, &SECOND_VERB)
        }),
        Rest::Request => sentence().is_some_and(|(text, end)| {
            let doubled = end.is_some_and(|end| {
                line.body[end + 1..].starts_with(['?', '!', '.']) || line.protects(&(end..end + 1))
            });
            !doubled && lacks(text, &SECOND_VERB) && lacks(text, &ALTERNATIVES)
        }),
        Rest::OneThat => sentence().is_some_and(|(text, _)| {
            lacks(
                text,
                &[
                    " and that ",
                    " or that ",
                    ", that ",
                    " but that ",
                    " nor that ",
                ],
            )
        }),
        Rest::OneAble => sentence().is_some_and(|(text, _)| lacks(text, &ABLE)),
        Rest::Promised => {
            let from = line.sentence_before(found.start);
            let before = &line.body[from..found.start];
            line.sentence_starts(from)
                && ["I will ", "I'll ", "I’ll ", "I am going to "]
                    .iter()
                    .any(|promise| before.starts_with(promise))
                && allows(Rest::OneVerb, line, found, part)
        }
        Rest::OneOf => sentence().is_some_and(|(text, _)| {
            lacks(
                text,
                &[
                    " and of ",
                    " or of ",
                    ", of ",
                    " sense of ",
                    " fun of ",
                    " note of ",
                ],
            )
        }),
        Rest::OneWith => sentence().is_some_and(|(text, _)| {
            lacks(
                text,
                &[
                    " and with ",
                    " or with ",
                    ", with ",
                    " and me ",
                    " and you ",
                ],
            )
        }),
        Rest::TwoWords => sentence().is_some_and(|(text, _)| {
            text.split_ascii_whitespace().nth(1).is_some()
                && !text.trim_start().starts_with("find attached")
        }),
        Rest::Ungraded => !mentions(line, MANNERS) && ungraded(line, found, part),
        Rest::Unstyled => !mentions(line, STYLES),
    }
}

/// Whether only a lead-in and its comma stand before `at` in its sentence.
pub(super) fn leads(line: &Line<'_>, at: usize) -> bool {
    let Some(before) = line.body[..at].strip_suffix(", ") else {
        return false;
    };
    let from = line.sentence_before(at);
    let Some(before) = before.get(from..) else {
        return false;
    };
    let first = before.split(' ').next().unwrap_or_default();
    line.sentence_starts(from)
        && listed(LEADS, first)
        && !before.contains([',', ':', ';', '(', '"'])
}

/// Whether nothing is coordinated in the rest of a sentence.
fn is_lone(text: &str) -> bool {
    let text = format!("{text} ");
    !COORDINATED.iter().any(|word| text.contains(word))
}

/// Whether the line has one of the words.
fn mentions(line: &Line<'_>, list: &str) -> bool {
    line.body
        .split(|c: char| !c.is_alphabetic())
        .any(|word| listed(list, word))
}

/// Whether something behind the find may stand for its noun, or names it again.
fn refers_back(line: &Line<'_>, found: &Range<usize>) -> bool {
    let letters = |c: char| !c.is_alphabetic() && c != '\'' && c != '’';
    let noun = |word: &str| {
        word.len() > 4
            && line.body[found.clone()]
                .split(letters)
                .any(|other| other.eq_ignore_ascii_case(word))
    };
    let (rest, below) = line.behind(found.end);
    [rest, below]
        .iter()
        .flat_map(|text| text.split(letters))
        .filter(|word| !word.is_empty())
        .any(|word| listed(REFERENCES, word) || noun(word))
}

/// Whether the adjective behind an intensifier names no step of a scale.
fn ungraded(line: &Line<'_>, found: &Range<usize>, part: &Range<usize>) -> bool {
    let Some((word, end)) = line.word_after(found.end) else {
        return false;
    };
    let others = [&line.body[..part.start], &line.body[end..]];
    let words = || {
        others
            .iter()
            .flat_map(|text| text.split(|c: char| !c.is_alphabetic() && c != '\''))
    };
    let denies = |word: &str| {
        listed(
            "not never no neither nor without cannot if how too so as than",
            word,
        ) || word.ends_with("n't")
    };
    let before = line.body[..part.start]
        .rsplit([' ', ','])
        .filter(|word| !word.is_empty())
        .take(4);
    // `very sad and very long` are weighed against each other.
    let again = |other: &str| {
        listed(
            "very extremely incredibly really less more most least",
            other,
        ) || other.eq_ignore_ascii_case(word)
            || listed(SCALES, other)
    };
    !words().any(again) && !before.into_iter().any(denies) && !word.contains('-')
}
