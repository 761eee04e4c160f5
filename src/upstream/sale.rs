//! What an answer on its way costs, however it ends.

use std::sync::Arc;

use super::Shared;
use crate::chat::Usage;
use crate::metering::tokens::count::count_prompt;
use crate::request::{LONG, ProxyRequest, aside};
use crate::telemetry::Trace;
use crate::tuning::learn::Outcome;

/// An answer whose head is here: from now on its provider asks for money. Where it breaks off, or its client leaves, what
/// it cost is estimated: the prompt, and as much of the answer as came.
pub(super) struct Sale {
    request: ProxyRequest,
    shared: Arc<Shared>,
    /// What is known of an answer that is not complete: its usage, bytes of its text, its model.
    so_far: (Option<Usage>, usize, Option<Arc<str>>),
    is_open: bool,
}

impl Sale {
    pub(super) fn begin(request: ProxyRequest, shared: &Arc<Shared>) -> Self {
        Self {
            request,
            shared: Arc::clone(shared),
            so_far: (None, 0, None),
            is_open: true,
        }
    }

    /// Where its call is in its trace, if it is in one.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.request.trace.as_ref()
    }

    /// What has come by now.
    pub(super) fn note(&mut self, usage: Option<Usage>, text: usize, served: Option<&Arc<str>>) {
        let (known, bytes, model) = &mut self.so_far;
        *known = usage;
        *bytes = text;
        if model.is_none() {
            *model = served.cloned();
        }
    }

    /// The answer is complete, with this usage where its provider told one, and so many bytes of text; whether it was cut
    /// off at a limit of tokens, where that is known.
    pub(super) fn close(
        mut self,
        usage: Option<Usage>,
        text: usize,
        served: Option<&Arc<str>>,
        is_cut: Option<bool>,
    ) -> Usage {
        self.is_open = false;
        self.book(usage, text, served, is_cut)
    }

    /// There is no answer: nobody is known to ask for money.
    pub(super) fn cancel(mut self) {
        self.is_open = false;
    }

    /// The usage that nobody reported: the prompt as its model counts it, where that is known, and four bytes of text a
    /// token, as `OpenAI` counts English.
    fn count(&self, text: usize) -> Usage {
        let model = self.request.model().unwrap_or_default();
        let json = self.request.outgoing();
        let prompt = json.map_or(0, |json| {
            aside(json.text().len() > LONG, || {
                count_prompt(model, json.root()).tokens
            })
        });
        Usage::estimated(prompt, text)
    }

    fn book(
        &self,
        usage: Option<Usage>,
        text: usize,
        served: Option<&Arc<str>>,
        is_cut: Option<bool>,
    ) -> Usage {
        let usage = usage.unwrap_or_else(|| self.count(text));
        let metrics = &self.shared.metrics;
        let outcome = Outcome::Answered {
            prompt: usage.prompt_tokens,
            answer: usage.completion_tokens,
            is_cut,
        };
        self.request.tell(outcome, || {
            metrics.price_of_thousand(&self.request, served, usage)
        });
        if let Some(prompt_cache) = &self.shared.prompt_cache {
            prompt_cache.settle(&self.request, usage, served);
        }
        metrics.answered(&self.request, usage, served)
    }
}

impl Drop for Sale {
    fn drop(&mut self) {
        if self.is_open {
            let (usage, text, served) = std::mem::take(&mut self.so_far);
            self.book(usage, text, served.as_ref(), None);
        }
    }
}
