//! Telling the service manager how the engine is (sd_notify(3)). Where there is none, nobody is told.

use sd_notify::NotifyState;

/// The API is served, with the configuration as it is.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "read the clock"),
    }
}

/// No request is taken any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "tell the service manager ($NOTIFY_SOCKET)");
    }
}
