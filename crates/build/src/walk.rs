//! Walks through files, of which a client decides how long they take: each has a thread, a few are under way at a time, and one
//! that nobody waits for any more ends.

use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Semaphore;

use crate::{BuildError, cache::failed};

/// Most at a time, of all builds together: other work needs threads that may block, too.
const MOST: usize = 16;

static TURNS: Semaphore = Semaphore::const_new(MOST);

/// A walk's way to know that nobody waits for it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to go on.
    ///
    /// # Errors
    /// When nobody waits for it: then nobody sees the error either.
    pub(crate) fn go_on(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the build was given up")),
            false => Ok(()),
        }
    }

    /// What is read until nobody waits for it.
    pub(crate) fn reading<R: Read>(&self, from: R) -> Reading<'_, R> {
        Reading { from, stop: self }
    }
}

/// A reader that ends with its walk.
pub(crate) struct Reading<'a, R> {
    from: R,
    stop: &'a Stop,
}

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stop.go_on()?;
        self.from.read(into)
    }
}

/// What to leave out of a walk.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    excluded: &'a (dyn Fn(&Path) -> bool + Sync),
    stop: &'a Stop,
}

/// Runs a walk on a thread where it may block. It ends soon after its future is dropped.
///
/// # Errors
/// What it gives.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    struct Guard(Stop);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::Relaxed);
        }
    }

    let turn = TURNS.acquire().await.map_err(|error| failed(&error))?;
    let stop = Stop::default();
    let _guard = Guard(stop.clone());
    let done = tokio::task::spawn_blocking(move || {
        // Others wait until it has really ended.
        let _turn = turn;
        work(&stop)
    });
    done.await.map_err(|error| failed(&error))?
}

impl<'a> Walk<'a> {
    /// `excluded` says of a path relative to the tree's top that it is left out.
    pub(crate) fn new(excluded: &'a (dyn Fn(&Path) -> bool + Sync), stop: &'a Stop) -> Self {
        Self { excluded, stop }
    }

    /// Nothing is left out.
    pub(crate) fn all(stop: &'a Stop) -> Self {
        Self::new(&|_| false, stop)
    }

    /// Whether a path is left out.
    ///
    /// # Errors
    /// As [`Self::go_on`].
    pub(crate) fn leaves_out(&self, path: &Path) -> io::Result<bool> {
        self.go_on()?;
        Ok((self.excluded)(path))
    }

    /// As [`Stop::go_on`].
    ///
    /// # Errors
    /// The same.
    pub(crate) fn go_on(&self) -> io::Result<()> {
        self.stop.go_on()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_walk_ends_when_nobody_waits_for_it() {
        let (told, ended) = std::sync::mpsc::channel();
        let endless = apart(move |stop| {
            let walk = Walk::new(&|_| false, stop);
            while !walk.leaves_out(Path::new("a")).unwrap_or(true) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = told.send(());
            Ok(())
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(50), endless).await.is_err(),
            "it ended by itself"
        );
        assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok(), "it goes on");
        assert_eq!(apart(|_| Ok(1)).await.unwrap(), 1);
    }
}
