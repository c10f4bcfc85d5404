//! Signals that reach the client and belong to the container, and the terminal's changes of size.

use minke_docker_client::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};

use crate::{output, terminal};

/// What is handed on: everything a user or a supervisor of processes sends on purpose. Left out are SIGKILL and SIGSTOP,
/// which can't be, SIGCHLD, SIGPIPE, SIGURG and the faults, which are the client's own, and SIGWINCH, see [`follow_size`].
const PROXIED: [(&str, i32); 15] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("XCPU", 24),
    ("VTALRM", 26),
    ("IO", 29),
    ("PWR", 30),
];

/// So many SIGINT and SIGTERM end the client itself: a container whose first process ignores them, as `sleep` does,
/// would hold its user's terminal for good. The number is Docker's.
const PATIENCE: usize = 3;

/// Ends the program at once; the container runs on.
fn leave() -> ! {
    terminal::restore();
    output::note(&format!("\ngot {PATIENCE} SIGTERM/SIGINTs, forcefully exiting"));
    std::process::exit(1)
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Background(Vec<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Sends every signal on to the container. They are caught from now on, so that none is lost before the container runs.
pub(crate) fn proxy(client: &Client, container: &str) -> Background {
    let (sender, mut receiver) = mpsc::channel::<&'static str>(64);
    let mut tasks = Vec::new();
    for (name, number) in PROXIED {
        let Ok(mut signals) = signal(SignalKind::from_raw(number)) else { continue };
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(name).await.is_err() {
                    return;
                }
            }
        }));
    }
    let (client, path) = (client.clone(), format!("/containers/{container}/kill"));
    tasks.push(tokio::spawn(async move {
        let mut asked = 0;
        while let Some(name) = receiver.recv().await {
            asked += usize::from(matches!(name, "INT" | "TERM"));
            if asked == PATIENCE {
                leave();
            }
            // The container may have ended in the meantime; then there is nobody to tell.
            let sent = client.post_empty::<()>(&path, &[("signal", name.to_owned())]).await;
            if let Err(error) = sent {
                tracing::debug!(signal = name, %error, "signal not delivered");
            }
        }
    }));
    Background(tasks)
}

/// Gives the container's terminal the size of the user's, now and whenever it changes. `path` is the API's `…/resize`.
pub(crate) fn follow_size(client: &Client, path: String) -> Background {
    let client = client.clone();
    let task = tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
        // The container may still be about to start: then the first attempts are too early.
        for attempt in 0..10_u64 {
            if resize(&client, &path).await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10 * (attempt + 1))).await;
        }
        while changes.recv().await.is_some() {
            resize(&client, &path).await;
        }
    });
    Background(vec![task])
}

async fn resize(client: &Client, path: &str) -> bool {
    let Some((columns, rows)) = terminal::size() else { return true };
    let query = [("h", rows.to_string()), ("w", columns.to_string())];
    client.post_empty::<()>(path, &query).await.is_ok()
}
