//! Standard output and error. A reader that leaves early (`minke ps | head -1`) ends the program quietly.
//!
//! On a terminal a [`Footer`] stays below all that is written.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use crate::{failure::Failure, terminal};

/// What stays below.
static FOOTER: Mutex<Option<String>> = Mutex::new(None);

/// Goes to the beginning of the line and clears it.
const CLEAR: &[u8] = b"\r\x1b[K";

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes(), false)
}

/// Writes `line` and a line break to standard output.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Writes `line` and a line break to standard error; there is nowhere to report a failure to.
pub(crate) fn note(line: &str) {
    let _ = bytes(format!("{line}\n").as_bytes(), true);
}

/// Writes `bytes` to standard output, or to standard error.
pub(crate) fn bytes(bytes: &[u8], error: bool) -> Result<(), Failure> {
    let footer = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
    let below = footer.as_deref().map(fitting);
    let write = |to: &mut dyn Write| -> io::Result<()> {
        let Some(below) = &below else {
            to.write_all(bytes)?;
            return to.flush();
        };
        let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
        to.write_all(&[CLEAR, bytes, end, below.as_bytes()].concat())?;
        to.flush()
    };
    match error {
        true => write(&mut io::stderr().lock()).map_err(lost),
        false => write(&mut io::stdout().lock()).map_err(lost),
    }
}

/// A line that stays below all that is written to the terminal; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Footer(());

impl Footer {
    /// Shows a line, in place of the one before.
    pub(crate) fn show(text: &str) -> Self {
        Self::set(Some(text.to_owned()));
        Self(())
    }

    /// Shows another line.
    pub(crate) fn change(&self, text: &str) {
        Self::set(Some(text.to_owned()));
    }

    fn set(text: Option<String>) {
        let mut footer = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
        let below = text.as_deref().map(fitting).unwrap_or_default();
        *footer = text;
        let mut stdout = io::stdout().lock();
        // Where the terminal is gone there is nothing to show it on.
        let _ = stdout.write_all(&[CLEAR, below.as_bytes()].concat()).and_then(|()| stdout.flush());
    }
}

impl Drop for Footer {
    fn drop(&mut self) {
        Self::set(None);
    }
}

/// As much of a line as the terminal has columns for; all of it must be on one row to be cleared again.
fn fitting(text: &str) -> String {
    let columns = terminal::size().map_or(80, |(columns, _)| usize::from(columns));
    text.chars().take(columns.saturating_sub(1)).collect()
}

/// The failure of writing standard output; a closed pipe is no news to anyone.
pub(crate) fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::exit(1),
        _ => Failure::doing("write to standard output", error),
    }
}
