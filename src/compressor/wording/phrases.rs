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
    to of from not only just merely simply exactly even working alphabetical numerical is are was were be \
    been being am have has had having try tries tried trying need needs needed want wants wanted \
    start started begin began continue continued forget forgot remember remembered used use uses \
    agree agreed decide decided stop stopped like liked love refuse ask asked allow allowed due \
    able ready about going";
/// Words that a thing given does not begin with.
const NO_GIFT: &str = "\
    is are was were be will would can could may might must should has have had do does did and or but \
    nor in on at to from for by with without as than that which who if when where because so not it them \
    this";
/// Words that an object begins with.
const OBJECTS: &str = "\
    the a an your my our its their his her this that these those each every any all some both them \
    it";
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

/// The same where nothing that may follow hangs on the noun.
const fn object(from: &'static str, to: &'static str) -> Entry {
    phrase(from, to)
        .right(Right::Word(OBJECTS))
        .rest(Rest::OneOf)
}

/// `provide … with`.
const fn gift(from: &'static str, to: &'static str) -> Entry {
    phrase(from, to)
        .right(Right::NotWord(NO_GIFT))
        .rest(Rest::OneWith)
}

/// `in a … manner`.
const fn manner(from: &'static str, to: &'static str) -> Entry {
    phrase(from, to)
        .left(Left::Action(JOINED))
        .right(Right::EndOr(AFTER_MANNER))
        .rest(Rest::Lone)
}

pub(super) const PHRASES: &[Entry] = &[
    // Purpose.
    phrase("in order to", "to")
        .left(Left::Unordered(NO_PURPOSE))
        .right(Right::Lower),
    phrase("so as to", "to")
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
    phrase("at (this point|this moment) in time", "now").rest(Rest::OneClause),
    phrase("during the course of", "during")
        .left(Left::Not(JOINED))
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneOf),
    phrase("for the duration of", "throughout")
        .left(Left::Not(JOINED))
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneOf),
    manner("at a later (time|date|point)", "later"),
    manner("at an earlier (time|date|point)", "earlier"),
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
    manner("on a quarterly basis", "quarterly"),
    manner("on an hourly basis", "hourly"),
    manner("on an ongoing basis", "continually"),
    manner("on a frequent basis", "frequently"),
    manner("on a regular basis", "regularly"),
    // Relation.
    phrase("on the basis of", "based on")
        .left(Left::Start)
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneClause),
    phrase("in spite of", "despite").right(Right::NotWord("")),
    phrase("in close proximity to", "near")
        .left(Left::Not(JOINED))
        .right(Right::Word(DETERMINERS))
        .rest(Rest::OneVerb),
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
        .rest(Rest::OneAble),
    phrase("(you|we|they)~(’|')re able to", " can")
        .right(Right::AnyVerb)
        .rest(Rest::OneAble),
    phrase("i~(’|')m able to", " can")
        .right(Right::AnyVerb)
        .rest(Rest::OneAble),
    // Giving.
    gift("provide you with", "give you"),
    gift("provide me with", "give me"),
    gift("provide us with", "give us"),
    gift("provide them with", "give them"),
    gift("provide the user with", "give the user"),
    gift("provides you with", "gives you"),
    gift("provides me with", "gives me"),
    gift("providing you with", "giving you"),
    gift("providing me with", "giving me"),
    phrase("i (want|need|would like) you to", "you will")
        .left(Left::After("and"))
        .right(Right::AnyVerb)
        .rest(Rest::Promised),
    phrase(
        "it will be your (job|task|responsibility|role) to",
        "you will",
    )
    .left(Left::After("and"))
    .right(Right::AnyVerb)
    .rest(Rest::OneVerb),
    phrase(
        "your (job|task|responsibility|role) (is|will be) to",
        "you will",
    )
    .left(Left::After("and"))
    .right(Right::AnyVerb)
    .rest(Rest::OneVerb),
    // Verbs that hide in nouns.
    phrase("make sure that", "ensure that").right(Right::Any),
    phrase("makes sure that", "ensures that").right(Right::Any),
    phrase("making sure that", "ensuring that").right(Right::Any),
    phrase("make sure", "ensure").right(Right::Plural),
    phrase("make sure", "ensure").right(Right::Word(CERTAIN)),
    phrase("makes sure", "ensures").right(Right::Word(CERTAIN)),
    phrase("making sure", "ensuring").right(Right::Word(CERTAIN)),
    object("(take|have) a look at", "look at"),
    object("taking a look at", "looking at"),
    object("make use of", "use"),
    object("making use of", "using"),
    object("take into (account|consideration)", "consider"),
    object("taking into (account|consideration)", "considering"),
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
        "in a clear and concise (manner|way|fashion)",
        "clearly and concisely",
    ),
    manner("in a clear (manner|way|fashion)", "clearly"),
    manner("in a concise (manner|way|fashion)", "concisely"),
    manner("in a professional (manner|way|fashion)", "professionally"),
    manner("in a consistent (manner|way|fashion)", "consistently"),
    manner("in an effective (manner|way|fashion)", "effectively"),
    manner("in an efficient (manner|way|fashion)", "efficiently"),
    manner("in a similar (manner|way|fashion)", "similarly"),
    manner("in a systematic (manner|way|fashion)", "systematically"),
    manner("in a respectful (manner|way|fashion)", "respectfully"),
    manner("in a polite (manner|way|fashion)", "politely"),
    manner("in a responsible (manner|way|fashion)", "responsibly"),
    manner("in a logical (manner|way|fashion)", "logically"),
    manner("in a coherent (manner|way|fashion)", "coherently"),
    manner("in a detailed (manner|way|fashion)", "in detail"),
    manner("in a timely (manner|fashion)", "promptly"),
    manner("in a safe (manner|way|fashion)", "safely"),
    manner("in a secure (manner|way|fashion)", "securely"),
    manner("in a thorough (manner|way|fashion)", "thoroughly"),
    manner("in an accurate (manner|way|fashion)", "accurately"),
    manner("in an appropriate (manner|way|fashion)", "appropriately"),
    manner("in a constructive (manner|way|fashion)", "constructively"),
    manner("in a creative (manner|way|fashion)", "creatively"),
    manner("in a sequential (manner|way|fashion)", "sequentially"),
    manner("in a transparent (manner|way|fashion)", "transparently"),
    manner("in an honest (manner|way|fashion)", "honestly"),
];
