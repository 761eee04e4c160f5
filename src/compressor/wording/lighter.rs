//! What only the aggressive level does: contractions, intensifiers, `that` where it is optional.

use super::{
    entry::{Entry, Left, Rest, Right},
    words::NEEDED,
};
use crate::compressor::rule::Rule;

/// Words that a clause may follow, so that the pronoun behind them is its subject.
const CONNECTIVES: &str = "and but so if because when that since while until unless";
/// Where an intensifier belongs to an adjective or an adverb.
const BEFORE_ADJECTIVE: &str = "\
    is are was were been being and feel seem seems look looks sound sounds it's that's \
    they're you're i'm we're";
/// `it is to be done` and `it is that` stand as they are.
const FULL: &str = "\
    to that in on at not no what how why where so as it and or but than if because when too also \
    either neither now here there still again for with";

const fn contraction(from: &'static str, to: &'static str) -> Entry {
    Entry::new(Rule::Contractions, from, to)
        .left(Left::StartOr(CONNECTIVES))
        .right(Right::NotWord(FULL))
        .rest(Rest::Unstyled)
}

const fn intensifier(from: &'static str) -> Entry {
    Entry::new(Rule::Intensifiers, from, "")
        .right(Right::NotWord(NEEDED))
        .rest(Rest::Ungraded)
}

pub(super) const LIGHTER: &[Entry] = &[
    contraction("i~ am", "'m"),
    contraction("(you|we|they)~ are", "'re"),
    contraction("(i|you|we|they|it)~ will", "'ll"),
    contraction("(it|there|here|what)~ is", "'s"),
    contraction("(i|you|we|they)~ have", "'ve").right(Right::Word("been already")),
    intensifier("(very|extremely|incredibly)").left(Left::After(BEFORE_ADJECTIVE)),
    intensifier("a very").to("a").right(Right::Consonant),
    intensifier("an (extremely|incredibly)")
        .to("a")
        .right(Right::Consonant),
    Entry::new(
        Rule::OptionalThat,
        "(ensure|ensures|ensuring|assume|assuming) ~that",
        "",
    )
    .left(Left::Not("a an the by any some no other"))
    .right(Right::Word(
        "you it we they he she there your our its their the",
    ))
    .rest(Rest::OneThat),
];
