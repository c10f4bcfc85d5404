//! Questions to the user, answered on a terminal.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{failure::Failure, output, terminal::TerminalMode};

/// Asks for a line.
///
/// # Errors
/// When the terminal can't be written or read.
pub(crate) async fn line(question: &str) -> Result<String, Failure> {
    output::print(question)?;
    let mut answer = String::new();
    // A terminal hands out one line at a time, so nothing of the next answer is lost with the buffer.
    BufReader::new(tokio::io::stdin())
        .read_line(&mut answer)
        .await
        .map_err(|error| Failure::doing("read the answer from the terminal", error))?;
    Ok(answer.trim().to_owned())
}

/// Asks for a line that is not shown while it is typed.
///
/// # Errors
/// As [`line()`], or when the terminal can't be silenced.
pub(crate) async fn secret(question: &str) -> Result<String, Failure> {
    let mode = TerminalMode::silent()
        .map_err(|error| Failure::doing("hide what is typed on the terminal", error))?;
    let answer = line(question).await;
    drop(mode);
    // The user's own line break was not shown either.
    output::line("")?;
    answer
}
