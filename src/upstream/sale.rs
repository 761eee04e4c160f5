//! What an answer on its way costs, however it ends.

use std::sync::Arc;

use crate::chat::Usage;
use crate::metering::{Metrics, estimate_prompt};
use crate::request::ProxyRequest;

/// An answer whose head is here: from now on its provider asks for money. Where it breaks off, or its client leaves, what
/// it cost is estimated: the prompt, and as much of the answer as came.
pub(super) struct Sale {
    request: ProxyRequest,
    metrics: Arc<Metrics>,
    /// What is known of an answer that is not complete: its usage, bytes of its text, its model.
    so_far: (Option<Usage>, usize, Option<Arc<str>>),
    is_open: bool,
}

impl Sale {
    pub(super) fn begin(request: ProxyRequest, metrics: &Arc<Metrics>) -> Self {
        Self {
            request,
            metrics: Arc::clone(metrics),
            so_far: (None, 0, None),
            is_open: true,
        }
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

    /// The answer is complete, with this usage where its provider told one, and so many bytes of text.
    pub(super) fn close(
        mut self,
        usage: Option<Usage>,
        text: usize,
        served: Option<&Arc<str>>,
    ) -> Usage {
        self.is_open = false;
        self.book(usage, text, served)
    }

    /// There is no answer: nobody is known to ask for money.
    pub(super) fn cancel(mut self) {
        self.is_open = false;
    }

    fn book(&self, usage: Option<Usage>, text: usize, served: Option<&Arc<str>>) -> Usage {
        let usage = usage.unwrap_or_else(|| Usage::estimated(estimate_prompt(&self.request), text));
        self.metrics.answered(&self.request, usage, served);
        usage
    }
}

impl Drop for Sale {
    fn drop(&mut self) {
        if self.is_open {
            let (usage, text, served) = std::mem::take(&mut self.so_far);
            self.book(usage, text, served.as_ref());
        }
    }
}
