//! A timer that is put off at every step of a stream.
//!
//! To register a timer with the runtime and take it back costs as much as to pass an event on. So the one that is
//! registered stays where it is while its time moves away, and looks, when it goes off, whether it still should.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Goes off at a time that can be changed at no cost.
pub(crate) struct Alarm {
    due: Instant,
    /// Made when first waited for: most steps need not wait.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Goes off at `due`.
    pub(crate) fn new(due: Instant) -> Self {
        Self { due, sleep: None }
    }

    /// From now on it goes off at `due`.
    pub(crate) fn set(&mut self, due: Instant) {
        self.due = due;
    }

    /// Ready from the time on for which it is set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            // A step that has used up what a task may do in a row must not keep the time from being up.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::coop::{consume_budget, has_budget_remaining};
    use tokio::time::{advance, timeout};

    use super::*;

    const STEP: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_is_due_however_often_it_was_put_off() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun + STEP);
        for _ in 0..5 {
            let early = timeout(STEP / 2, poll_fn(|cx| alarm.poll(cx))).await;
            assert!(early.is_err());
            alarm.set(Instant::now() + STEP);
        }
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(begun.elapsed(), STEP / 2 * 5 + STEP);
        // And again, once it is set again.
        alarm.set(Instant::now() + STEP);
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(begun.elapsed(), STEP / 2 * 5 + 2 * STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_beside_a_step_that_never_waits() {
        let mut alarm = Alarm::new(Instant::now() + STEP);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await.is_pending());
        advance(2 * STEP).await;
        poll_fn(|cx| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            alarm.poll(cx)
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_set_to_an_earlier_time() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun + 10 * STEP);
        assert!(timeout(STEP, poll_fn(|cx| alarm.poll(cx))).await.is_err());
        alarm.set(begun + 2 * STEP);
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(begun.elapsed(), 2 * STEP);
        // What is over already is over at once.
        advance(STEP).await;
        alarm.set(begun);
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(begun.elapsed(), 3 * STEP);
    }
}
