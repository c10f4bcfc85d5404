//! The keys of an `up` in the foreground, and the line that names them: `w` watches files, `d` leaves the containers running.
//!
//! Keys come one by one, without Return; ^C stays the signal that it is.

use std::{collections::VecDeque, io, time::Duration};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use crate::{
    compose::flags::{switched_on, variable},
    output::{self, Footer},
    terminal::{self, TerminalMode},
};

/// How long a problem is shown in place of the keys.
const SHOWN: Duration = Duration::from_secs(5);

/// So many bytes a terminal keeps for its reader.
const ALL: usize = 4096;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Leave, with all containers running.
    Detach,
    /// Begin to watch, or end it.
    Watch,
}

/// The keys, while they are read.
pub(super) struct Menu {
    keys: AsyncFd<io::Stdin>,
    /// What was typed and is not looked at yet.
    typed: VecDeque<u8>,
    footer: Footer,
    watching: bool,
    /// A problem is shown until then.
    until: Option<Instant>,
    // Dropped last, when the line is gone.
    _mode: TerminalMode,
}

/// Whether there is a menu: `--menu`, else `COMPOSE_MENU`, else where there is a terminal.
pub(super) fn is_wanted(flag: Option<bool>) -> bool {
    let by_variable = || variable("COMPOSE_MENU").map(|_| switched_on("COMPOSE_MENU"));
    let wanted = flag.or_else(by_variable).unwrap_or(true);
    wanted && terminal::stdout_is_terminal() && terminal::owns_stdin()
}

impl Menu {
    /// Begins to read keys; `None` where the terminal doesn't let it.
    pub(super) fn open(watching: bool) -> Option<Self> {
        let mode = TerminalMode::keys().ok().flatten()?;
        #[expect(
            deprecated,
            reason = "the successor is unsafe; standard input is one descriptor as long as the program runs"
        )]
        let keys = AsyncFd::with_interest(io::stdin(), Interest::READABLE).ok()?;
        let footer = Footer::show(&text(watching));
        Some(Self { keys, typed: VecDeque::new(), footer, watching, until: None, _mode: mode })
    }

    /// Waits for a key that means something.
    pub(super) async fn key(&mut self) -> Key {
        loop {
            let back = self.until;
            let read = tokio::select! {
                read = self.read() => read,
                () = async { sleep_until(back.unwrap_or_else(Instant::now)).await }, if back.is_some() => {
                    self.until = None;
                    self.footer.change(&text(self.watching));
                    continue;
                }
            };
            match read {
                Some(b'd') => return Key::Detach,
                Some(b'w') => return Key::Watch,
                // As on an ordinary terminal: an empty line sets apart what comes.
                Some(b'\n' | b'\r') => drop(output::line("")),
                Some(_) => {}
                // The terminal is gone.
                None => std::future::pending().await,
            }
        }
    }

    async fn read(&mut self) -> Option<u8> {
        while self.typed.is_empty() {
            let mut ready = self.keys.readable().await.ok()?;
            let mut bytes = [0; ALL];
            // It is ready, so that this doesn't wait. Not to wait at all can't be asked for: the shell has the terminal, too.
            match rustix::io::read(self.keys.get_ref(), &mut bytes) {
                Ok(count @ 1..) => self.typed.extend(&bytes[..count]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                _ => return None,
            }
            ready.clear_ready();
        }
        self.typed.pop_front()
    }

    /// Tells that files are watched, or not any more.
    pub(super) fn watching(&mut self, watching: bool) {
        self.watching = watching;
        self.until = None;
        self.footer.change(&text(watching));
    }

    /// Shows why a key does nothing.
    pub(super) fn problem(&mut self, problem: &str) {
        self.until = Some(Instant::now() + SHOWN);
        self.footer.change(problem);
    }
}

fn text(watching: bool) -> String {
    format!("  w {} Watch   d Detach", if watching { "Disable" } else { "Enable" })
}
