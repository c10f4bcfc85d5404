//! What targets say about an input: that a promise holds, that it is broken, that the input was refused.

use std::{error::Error, fmt::Debug};

use serde::Serialize;

use super::suite::Verdict;

/// How the outcome of an input begins that the parser refuses. Such an input gets nowhere, with whatever else is
/// changed in it, so it is never changed further.
pub const REFUSED: &str = "refused: ";

/// How the outcome of an input begins that was read to its end.
pub const TAKEN: &str = "taken";

/// Longer than any error that repeats a name or two.
const LONGEST_ERROR: usize = 16 << 10;
/// How much of a value a broken promise shows.
const LONGEST_VALUE: usize = 400;

/// A broken promise, with the value it was broken for.
pub fn broken(promise: &str, what: impl Debug) -> String {
    let what = format!("{what:?}");
    format!("{promise}: {}", what.chars().take(LONGEST_VALUE).collect::<String>())
}

/// Whether a promise holds.
///
/// # Errors
/// [`broken`] when it doesn't.
pub fn holds(promise: &str, what: impl Debug, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken(promise, what)) }
}

/// An error with its causes, as users see it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An error's [`chain`].
///
/// # Errors
/// When that is empty, more than one line, or endless.
pub fn shown(error: &dyn Error) -> Verdict {
    one_line(chain(error))
}

/// A message that says something, in one line that ends.
///
/// # Errors
/// When it is otherwise.
pub fn one_line(text: String) -> Verdict {
    holds("a message says something", &text, !text.trim().is_empty())?;
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    holds("a message is one line, and moves no cursor", &text, !text.contains(breaks))?;
    holds("a message ends", (text.len(), &text), text.len() <= LONGEST_ERROR)?;
    Ok(text)
}

/// The outcome of an input that the parser refuses.
///
/// # Errors
/// As [`shown`].
pub fn refused(error: &dyn Error) -> Verdict {
    Ok(format!("{REFUSED}{}", shown(error)?))
}

/// What was read can be written as JSON, and that reads the same.
///
/// # Errors
/// When it is otherwise.
pub fn reads_back<T: Serialize + PartialEq + Debug, E: Error + 'static>(
    value: &T,
    read: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<(), String> {
    let written =
        serde_json::to_vec(value).map_err(|error| broken("it can be written", error.to_string()))?;
    let again = read(&written).map_err(|error| broken("what was written can be read", chain(&error)))?;
    holds("what was written reads the same", value, again == *value)
}
