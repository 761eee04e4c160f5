//! Wordy phrases and their plain forms.
//!
//! A phrase is listed when its plain form is right wherever the entry's context holds. Left out for good:
//! `with respect to` (derivatives), `in terms of`, `in (such) a way that`, `as soon as possible`, `a
//! total of`, `in the process of`, `is going to`, `such as to`, `in connection with`, and whatever would
//! bring in or drop `not`, `without`, `except`, `or`, `exact`, `always`. Amounts (`a large number of`) are left
//! out as well: the verb behind them may be singular. So are `with regards to`, `as well as`, `by the majority
//! of` and all else that has a second reading.

use super::{
    entry::{Entry, Left, Rest, Right},
    words::{DETERMINERS, SUBJECTS},
};
use crate::compressor::rule::Rule;

/// Before a noun these make `prior`, `outside` and `end` something else.
const NOUN_BEFORE: &str = "\
    a an the this that each our your its my their his her no any some on from strong weak flat \
    uniform normal informative uninformative conjugate beta gamma and or not good bad";
/// Behind these a find is coordinated, negated or the complement of a verb.
const JOINED: &str = "\
    is are was were be been being am and or nor but than not only even just mainly mostly partly \
    simply merely";
/// What may follow an adverb of manner.
const AFTER_MANNER: &str = "to for with when while by in using so";
/// Words behind which `in order to` is no purpose, or its `to` alone would hang on them.
const NO_PURPOSE: &str = "\
    not only just merely simply exactly even working alphabetical numerical is are was were be \
    been being am have has had having try tries tried trying need needs needed want wants wanted \
    start started begin began continue continued forget forgot remember remembered used use uses \
    agree agreed decide decided stop stopped like liked love refuse ask asked allow allowed due \
    able ready about going";
/// What begins a clause and does not make `make sure` a question.
const CERTAIN: &str = "\
    the a an you your it its this these those there we our they their i my he his she her all \
    each every any some both no";

const fn phrase(from: &'static str, to: &'static str) -> Entry {
    Entry::new(Rule::Phrases, from, to)
}

/// What asks for a noun where a verb says it, if nothing is coordinated with the noun.
const fn verb(from: &'static str, to: &'static str) -> Entry {
    phrase(from, to)
        .right(Right::Word(DETERMINERS))
        .rest(Rest::Sole)
}

/// `in a … manner`.
const fn manner(from: &'static str, to: &'static str) -> Entry {
    phrase(from, to)
        .left(Left::Not(JOINED))
        .right(Right::EndOr(AFTER_MANNER))
        .rest(Rest::Lone)
}

pub(super) const PHRASES: &[Entry] = &[
    // Purpose.
    phrase("in order to", "to")
        .left(Left::Unordered(NO_PURPOSE))
        .right(Right::Lower),
    phrase("for the purpose[s] of", "for")
        .left(Left::Not(JOINED))
        .right(Right::Gerund)
        .rest(Rest::Lone),
    // Cause and condition.
    phrase("(due|owing) to the fact that", "because")
        .left(Left::Not("and or nor but than not even"))
        .rest(Rest::OneClause),
    phrase("(because|on account) of the fact that", "because")
        .left(Left::Not("and or nor but than not even"))
        .rest(Rest::OneClause),
    phrase("in (light|view) of the fact that", "since")
        .left(Left::Start)
        .rest(Rest::OneClause),
    phrase("given the fact that", "given that")
        .left(Left::Start)
        .rest(Rest::OneClause),
    phrase("(despite|in spite of) the fact that", "although")
        .left(Left::Not(JOINED))
        .rest(Rest::OneClause),
    phrase("as a (result|consequence) of", "because of")
        .left(Left::Start)
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneClause),
    phrase("in the event that", "if")
        .right(Right::Word(SUBJECTS))
        .rest(Rest::OneClause),
    phrase(
        "in (cases|situations|instances|circumstances) (where|in which)",
        "when",
    )
    .left(Left::Start)
    .rest(Rest::OneClause),
    // Time.
    phrase("at (this point|this moment) in time", "now"),
    phrase("during the course of", "during")
        .right(Right::Word(DETERMINERS))
        .rest(Rest::Lone),
    phrase("until such time as", "until")
        .right(Right::Word(SUBJECTS))
        .rest(Rest::OneClause),
    phrase("prior to", "before")
        .left(Left::Not(NOUN_BEFORE))
        .right(Right::Gerund)
        .rest(Rest::Lone),
    manner("on a daily basis", "daily"),
    manner("on a weekly basis", "weekly"),
    manner("on a monthly basis", "monthly"),
    manner("on (a yearly|an annual) basis", "yearly"),
    manner("on a regular basis", "regularly"),
    // Relation.
    phrase("on the basis of", "based on")
        .left(Left::Start)
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneClause),
    phrase("by means of", "using")
        .left(Left::Not(JOINED))
        .right(Right::Word(DETERMINERS))
        .rest(Rest::Lone),
    phrase("in excess of", "over")
        .left(Left::Not(JOINED))
        .right(Right::Number)
        .rest(Rest::Lone),
    phrase("the (manner|way) in which", "how")
        .left(Left::After("describe explain"))
        .right(Right::Word(SUBJECTS))
        .rest(Rest::Sole),
    phrase("the reason why", "the reason")
        .right(Right::Word(SUBJECTS))
        .rest(Rest::Lone),
    phrase("outside of the", "outside the")
        .left(Left::Not(NOUN_BEFORE))
        .rest(Rest::Lone),
    phrase("inside of the", "inside the")
        .left(Left::Not(NOUN_BEFORE))
        .rest(Rest::Lone),
    phrase(
        "(all|both)~ of~ (the|your|its|our|my|their|these|those)",
        "",
    )
    .right(Right::Plural)
    .rest(Rest::Lone),
    // Ability.
    phrase("(is|are|am) able to", "can")
        .right(Right::AnyVerb)
        .rest(Rest::Lone),
    phrase("(you|we|they)~(’|')re able to", " can")
        .right(Right::AnyVerb)
        .rest(Rest::Lone),
    phrase("i~(’|')m able to", " can")
        .right(Right::AnyVerb)
        .rest(Rest::Lone),
    phrase("(i|you|we|they) ~would like to", "want to")
        .left(Left::Not("would what"))
        .right(Right::AnyVerb),
    // Verbs that hide in nouns.
    phrase("make sure that", "ensure that").right(Right::Clause),
    phrase("make sure", "ensure").right(Right::Word(CERTAIN)),
    phrase("makes sure", "ensures").right(Right::Word(CERTAIN)),
    phrase("making sure", "ensuring").right(Right::Word(CERTAIN)),
    verb("make use of", "use"),
    verb("making use of", "using"),
    verb("take into (account|consideration)", "consider"),
    verb("taking into (account|consideration)", "considering"),
    verb("give consideration to", "consider"),
    phrase("make an attempt to", "try to")
        .right(Right::AnyVerb)
        .rest(Rest::Sole),
    verb("(provide|give) a description of", "describe"),
    verb(
        "(provide|give|write) a (brief|short|concise) description of",
        "briefly describe",
    ),
    verb("(provide|give) an explanation of", "explain"),
    verb(
        "(provide|give|write) a (brief|short|concise) explanation of",
        "briefly explain",
    ),
    verb("(provide|give|write) a summary of", "summarize"),
    verb(
        "(provide|give|write) a (brief|short|concise) summary of",
        "briefly summarize",
    ),
    verb("(perform|conduct|carry out) an analysis of", "analyze"),
    verb("(perform|conduct|carry out) an evaluation of", "evaluate"),
    verb("(perform|conduct|carry out) a review of", "review"),
    verb("conduct an investigation (of|into)", "investigate"),
    phrase("(provide|give) me [with ]a list of", "list")
        .left(Left::Start)
        .rest(Rest::Sole),
    verb("is dependent (on|upon)", "depends on").left(Left::Not("it what which that")),
    verb("are dependent (on|upon)", "depend on").left(Left::Not("they what which that")),
    // Manner.
    manner(
        "in a clear and concise (manner|way)",
        "clearly and concisely",
    ),
    manner("in a clear (manner|way)", "clearly"),
    manner("in a concise (manner|way)", "concisely"),
    manner("in a professional (manner|way)", "professionally"),
    manner("in a consistent (manner|way)", "consistently"),
    manner("in an effective (manner|way)", "effectively"),
    manner("in an efficient (manner|way)", "efficiently"),
    manner("in a similar (manner|way)", "similarly"),
    manner("in a systematic (manner|way)", "systematically"),
    manner("in a respectful (manner|way)", "respectfully"),
    manner("in a polite (manner|way)", "politely"),
    manner("in a responsible (manner|way)", "responsibly"),
    manner("in a logical (manner|way)", "logically"),
    manner("in a coherent (manner|way)", "coherently"),
    manner("in a detailed (manner|way)", "in detail"),
];
