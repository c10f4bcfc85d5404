//! Standard output and error. A reader that leaves early (`minke ps | head -1`) ends the program quietly.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(lost)
}

/// Writes `line` and a line break to standard output.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Writes `line` and a line break to standard error; there is nowhere to report a failure to.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The failure of writing standard output; a closed pipe is no news to anyone.
pub(crate) fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::exit(1),
        _ => Failure::doing("write to standard output", error),
    }
}
