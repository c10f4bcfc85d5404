//! Calls that meet: clients send those that belong to one build at once, so that one may come a little before what it names.

use std::time::Duration;

use tokio::sync::Notify;

/// How long a call waits for what it names.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where something arrives that calls may wait for.
#[derive(Debug, Default)]
pub struct Arrivals(Notify);

impl Arrivals {
    /// Has all who wait look again.
    pub fn tell(&self) {
        self.0.notify_waiters();
    }

    /// What is found as soon as it is there; `None` when that takes too long. Looking must not [`tell`](Self::tell) unless it
    /// has found something: that would wake itself.
    pub async fn when<T>(&self, look: impl Fn() -> Option<T>) -> Option<T> {
        let arrival = async {
            loop {
                let told = self.0.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                told.await;
            }
        };
        tokio::time::timeout(PATIENCE, arrival).await.ok()
    }
}
