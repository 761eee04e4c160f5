//! Tells the service manager how the process does, where there is one that asks (systemd's `Type=notify`).
//!
//! Where none does, all of this does nothing.

use sd_notify::NotifyState;
use tokio::time::interval;

/// The process answers requests from now on.
pub(crate) fn ready(address: &str) {
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("listening on http://{address}")),
    ]);
}

/// The process lets what is under way finish, and takes nothing new.
pub(crate) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("draining: requests under way may finish"),
    ]);
}

/// Gives signs of life, for ever, where the manager restarts a service that gives none (`WatchdogSec`). They come
/// from the runtime, so that one which is stuck gives none.
pub(crate) async fn give_signs_of_life() {
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    // Twice in that time, as systemd's own documentation advises.
    let mut ticks = interval(patience / 2);
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
