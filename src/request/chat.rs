//! A chat completion, and what is worked out of it at most once: the text that goes upstream, and its identities.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::aside::{LONG, aside};
use super::{Marking, Parts, Shape, Stage, Timings};
use crate::compressor::{Memo, Plan, Recall, Saving};
use crate::fingerprint::{self, Fingerprint, Own};
use crate::json::{Json, Node};
use crate::metering::account::{self, Account};
use crate::telemetry::Trace;
use crate::tuning::learn::{Learning, Note, Outcome, Over, Treatment};
use crate::tuning::limits::Given;

/// A validated chat-completion request.
pub struct Chat {
    pub(super) original: Json,
    pub(super) model: Arc<str>,
    /// Whom the client attributes it to.
    user: Option<Arc<str>>,
    shape: Shape,
    /// Fields that the proxy put in, which are not part of the request's identity.
    injected: &'static [&'static str],
    /// The limit of tokens, where the proxy put it in.
    limit: Option<Given>,
    pub(super) edit: OnceLock<Edit>,
    /// What it came to, for whoever learns: told when it is over, once.
    told: Mutex<Option<Note>>,
    /// How it is shortened, where that is learned.
    treatment: OnceLock<Treatment>,
    edited: OnceLock<Option<Edited>>,
    pub(super) saved: OnceLock<Saved>,
    pub(super) alias: OnceLock<Fingerprint>,
    question: OnceLock<Fingerprint>,
    /// Which of several answers to one question it gets.
    pub(super) variant: OnceLock<u32>,
    /// How its text is marked for the provider's cache. Not part of its identity: the answer is the same.
    pub(super) marking: OnceLock<Option<Marking>>,
}

/// How a request's text is to be edited.
#[derive(Clone)]
pub struct Edit {
    /// Who is compressed how.
    pub plan: Plan,
    /// What became of texts that came before, where that may be kept, and whose texts these are.
    pub memo: Option<(Arc<Memo>, [u8; 32])>,
    /// What was learned and who shares answers with the caller, where anything is.
    pub learning: Option<(Learning, [u8; 32])>,
    /// Whether the client wished for its level.
    pub is_wished: bool,
    /// Whether it may be learned from.
    pub may_be_heard: bool,
    /// Where it is told, if it is.
    pub trace: Option<Trace>,
    /// Does it.
    pub apply: fn(&Json, &Plan, Option<Recall<'_>>) -> Option<Edited>,
}

/// A request's text after compression.
pub struct Edited {
    /// What goes upstream.
    pub json: Json,
    /// How much is gone.
    pub saved: Saved,
}

/// What compression took out of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Characters of text before compression.
    pub chars_before: u64,
    /// Characters taken out.
    pub chars: u64,
    /// `o200k_base` tokens taken out.
    pub tokens: u64,
    /// The same by rule and kind of content.
    pub savings: Arc<[Saving]>,
}

/// The text of a JSON object with a wish for the usage at the end of the stream; no byte of the rest changes. `root` says
/// what fields it has.
pub(super) fn with_usage(root: &Node, text: Bytes) -> Bytes {
    let is_long = text.len() >= LONG;
    let asked = aside(is_long, || wish_for_usage(root, &text));
    asked.map_or(text, Bytes::from)
}

fn wish_for_usage(root: &Node, text: &[u8]) -> Option<String> {
    const WISH: &str = r#""include_usage":true"#;

    /// The wishes that there are, as they stand in the text.
    #[derive(Deserialize)]
    struct Wishes<'a> {
        #[serde(borrow)]
        stream_options: &'a RawValue,
    }

    let text = std::str::from_utf8(text).ok()?;
    if root.get("stream_options").is_none() {
        let object = text.trim_ascii_end().strip_suffix('}')?;
        return Some(format!("{object},\"stream_options\":{{{WISH}}}}}"));
    }
    let wishes = serde_json::from_str::<Wishes<'_>>(text).ok()?;
    let wishes = wishes.stream_options.get();
    let start = wishes.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let (before, rest) = text.split_at_checked(start)?;
    let after = rest.get(wishes.len()..)?;
    // Of `null` nothing is left but its end.
    let others = wishes.strip_prefix('{').unwrap_or("}");
    let comma = if others.trim_ascii_start() == "}" {
        ""
    } else {
        ","
    };
    Some(format!("{before}{{{WISH}{comma}{others}{after}"))
}

/// The text of a JSON object with another limit of tokens, which it has; no byte of the rest changes.
pub(super) fn with_max_tokens(text: &Bytes, tokens: u32) -> Bytes {
    #[derive(Deserialize)]
    struct Limited<'a> {
        #[serde(borrow)]
        max_tokens: &'a RawValue,
    }

    let changed = || {
        let text = std::str::from_utf8(text).ok()?;
        let limit = serde_json::from_str::<Limited<'_>>(text).ok()?.max_tokens;
        let limit = limit.get();
        let start = limit.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let (before, rest) = text.split_at_checked(start)?;
        let after = rest.get(limit.len()..)?;
        Some(format!("{before}{tokens}{after}"))
    };
    changed().map_or_else(|| text.clone(), Bytes::from)
}

impl Chat {
    /// A chat request from validated JSON. `injected` names the fields that the proxy added itself.
    pub fn new(original: Json, injected: &'static [&'static str]) -> Self {
        let root = original.root();
        let model = root
            .get("model")
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into();
        let include_usage = root
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            .and_then(Node::as_bool)
            .unwrap_or(false);
        // OpenRouter's way of asking for it.
        let include_usage = include_usage
            || root
                .get("usage")
                .and_then(|usage| usage.get("include"))
                .and_then(Node::as_bool)
                .unwrap_or(false);
        let shape = match root.get("stream").and_then(Node::as_bool) {
            Some(true) => Shape::Stream { include_usage },
            _ => Shape::Whole,
        };
        let user = root.get("user").and_then(Node::as_str);
        Self {
            user: user
                .filter(|user| !user.is_empty())
                .map(|user| account::clip(user).into()),
            original,
            model,
            shape,
            injected,
            limit: None,
            edit: OnceLock::new(),
            told: Mutex::default(),
            treatment: OnceLock::new(),
            edited: OnceLock::new(),
            saved: OnceLock::new(),
            alias: OnceLock::new(),
            question: OnceLock::new(),
            variant: OnceLock::new(),
            marking: OnceLock::new(),
        }
    }

    /// The same with a limit of tokens that the proxy put in.
    #[must_use]
    pub fn with_limit(mut self, limit: Option<Given>) -> Self {
        self.limit = limit;
        self
    }

    /// The limit of tokens, where the proxy put it in.
    pub fn limit(&self) -> Option<Given> {
        self.limit
    }

    /// The form in which the client wants its answer.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The model as the client named it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whom the client attributes it to; as much of the name as is kept.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Its sampling temperature; where it names none, that of `OpenAI`'s API.
    pub fn temperature(&self) -> f64 {
        let own = self.original.root().get("temperature");
        own.and_then(Node::as_f64).unwrap_or(1.0)
    }

    /// Its JSON before compression.
    pub(crate) fn original(&self) -> &Json {
        &self.original
    }

    /// The fields that the proxy put in.
    pub fn injected(&self) -> &'static [&'static str] {
        self.injected
    }

    /// Whether it is for a stream and does not say whether that is to end with its usage. Who says no gets none.
    pub(super) fn leaves_usage_open(&self) -> bool {
        matches!(
            self.shape,
            Shape::Stream {
                include_usage: false
            }
        ) && self
            .original
            .root()
            .get("stream_options")
            .is_none_or(|options| options.get("include_usage").is_none())
    }

    /// The JSON that goes upstream, edited when somebody needs it for the first time.
    pub(super) fn outgoing(&self, timings: &Timings) -> &Json {
        let edited = self.edited.get_or_init(|| {
            let edit = self.edit.get()?;
            let known = edit.memo.as_ref().map(|(memo, owner)| memo.of(*owner));
            let begun = Instant::now();
            let span = edit
                .trace
                .as_ref()
                .and_then(|trace| trace.begin_at("compress", begun));
            let is_long = self.original.text().len() >= LONG;
            let edited = aside(is_long, || {
                let plan = self
                    .treatment(edit)
                    .and_then(|treatment| treatment.plan.as_ref());
                (edit.apply)(&self.original, plan.unwrap_or(&edit.plan), known)
            });
            timings.add(Stage::Compress, begun.elapsed());
            if let Some(edited) = &edited {
                let _ = self.saved.set(edited.saved.clone());
            }
            if let Some(span) = span {
                let saved = edited.as_ref().map(|edited| &edited.saved);
                span.set_number(
                    "pegasus.characters_saved",
                    saved.map_or(0, |saved| saved.chars),
                );
                span.set_number(
                    "pegasus.tokens_saved",
                    saved.map_or(0, |saved| saved.tokens),
                );
                span.finish();
            }
            edited
        });
        edited
            .as_ref()
            .map_or(&self.original, |edited| &edited.json)
    }

    /// How it is shortened, where that is learned; the first call decides.
    fn treatment(&self, edit: &Edit) -> Option<&Treatment> {
        let (learning, owner) = edit.learning.as_ref()?;
        let treat = || learning.treat(&edit.plan, edit.is_wished, &self.original, owner);
        Some(self.treatment.get_or_init(treat))
    }

    /// Tells whoever learns what it came to, and what a thousand tokens more of its prompt would have cost, in
    /// nano-dollars.
    pub(super) fn tell(&self, account: &Account, outcome: Outcome, price: impl FnOnce() -> u64) {
        let Some(edit) = self.edit.get().filter(|edit| edit.may_be_heard) else {
            return;
        };
        // Of what was answered before anybody shortened it there is nothing to tell.
        if let Some((learning, _)) = &edit.learning
            && let Some(treatment) = self.treatment.get()
        {
            let note = learning.note(&Over {
                body: self.original.text(),
                who: &account.who(),
                plan: &edit.plan,
                treatment,
                saved: self.saved.get().cloned().unwrap_or_default(),
                outcome,
                price: price(),
            });
            // Attempts, and calls with another limit, are one request.
            let before = std::mem::replace(&mut *self.told.lock(), note);
            if let Some(before) = before {
                before.forget();
            }
        }
    }

    /// The identity of what goes upstream.
    pub(super) fn question(&self, parts: &Parts, timings: &Timings) -> Fingerprint {
        *self.question.get_or_init(|| {
            fingerprint::fingerprint(
                self.known(),
                parts.scope,
                &parts.path,
                &parts.headers,
                self.outgoing(timings).root(),
                self.injected,
            )
        })
    }

    /// The identity of what came in, under the version of what was learned that was in force then.
    pub(super) fn alias(&self, parts: &Parts) -> Fingerprint {
        *self.alias.get_or_init(|| self.alias_under(parts, None))
    }

    /// The same under the version that it was shortened by, which a conversation under way may have kept: by this name what
    /// it came to is remembered.
    pub(super) fn kept_alias(&self, parts: &Parts) -> Fingerprint {
        match self.treatment.get() {
            Some(treatment) => self.alias_under(parts, Some(treatment)),
            None => self.alias(parts),
        }
    }

    fn alias_under(&self, parts: &Parts, treatment: Option<&Treatment>) -> Fingerprint {
        let edit = self.edit.get();
        let by_settings = edit.map_or_else(|| Plan::default().name(), |edit| edit.plan.name());
        let learned = edit.and_then(|edit| {
            let (learning, _) = edit.learning.as_ref()?;
            Some(learning.name(&edit.plan, edit.is_wished, treatment))
        });
        let name = learned.as_ref().map_or(&by_settings[..], |name| &name[..]);
        fingerprint::alias(
            self.known(),
            parts.scope,
            &parts.path,
            parts.headers.iter(),
            name,
            self.injected,
            self.original.text(),
        )
    }

    /// The digests of texts that came before, where they may be kept.
    fn known(&self) -> Option<Own<'_>> {
        let (memo, owner) = self.edit.get()?.memo.as_ref()?;
        Some(memo.blocks_of(*owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_limit_changes_nothing_else() {
        let text = Bytes::from_static(
            br#"{"messages":[{"content":"\"max_tokens\":1"}], "max_tokens" : 2000 ,"n":1.0}"#,
        );
        let changed = with_max_tokens(&text, 8_000);
        let expected =
            br#"{"messages":[{"content":"\"max_tokens\":1"}], "max_tokens" : 8000 ,"n":1.0}"#;
        assert_eq!(changed, expected[..]);
        assert_eq!(with_max_tokens(&Bytes::from_static(b"{}"), 1), "{}");
    }

    #[test]
    fn a_wish_for_usage_changes_nothing_else() {
        for (before, after) in [
            (
                r#"{ "stream":true } "#,
                r#"{ "stream":true ,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options": null ,"n":1.0}"#,
                r#"{"stream_options": {"include_usage":true} ,"n":1.0}"#,
            ),
            (
                r#"{"n":1.0, "stream\u005foptions" :{ } }"#,
                r#"{"n":1.0, "stream\u005foptions" :{"include_usage":true } }"#,
            ),
            (
                r#"{"stream_options":{ "include_obfuscation":false},"x":"\u00e9}"}"#,
                r#"{"stream_options":{"include_usage":true, "include_obfuscation":false},"x":"\u00e9}"}"#,
            ),
        ] {
            let json = Json::parse(Bytes::from_static(before.as_bytes())).unwrap();
            let asked = with_usage(json.root(), json.text().clone());
            assert_eq!(asked, after);
            let asked = Json::parse(asked).unwrap();
            let wish = asked.root().get("stream_options").unwrap();
            assert_eq!(wish.get("include_usage"), Some(&Node::Bool(true)));
        }
    }
}
