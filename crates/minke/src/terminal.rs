//! The user's terminal: raw mode that is always undone, its size, and whether there is one.

use std::{
    io::{self, IsTerminal},
    sync::Mutex,
};

use rustix::termios::{self, OptionalActions, Termios};

/// The settings before raw mode, kept for whoever ends the program.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input; dropped, the terminal is as before.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Hands every key to the program as it is; `None` where standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        if let Ok(mut slot) = BEFORE.lock() {
            slot.get_or_insert(before);
        }
        restore_on_panic();
        Ok(Some(Self(())))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// A release aborts on panic, so that no destructor runs; the hook does.
fn restore_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
    }));
}

/// Puts the terminal back as it was before raw mode, if it was changed. Also for exits that run no destructors.
pub(crate) fn restore() {
    let before = BEFORE.lock().ok().and_then(|mut slot| slot.take());
    if let Some(before) = before {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// Columns and rows of the terminal on standard output.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
