//! What only the aggressive level does: contractions, intensifiers, `that` where it is optional.

use super::{
    entry::{Entry, Left, Rest, Right},
    words::NEEDED,
};
use crate::compressor::rule::Rule;

/// Words that a clause may follow, so that the pronoun behind them is its subject.
const CONNECTIVES: &str = "\
    and but so if because when that since while until unless once before after though although whether";
/// Where an intensifier belongs to an adjective or an adverb.
const BEFORE_ADJECTIVE: &str = "\
    is are was were been being and feel seem seems look looks sound sounds it's that's \
    they're you're i'm we're";
/// `it is to be done` and `it is that` stand as they are.
const FULL: &str = "\
    to that not no what who whom whose which how why where so as it and or but than if because when \
    too also either neither now here there still again just only";

/// Behind these `that is` and `who is` may end a clause.
const ASKED: &str = "\
    what who whom whose where when how why which whatever whoever wherever is was are and or than as if \
    whether say says said it this think thinks thought know knows all";
/// The same, and what may follow a verb that stands at its clause's end.
const MOVED: &str = "\
    to that not no what who whom whose which how why where so as it and or but than if because when \
    too also either neither now here there still again just only in on at of for with by from into about under over between \
    before after you i we they he she this these those the a an all is are was";

const fn contraction(from: &'static str, to: &'static str) -> Entry {
    Entry::new(Rule::Contractions, from, to)
        .left(Left::StartOr(CONNECTIVES))
        .right(Right::Complement(FULL))
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
    contraction("(it|there|here|what|he|she|that)~ is", "'s"),
    contraction("(i|you|we|they)~ would", "'d").right(Right::Word("like love prefer need want")),
    contraction("(that|who)~ is", "'s")
        .left(Left::Not(ASKED))
        .right(Right::Complement(MOVED)),
    contraction("(i|you|we|they)~ have", "'ve").right(Right::Word("been already")),
    intensifier("(very|extremely|incredibly|really)").left(Left::After(BEFORE_ADJECTIVE)),
    intensifier("a (very|really)")
        .to("a")
        .right(Right::Consonant),
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
    Entry::new(
        Rule::OptionalThat,
        "(know|think|believe|hope|mean|feel|guess) ~that",
        "",
    )
    .left(Left::After(
        "i you we they to not don't didn't should must can may might if",
    ))
    .right(Right::Word("you we they he she i there"))
    .rest(Rest::OneThat),
];
