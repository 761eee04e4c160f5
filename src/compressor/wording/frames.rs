//! What stands around a request or a statement and says nothing: frames, announcements, courtesy,
//! fillers.

use super::entry::{Entry, Left, Rest, Right};
use crate::compressor::rule::Rule;

/// `Yes, please.` is an answer.
const ANSWERS: &str = "yes yeah yep ok okay no sure";
/// `as you please` and `to please` are no courtesy.
const PLEASED: &str = "\
    i you he she we they it who to can could will would may not yes or and please write add \
    use type put with without word sorry spell skip omit magic";
/// Words that what follows a greeting begins with.
const OPENERS: &str = "\
    i i'm i've i'd i’m i’ve i’d we we're my our can could would will what what's how how's why \
    when where which who do does is are please please, here let this there the a";

const fn request(from: &'static str) -> Entry {
    Entry::new(Rule::Frames, from, "")
        .left(Left::Start)
        .right(Right::Verb)
        .rest(Rest::OneVerb)
}

const fn question(from: &'static str) -> Entry {
    request(from).rest(Rest::Request)
}

const fn announcement(from: &'static str) -> Entry {
    Entry::new(Rule::Announcements, from, "")
        .left(Left::Start)
        .right(Right::Statement)
        .rest(Rest::OneThat)
}

const fn aside(from: &'static str) -> Entry {
    Entry::new(Rule::Announcements, from, "")
        .left(Left::Start)
        .right(Right::Clause)
}

const fn courtesy(from: &'static str) -> Entry {
    Entry::new(Rule::Courtesy, from, "")
}

const fn filler(from: &'static str) -> Entry {
    Entry::new(Rule::Fillers, from, "")
}

pub(super) const FRAMES: &[Entry] = &[
    request("i(’d| would|'d)[ really] (like|love)[ for] you to").left(Left::Lead),
    request("i (want|need)[ for] you to").left(Left::Lead),
    request("i (would like|want|need) to ask you to"),
    request("what i (want|need) you to do is[ to]"),
    request(
        "your[ main| primary] (task|job|goal|objective|mission|role|purpose|responsibility) (is|will be) to",
    ).left(Left::StartOr("")),
    request("it(’s| is|'s) your (task|job|responsibility|role) to"),
    request("~you will~ act as").right(Right::Any),
    request("(be|make) sure to").left(Left::Lead),
    request("make sure[ that] you").right(Right::Verb),
    request("please (be|make) sure to"),
    request("and ~(be|make) sure to").left(Left::Any),
    request("remember to"),
    request("go ahead and"),
    question("[and ](could|would|will|can) you (please|kindly)"),
    question("~(could|can) you~ (give|tell|show|send|teach|write|draw|explain to|help) me")
        .right(Right::Any),
    question("please (could|would|will) you"),
];

pub(super) const ANNOUNCEMENTS: &[Entry] = &[
    announcement(
        "it(’s| is|'s)[ also][ very] (important|worth|crucial|essential|\
         vital|critical) to (note|mention|remember|understand|point out|emphasize|keep in mind) that",
    ),
    announcement("it(’s| is|'s)[ also] worth (noting|mentioning|pointing out|remembering) that"),
    announcement("[please ](note|be aware|keep in mind|bear in mind|be advised) that"),
    announcement("please[ also] (note|be aware|keep in mind|bear in mind|remember) that"),
    announcement("remember that"),
    announcement(
        "(also|however|finally|additionally|lastly),~[ please] (note|remember|keep in mind|be aware) that",
    ),
    announcement("i(’d| would|'d) like to (point out|mention|note|add) that"),
    aside(
        "as[ (i|we)[ have|’ve|'ve]][ already| previously] (mentioned|stated|noted|\
         discussed)[ above| earlier| previously],",
    ),
    aside("as you[ probably][ already] know,"),
    aside("needless to say,"),
    aside("for your information,"),
    aside("as a matter of fact,"),
    aside("to be honest,"),
    aside("the thing is(,| that)"),
];

pub(super) const COURTESY: &[Entry] = &[
    courtesy("(please|kindly)[,]")
        .left(Left::StartOr("and then also so but now"))
        .right(Right::AnyVerb)
        .rest(Rest::TwoWords),
    courtesy("please[ also| kindly]")
        .left(Left::StartOr("and then"))
        .right(Right::AnyVerb)
        .rest(Rest::TwoWords),
    courtesy(", please")
        .left(Left::Not(ANSWERS))
        .right(Right::End),
    courtesy(" please")
        .left(Left::Not(PLEASED))
        .right(Right::End),
    courtesy(
        "(hi|hello|hey|greetings|good (morning|afternoon|evening|\
         day))[ there| again| assistant| ai](,|!|.)",
    )
    .left(Left::Opening)
    .right(Right::Word(OPENERS)),
    courtesy(
        "(hi|hello|hey|greetings|good (morning|afternoon|evening|\
         day))[ there| again| assistant| ai][,|!|.]",
    )
    .left(Left::Opening)
    .right(Right::End),
    courtesy(
        "(thanks|thank you)[ so much| very much| a lot][ for your (help|time|\
         assistance|support|patience)][ in advance]",
    )
    .left(Left::Closing)
    .right(Right::End),
    courtesy(
        "(thanks|thank you)[ so much| very much| a lot] in advance[ for your \
         (help|time|assistance|support)]",
    )
    .left(Left::Closing)
    .right(Right::End),
    courtesy("looking forward to your (answer|reply|response)")
        .left(Left::Closing)
        .right(Right::End),
    courtesy("i hope (you(’|')re|you are)[ doing] well")
        .left(Left::Opening)
        .right(Right::End),
    courtesy("many thanks[ in advance]")
        .left(Left::Closing)
        .right(Right::End),
    courtesy("i[ really] appreciate your (help|time|assistance|support)")
        .left(Left::Closing)
        .right(Right::End),
];

pub(super) const FILLERS: &[Entry] = &[
    filler(
        "(basically|honestly|frankly|obviously|essentially|simply put|in fact|\
         additionally|furthermore|moreover|in addition),",
    )
    .left(Left::Start)
    .right(Right::NotWord("and but or so then not if")),
    filler(", (basically|honestly|obviously|of course|frankly|in fact),")
        .left(Left::Apart)
        .right(Right::NotWord("basically honestly obviously frankly in of")),
];
