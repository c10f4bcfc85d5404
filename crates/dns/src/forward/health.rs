//! Which name servers didn't answer lately, so that not every question waits for a dead one.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a name server comes last that didn't answer.
const REST: Duration = Duration::from_secs(30);
/// More than a resolv.conf has, even when it changes often.
const MOST: usize = 16;

/// Name servers that failed, with the time until which they come last.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Vec<(SocketAddr, Instant)>>);

impl Health {
    pub(super) fn failed(&self, server: SocketAddr) {
        let mut failing = self.failing();
        failing.retain(|(known, _)| *known != server);
        if failing.len() == MOST {
            failing.remove(0);
        }
        failing.push((server, Instant::now() + REST));
    }

    pub(super) fn answered(&self, server: SocketAddr) {
        self.failing().retain(|(known, _)| *known != server);
    }

    pub(super) fn is_failing(&self, server: SocketAddr) -> bool {
        let now = Instant::now();
        self.failing().iter().any(|(known, until)| *known == server && *until > now)
    }

    fn failing(&self) -> MutexGuard<'_, Vec<(SocketAddr, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> SocketAddr {
        ([192, 0, 2, n], 53).into()
    }

    #[test]
    fn a_server_comes_last_until_it_answers() {
        let health = Health::default();
        health.failed(server(1));
        assert!(health.is_failing(server(1)) && !health.is_failing(server(2)));
        health.answered(server(1));
        assert!(!health.is_failing(server(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let health = Health::default();
        (0..=255).for_each(|n| health.failed(server(n)));
        assert_eq!(health.failing().len(), MOST);
        assert!(health.is_failing(server(255)));
    }
}
