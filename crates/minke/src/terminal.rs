//! The user's terminal: modes that are always undone, its size, and whether there is one.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::getpgrp;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// The settings before another mode was entered, kept for whoever ends the program.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether the alternate screen is shown.
static FULL_SCREEN: AtomicBool = AtomicBool::new(false);

/// xterm's alternate screen, without and with its cursor.
const ENTER_SCREEN: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN: &str = "\x1b[?25h\x1b[?1049l";

/// A mode of standard input; dropped, the terminal is as before.
#[derive(Debug)]
pub(crate) struct TerminalMode(());

impl TerminalMode {
    /// Hands every key to the program as it is; `None` where standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn raw() -> io::Result<Option<Self>> {
        Self::enter(Termios::make_raw)
    }

    /// Hands each key to the program at once and shows none, except those that are signals (^C); `None` where standard input is
    /// no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn keys() -> io::Result<Option<Self>> {
        Self::enter(|settings| {
            settings.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            settings.special_codes[SpecialCodeIndex::VMIN] = 1;
            settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    /// Shows nothing of what is typed; `None` where standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn silent() -> io::Result<Option<Self>> {
        Self::enter(|settings| settings.local_modes.remove(LocalModes::ECHO))
    }

    /// Raw, on a screen of its own that leaves what was on the terminal alone; `None` where standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn full_screen() -> io::Result<Option<Self>> {
        let Some(mode) = Self::raw()? else { return Ok(None) };
        FULL_SCREEN.store(true, Ordering::Relaxed);
        write(ENTER_SCREEN)?;
        Ok(Some(mode))
    }

    fn enter(change: impl FnOnce(&mut Termios)) -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut changed = before.clone();
        change(&mut changed);
        termios::tcsetattr(&stdin, OptionalActions::Now, &changed)?;
        if let Ok(mut slot) = BEFORE.lock() {
            slot.get_or_insert(before);
        }
        restore_on_panic();
        Ok(Some(Self(())))
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        restore();
    }
}

/// A release aborts on panic, so that no destructor runs; the hook does.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
}

/// Puts the terminal back as it was, if it was changed. Also for exits that run no destructors.
pub(crate) fn restore() {
    if FULL_SCREEN.swap(false, Ordering::Relaxed) {
        // Where the terminal is gone there is nothing to put back.
        let _ = write(LEAVE_SCREEN);
    }
    let before = BEFORE.lock().ok().and_then(|mut slot| slot.take());
    if let Some(before) = before {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

fn write(sequence: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(sequence.as_bytes())?;
    stdout.flush()
}

/// Does `work` unless a signal ends the program first; then the terminal is put back, which the signal alone would not do.
///
/// # Errors
/// Those of `work`, or the exit code that tells of the signal.
pub(crate) async fn unless_ended<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        // Signals first: they must be caught before the work changes anything of the terminal.
        biased;
        code = ended() => {
            restore();
            Err(Failure::exit(code))
        }
        outcome = work => outcome,
    }
}

/// Waits for a signal that ends programs, and returns the exit code that shells have for it.
async fn ended() -> i32 {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
            128 + kind.as_raw_value()
        }
        // Then the signal keeps its own way.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        code = wait(SignalKind::interrupt()) => code,
        code = wait(SignalKind::terminate()) => code,
        code = wait(SignalKind::hangup()) => code,
        code = wait(SignalKind::quit()) => code,
    }
}

/// Columns and rows of the terminal on standard output, or on standard error where the other goes elsewhere.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).or_else(|_| termios::tcgetwinsize(io::stderr())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether standard input is a terminal that this program is in front of: one in the background that changes it is stopped.
pub(crate) fn owns_stdin() -> bool {
    // A terminal that controls no session has nobody in front.
    let in_front = || termios::tcgetpgrp(io::stdin()).map_or(true, |front| front == getpgrp());
    stdin_is_terminal() && in_front()
}

pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
