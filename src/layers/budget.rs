//! Refuses the calls of clients whose budget is used up: below the cache, whose answers cost nothing, and above dedup,
//! so that nobody else is refused with them.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt as _};

use super::{ReplyFuture, ReplyResult};
use crate::error::ProxyError;
use crate::metering::budget::Budgets;
use crate::reply::Reply;
use crate::request::{ProxyRequest, Stage};

/// Makes [`Budgeted`] services.
#[derive(Clone)]
pub struct BudgetLayer {
    budgets: Budgets,
}

/// Lets calls pass that a budget has room for.
#[derive(Clone)]
pub struct Budgeted<S> {
    inner: S,
    budgets: Budgets,
}

/// A call; or its refusal; or either, once it is known what other instances have spent.
pub type BudgetFuture<F> = Either<F, Either<Ready<ReplyResult>, ReplyFuture>>;

// === impl BudgetLayer ===

impl BudgetLayer {
    /// Keeps these budgets.
    pub fn new(budgets: Budgets) -> Self {
        Self { budgets }
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Budgeted {
            inner,
            budgets: self.budgets.clone(),
        }
    }
}

// === impl Budgeted ===

impl<S> Service<ProxyRequest> for Budgeted<S>
where
    S: Service<ProxyRequest, Response = Reply, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = ProxyError;
    type Future = BudgetFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        let parts = request.parts();
        // What only reads, such as the list of models, costs nothing anywhere.
        let budget = parts
            .account
            .budget()
            .filter(|_| !parts.method.is_safe())
            .cloned();
        let Some(budget) = budget else {
            return Either::Left(self.inner.call(request));
        };
        if !self.budgets.is_shared() {
            return match budget.admit() {
                Ok(()) => Either::Left(self.inner.call(request)),
                Err(error) => Either::Right(Either::Left(ready(Err(error)))),
            };
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let budgets = self.budgets.clone();
        Either::Right(Either::Right(Box::pin(async move {
            let begun = Instant::now();
            let waited = request.timings().of(Stage::Redis);
            budgets.sync(&budget, waited).await;
            request.timings().add(Stage::Redis, begun.elapsed());
            budget.admit()?;
            inner.oneshot(request).await
        })))
    }
}
