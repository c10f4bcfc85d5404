//! A build over BuildKit's API.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use minke_build_client::{BuildEvent, Destination, Outcome, Prepared, RunError, Snippet, run, words};
use minke_docker_client::{Client, HeaderMap};
use minke_model::{Reference, ReferenceError};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{
    Built, answer,
    context::Source,
    flags::Build,
    options::options,
    shown::{self, Display, Mode},
};
use crate::{
    context::Context,
    credentials::UserLogins,
    failure::Failure,
    output,
    progress::Screen,
    transfer::{self, Wanted},
};

/// Events that may wait to be shown.
const WAITING: usize = 256;

/// Builds, or answers a question about the build.
pub(super) async fn build(
    context: &Context,
    client: &Client,
    args: &Build,
    source: Source,
    mode: Mode,
) -> Result<Built, Failure> {
    let question = words::question(args.question()).map_err(|error| Failure::new(error.to_string()))?;
    let options = options(args, source, question.as_ref().map(|question| question.name.clone()))?;
    if options.outputs.iter().any(|output| output.destination == Destination::Stdout)
        && io::stdout().is_terminal()
    {
        return Err(Failure::new(
            "standard output is a terminal: name a file by --output …,dest=FILE, or redirect it",
        ));
    }
    let logins = UserLogins(context.config().clone());
    let prepared = Prepared::new(options, Some(Arc::new(logins)))
        .map_err(|error| Failure::doing("prepare the build", error))?;
    let reference = prepared.reference().to_owned();
    let outcome = match watched(client, prepared, mode).await? {
        Ok(outcome) => outcome,
        Err(error) => {
            if mode != Mode::Rawjson {
                snippets(&error).iter().for_each(shown::snippet);
            }
            return Err(failure(&error));
        }
    };
    if let Some(question) = question {
        return answer::print(&question, &outcome.answer).map(|()| Built::default());
    }
    for name in &outcome.to_push {
        push(context, name, mode).await?;
    }
    let image = outcome.image().map(str::to_owned);
    let metadata = metadata(&context.name(), &reference, outcome);
    Ok(Built { image, metadata })
}

/// Pushes an image for a builder that doesn't.
async fn push(context: &Context, name: &str, mode: Mode) -> Result<(), Failure> {
    let image: Reference =
        name.parse().map_err(|error: ReferenceError| Failure::doing(format!("push {name}"), error))?;
    let wanted = Wanted { image: &image, all_tags: false, platform: None };
    let screen = if matches!(mode, Mode::Quiet | Mode::Rawjson) { Screen::Nowhere } else { Screen::Stderr };
    transfer::push(context, wanted, None, screen).await
}

/// Runs the build and shows what happens.
async fn watched(
    client: &Client,
    prepared: Prepared,
    mode: Mode,
) -> Result<Result<Outcome, RunError>, Failure> {
    let (empty, headers) = (HeaderMap::new(), prepared.headers());
    let (control, session) = tokio::try_join!(
        client.upgrade("h2c", "/grpc", &empty),
        client.upgrade("h2c", "/session", &headers)
    )?;
    let (events, mut told) = mpsc::channel::<BuildEvent>(WAITING);
    let mut display = Display::new(mode);
    let showing = async {
        while let Some(event) = told.recv().await {
            match mode {
                Mode::Rawjson => output::line(&event.to_json().to_string())?,
                _ => display.event(&event),
            }
        }
        Ok(())
    };
    let (outcome, showed) = tokio::join!(run(prepared, control, session, events), showing);
    display.finish(outcome.is_err());
    showed.map(|()| outcome)
}

fn failure(error: &RunError) -> Failure {
    let RunError::Failed(failed) = error else { return Failure::new(crate::failure::chain(error)) };
    Failure::new(format!("ERROR: {failed}")).with_code(failed.exit_code().unwrap_or(1))
}

/// The lines of the Dockerfile that it is about.
fn snippets(error: &RunError) -> &[Snippet] {
    match error {
        RunError::Failed(failed) => &failed.snippets,
        RunError::Handshake(_) | RunError::Keep(_) => &[],
    }
}

/// The result as `docker buildx build --metadata-file` writes it: what is JSON in base64 becomes JSON.
fn metadata(builder: &str, reference: &str, outcome: Outcome) -> Value {
    let mut metadata: Map<_, _> =
        outcome.response.into_iter().map(|(key, text)| (key, decoded(text))).collect();
    metadata.insert("buildx.build.ref".to_owned(), format!("{builder}/{builder}/{reference}").into());
    metadata.sort_keys();
    metadata.into()
}

fn decoded(text: String) -> Value {
    let json = BASE64_STANDARD.decode(&text).ok();
    let json = json.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    json.filter(Value::is_object).unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_as_buildx_does() {
        let descriptor = BASE64_STANDARD.encode("{\"size\":1}");
        let response = [("image.name", "a"), ("containerimage.descriptor", &descriptor)];
        let response = response.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let outcome = Outcome { response: response.into(), ..Outcome::default() };
        let written = metadata("default", "r", outcome).to_string();
        assert_eq!(
            written,
            "{\"buildx.build.ref\":\"default/default/r\",\"containerimage.descriptor\":{\"size\":1},\"image.name\":\"a\"}"
        );
    }
}
