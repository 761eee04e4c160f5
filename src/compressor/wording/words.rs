//! The word lists that the rules look around with.

/// Verbs that a request begins with.
pub(super) const VERBS: &str = "\
    accept access adopt allow avoid bring call close connect copy delete deploy disable download enable \
    encourage implement import install invoke join keep learn load lock log manage measure migrate move open \
    paste preserve prevent protect push put recall record reduce reflect resize restore retrieve save scan \
    schedule see store tag tailor track trim upload view watch act adapt add adjust advise aggregate analyse analyze annotate answer apply arrange ask \
    assess assign assist assume augment be begin brainstorm break build calculate capture carry \
    categorise categorize change check choose cite clarify classify clean combine come compare \
    compile complete compose compress compute conduct consider construct consult continue \
    convert correct craft create critique debug decide deduce deduct define deliver demonstrate \
    describe design detect determine develop devise discuss display distil distill divide do \
    draft draw edit elaborate emphasise emphasize enhance ensure enumerate estimate evaluate \
    examine execute expand explain explore express extend extract fetch fill filter find finish \
    fix focus follow format formulate gather generate get give go group guess guide handle help \
    highlight identify illustrate implement improve include incorporate indicate infer inspect \
    interpret introduce invent investigate judge keep label let limit list listen locate look \
    maintain make map mark match mention merge minimise minimize modify monitor name obtain \
    optimise optimize order organise organize outline output paraphrase perform pick plan play \
    predict prepare present pretend print prioritise prioritize proceed process produce propose \
    provide quote rank rate read recommend reconstruct redesign refactor refer refine \
    reformulate reject remove rename reorganise reorganize repeat rephrase replace reply report \
    research resolve respond restate restructure return reverse review revise rewrite role-play \
    roleplay run search select send separate set share shorten show simplify simulate solve \
    sort specify speculate split start state stay stick study structure submit suggest sum \
    summarise summarize supply support switch take teach tell test think transcribe transform \
    translate try turn understand update use utilise utilize validate verify visualise \
    visualize walk work wrap write";

/// Adverbs that may stand between a frame and its verb.
pub(super) const ADVERBS: &str = "\
    also always briefly carefully clearly concisely first fully immediately only quickly simply \
    strictly then thoroughly";

/// Words that a noun phrase begins with.
pub(super) const DETERMINERS: &str = "\
    the a an your my our its their his her this that these those each every any all some";

/// Words that a clause begins with.
pub(super) const SUBJECTS: &str = "\
    the a an you your it its this these those there we our they their i my he his she her all \
    each every any some both no if when while since because although";

/// Verbs after `can`, `going to` and the like, besides those of requests.
pub(super) const MORE_VERBS: &str = "\
    access accept achieve afford allow assist avoid be become believe benefit bring browse buy \
    call cause click communicate connect contact contribute control cope copy deal demonstrate \
    detect distinguish download earn eat enable engage enjoy enter feel fit fly gain grow have \
    hear know log sign hold learn leave live load lose love manage meet move need offer open \
    operate own pass pay pull push put reach recall receive recognise recognize record reduce \
    relate remain remember save scale see sell serve speak spend stand stop store survive talk \
    track travel upload view visit win withstand";

/// After an intensifier: words that need it, and words that it does not belong to.
pub(super) const NEEDED: &str = "\
    much little few many well same first last best own of in on at to for by with as and or but \
    the a an that this it is are was not no high low good bad likely unlikely short long brief \
    small big forbidden prohibited required necessary essential crucial critical vital certain sure careful detailed concise strict specific precise clear formal important different \
    close near early late fast slow";

/// Words that are no verb behind `to`.
pub(super) const NO_VERB: &str = "\
    and or but with without in on at of for by from to into than as is are was were has had \
    will would can could should if when then so too also there here them us me him it you we \
    they i who which what where why how";

/// Words that end in `s` and are no plurals.
pub(super) const NOT_PLURAL: &str = "\
    is was has this its his hers does as us yes plus thus always perhaps sometimes besides \
    various previous serious";

/// A list that is asked about many words.
pub(super) struct Dictionary(Vec<&'static str>);

/// Whether the blank-separated `list` holds `word`, whatever its case.
pub(super) fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace()
        .any(|entry| entry.eq_ignore_ascii_case(word))
}

// === impl Dictionary ===

impl Dictionary {
    /// The words of a blank-separated list in small letters.
    pub(super) fn new(list: &'static str) -> Self {
        let mut words: Vec<_> = list.split_ascii_whitespace().collect();
        words.sort_unstable();
        Self(words)
    }

    /// Whether `word` is one of them, whatever its case.
    pub(super) fn has(&self, word: &str) -> bool {
        let lower = || word.bytes().map(|byte| byte.to_ascii_lowercase());
        self.0
            .binary_search_by(|entry| entry.bytes().cmp(lower()))
            .is_ok()
    }
}

/// Whether `word` looks like a plural noun.
pub(super) fn plural(word: &str) -> bool {
    word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"].iter().any(|end| word.ends_with(end))
        && !listed(NOT_PLURAL, word)
}
