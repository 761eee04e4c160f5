//! Keeps the work on one request from holding up the others on its thread.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// From so many bytes on a body is edited aside: it may take longer than a task may hold its thread, a
/// millisecond or so.
pub(crate) const LONG: usize = 32 * 1024;

/// Works off what takes long while other threads take over the tasks of this one, if there are other threads.
pub(crate) fn aside<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if is_long && matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    #[expect(
        clippy::disallowed_methods,
        reason = "both tasks must be on the only worker"
    )]
    async fn the_only_thread_goes_on_with_other_tasks() {
        let (tell, told) = mpsc::channel();
        let long = tokio::spawn(async move {
            // Nobody tells before the task after this one has run.
            aside(true, || told.recv_timeout(Duration::from_mins(1)))
        });
        let short = tokio::spawn(async move { tell.send("done") });
        assert_eq!(long.await.unwrap(), Ok("done"));
        assert_eq!(short.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_lone_thread_does_the_work_itself() {
        assert_eq!(aside(true, || 7), 7);
        assert_eq!(aside(false, || 7), 7);
    }
}
