//! What is still being cleaned up when nobody waits for it any more: of build steps, say, whose client has left. The engine's
//! end does, since a cgroup or a link that is left then is nobody's until the next engine sweeps.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

/// How long the engine's end waits for all of them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The clean-ups that go on.
#[derive(Debug, Default)]
pub(crate) struct CleanUps(Mutex<Vec<JoinHandle<()>>>);

impl CleanUps {
    /// Has the engine's end wait for this one.
    pub(crate) fn add(&self, clean_up: JoinHandle<()>) {
        let mut going_on = self.lock();
        going_on.retain(|other| !other.is_finished());
        going_on.push(clean_up);
    }

    /// Waits until all are done, with those that come meanwhile; for so long and no longer.
    pub(super) async fn finish(&self) {
        if tokio::time::timeout(PATIENCE, self.all()).await.is_err() {
            tracing::warn!(
                seconds = PATIENCE.as_secs(),
                "clean-ups are not done yet; the next engine sweeps"
            );
        }
    }

    async fn all(&self) {
        loop {
            let going_on = mem::take(&mut *self.lock());
            if going_on.is_empty() {
                return;
            }
            for clean_up in going_on {
                // One that panicked is over, too.
                let _ = clean_up.await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn those_that_come_while_others_end_are_waited_for_too() {
        let (clean_ups, done) = (Arc::new(CleanUps::default()), Arc::new(AtomicUsize::new(0)));
        let (later, count) = (Arc::clone(&clean_ups), Arc::clone(&done));
        clean_ups.add(tokio::spawn(async move {
            tokio::task::yield_now().await;
            let counted = Arc::clone(&count);
            later.add(tokio::task::spawn_blocking(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            }));
            count.fetch_add(1, Ordering::SeqCst);
        }));
        clean_ups.finish().await;
        assert_eq!(done.load(Ordering::SeqCst), 2);
        assert!(clean_ups.lock().is_empty());
    }
}
