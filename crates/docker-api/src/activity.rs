//! Who is talking to the engine: what an engine that was started on demand looks at before it leaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Counts connections and requests. A request counts from its head to the last byte of its answer, so
/// followed logs and attached terminals keep it up; an idle keep-alive connection does not.
#[derive(Debug)]
pub struct Activity {
    connections: AtomicUsize,
    requests: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        })
    }

    /// Open connections, idle ones included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests in flight, streams and attached sessions included.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Since when nothing has been asked; `None` while a request is in flight.
    pub fn idle_since(&self) -> Option<Instant> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (self.requests() == 0).then_some(last)
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn connection(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(self.clone())
    }

    pub(crate) fn request(self: &Arc<Self>) -> RequestGuard {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        RequestGuard(self.clone())
    }
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Arc<Activity>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request while it lives; travels in the answer's body.
#[derive(Debug)]
pub(crate) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_idle_only_between_requests() {
        let activity = Activity::new();
        let _connection = activity.connection();
        let before = activity.idle_since().unwrap();
        let request = activity.request();
        assert_eq!((activity.connections(), activity.requests(), activity.idle_since()), (1, 1, None));
        drop(request);
        assert!(activity.idle_since().unwrap() >= before);
    }
}
