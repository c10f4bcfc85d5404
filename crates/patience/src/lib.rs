//! Threads for blocking work that waits for a peer: a client that sends an archive slowly, or takes none of what it asked for.
//!
//! They are not those for files, of which there are few: clients that stand still would hold all of them, and the engine with them.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{self, JoinHandle},
};

/// The most at a time; who comes after them waits for one that ends. Each is there only as long as there is work for it.
const MOST: usize = 1024;

/// Runs blocking work on a thread that may wait for a peer as long as it likes; what it spawns is the caller's runtime's.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // Nothing but threads is wanted of it: there is nobody who would drive tasks.
    static THREADS: OnceLock<Option<Runtime>> = OnceLock::new();
    let threads = THREADS.get_or_init(|| {
        Builder::new_current_thread().max_blocking_threads(MOST).thread_name("waiting").build().ok()
    });
    let Some(threads) = threads else { return task::spawn_blocking(work) };
    let caller = Handle::try_current().ok();
    threads.spawn_blocking(move || {
        let _inside = caller.as_ref().map(Handle::enter);
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn many_that_wait_are_in_nobodys_way() {
        let (senders, works): (Vec<_>, Vec<_>) = (0..100)
            .map(|number| {
                let (sender, receiver) = mpsc::channel::<()>();
                (sender, spawn(move || receiver.recv().map(|()| number)))
            })
            .unzip();
        assert_eq!(spawn(|| 7).await.unwrap(), 7);
        for sender in senders {
            sender.send(()).unwrap();
        }
        for (number, work) in works.into_iter().enumerate() {
            assert_eq!(work.await.unwrap(), Ok(number));
        }
    }

    #[tokio::test]
    async fn tasks_of_the_work_run() {
        let task = spawn(|| tokio::spawn(async { 7 })).await.unwrap();
        assert_eq!(task.await.unwrap(), 7);
    }
}
