//! One operation on several containers, images or volumes.

use futures_util::{StreamExt, stream};

use crate::{failure::Failure, output};

/// How many operations run at a time, as with the docker CLI.
const PARALLEL: usize = 50;

/// Runs `operation` for each name, several at a time, and prints what it returns, in the order of the names. All are
/// tried; the failures come after.
///
/// # Errors
/// The failures' messages, one a line.
pub(super) async fn each<'a>(
    names: &'a [String],
    operation: impl AsyncFn(&'a str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    run(names, PARALLEL, operation).await
}

/// As [`each`], one after the other: where one may depend on what became of another before.
///
/// # Errors
/// As [`each`].
pub(super) async fn in_order<'a>(
    names: &'a [String],
    operation: impl AsyncFn(&'a str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    run(names, 1, operation).await
}

async fn run<'a>(
    names: &'a [String],
    parallel: usize,
    operation: impl AsyncFn(&'a str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut outcomes = stream::iter(names.iter().map(|name| operation(name))).buffered(parallel);
    let mut failures = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(line) if line.is_empty() => {}
            Ok(line) => output::line(&line)?,
            Err(failure) => failures.push(failure.message),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\n"))) }
}
