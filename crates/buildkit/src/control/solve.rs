//! A solve: from the request to the builder's build, and its result back.
//!
//! ```text
//!  client                        here
//!  Solve(no frontend) ─────────▶ waits                         `docker buildx build` drives its builds so
//!  bridge: Solve(dockerfile.v0)▶ keeps what is to be built, returns a reference
//!  bridge: Return(reference) ──▶ builds it with the solve's outputs, answers Solve
//! ```
//!
//! A solve that names the frontend itself is built at once. Dropping the answer's future (the client is gone) ends the build.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use minke_build::{BuildError, BuildResult, Output};
use minke_dockerfile::Diagnostic;
use minke_dockerfile::ast::Dockerfile;

use super::failure;
use crate::Shared;
use crate::builds::{Build, Running};
use crate::frontend::attributes::{Attributes, Files};
use crate::frontend::inputs::{Sources, dockerfile_in, endpoint, gather, of_solve};
use crate::frontend::{self, links, outputs};
use crate::grpc::{Code, Status};
use crate::pb::control::{SolveRequest, SolveResponse};
use crate::pb::source::Range;
use crate::session::Session;

/// `Solve`
///
/// # Errors
/// Why the build failed, with what clients print.
pub(crate) async fn solve(shared: &Arc<Shared>, request: SolveRequest) -> Result<SolveResponse, Status> {
    // Before it is looked at, so that who asks for the status of one that is refused doesn't wait for it.
    let running = shared.builds.begin(request, None)?;
    solve_begun(shared, running).await
}

/// The same for one that is known already.
///
/// # Errors
/// As [`solve`].
pub(crate) async fn solve_begun(shared: &Arc<Shared>, mut running: Running) -> Result<SolveResponse, Status> {
    check(&running.build.request)?;
    let denied = shared.builder.check(&running.build.request.entitlements);
    denied.map_err(|error| Status::unknown(error.to_string()))?;
    let record = shared.history.begin(&running.build);
    let began = SystemTime::now();
    let outcome = if running.build.request.frontend.is_empty() {
        driven(shared, &mut running).await
    } else {
        match Attributes::read(&running.build.request.frontend_attrs) {
            Ok(mut attributes) => {
                attributes.inputs.clone_from(&running.build.request.frontend_inputs);
                need_others(shared, &running.build, &attributes);
                if running.build.files().is_some() {
                    (attributes.context, attributes.dockerfile) = (Files::Posted, None);
                }
                build(shared, &running.build, &attributes, None).await
            }
            Err(status) => Err(status),
        }
    };
    tracing::debug!(reference = running.build.request.reference, took = ?began.elapsed().unwrap_or_default(), "solved");
    record.end(&outcome, running.build.provenance.get().map_or(&[], Vec::as_slice));
    if outcome.is_ok() {
        running.build.is_unneeded().await;
    }
    Ok(SolveResponse { exporter_response: outcome? })
}

/// Keeps the clients of the builds that one is built on, until it ends.
pub(crate) fn need_others(shared: &Shared, build: &Build, attributes: &Attributes) {
    let others = attributes.inputs.values().filter_map(links::reference);
    for other in others.filter_map(|reference| shared.builds.of_result(&reference)) {
        build.need(&other);
    }
}

/// What can't be solved at all.
fn check(request: &SolveRequest) -> Result<(), Status> {
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(no_graphs());
    }
    // Nobody would ever say what is to be built instead.
    if request.frontend.is_empty() && request.definition.is_some() {
        return Err(Status::invalid("the graph of what is to be built is empty"));
    }
    if request.source_policy.is_some() {
        return Err(Status::unimplemented("source policies aren't applied here: build without one"));
    }
    match request.frontend.is_empty() {
        true => Ok(()),
        false => frontend::check(&request.frontend, &request.frontend_attrs),
    }
}

/// What clients are told that bring a graph of their own.
pub(crate) fn no_graphs() -> Status {
    Status::unimplemented("minke builds Dockerfiles (the frontend dockerfile.v0) and solves no LLB graphs")
}

/// A build that its client drives.
async fn driven(shared: &Arc<Shared>, running: &mut Running) -> Result<BTreeMap<String, String>, Status> {
    let gone = |_| Status::new(Code::Canceled, "the client left its build");
    let outcome = (&mut running.returned).await.map_err(gone)??;
    match outcome.reference.filter(|reference| !reference.id.is_empty()) {
        Some(reference) => {
            let attributes = running.build.result(&reference.id)?;
            build(shared, &running.build, &attributes, None).await
        }
        // An answer to a question, or nothing at all.
        None => Ok(BTreeMap::new()),
    }
}

/// Builds, with the solve's outputs or with others.
///
/// # Errors
/// Why it failed.
pub(crate) async fn build(
    shared: &Arc<Shared>,
    build: &Arc<Build>,
    attributes: &Attributes,
    instead: Option<Vec<Output>>,
) -> Result<BTreeMap<String, String>, Status> {
    let is_its_own = instead.is_none();
    let result = run(shared, build, attributes, instead, false).await?;
    let mut result = result.map_err(|error| failure::status(&error, &build.feed))?;
    if is_its_own {
        // A solve has one result.
        let _ = build.provenance.set(std::mem::take(&mut result.provenance));
    }
    Ok(response(build, result))
}

/// Only looks at it: what the lints find is told, and what is wrong comes back, with its lines.
///
/// # Errors
/// Why it can't be looked at.
pub(crate) async fn look(
    shared: &Arc<Shared>,
    build: &Arc<Build>,
    attributes: &Attributes,
) -> Result<Result<(), (String, Vec<Range>)>, Status> {
    let looked = run(shared, build, attributes, Some(vec![outputs::cache_only()]), true).await?;
    match looked {
        Ok(_) => Ok(Ok(())),
        Err(error) if matches!(error.root(), BuildError::Cancelled) => {
            Err(failure::status(&error, &build.feed))
        }
        Err(error) => Ok(Err(failure::words(&error))),
    }
}

async fn run(
    shared: &Arc<Shared>,
    build: &Arc<Build>,
    attributes: &Attributes,
    instead: Option<Vec<Output>>,
    check_only: bool,
) -> Result<Result<BuildResult, BuildError>, Status> {
    let session = shared.sessions.get(&build.request.session).await?;
    let links = AtomicUsize::new(0);
    let (mut request, client) = gather(&sources(shared, build, &session, &links), attributes).await?;
    if let Some(text) = &request.dockerfile_text {
        // What is wrong in it the builder says.
        let (parsed, _) = minke_dockerfile::parse_partly(&request.dockerfile, text);
        let argument = request.args.get("BUILDKIT_SYNTAX").cloned().flatten();
        match (argument, parsed.directives.syntax) {
            (Some(syntax), _) => frontend::check_syntax(&syntax)?,
            (None, Some(syntax)) => frontend::check_syntax(&syntax.value)
                .map_err(|status| failure::on_line(status, syntax.line, &build.feed))?,
            (None, None) => {}
        }
    }
    request.outputs = match instead {
        Some(outputs) => outputs,
        None => outputs::read(&build.request, &session, &build.feed)?,
    };
    let exports = build.request.cache.iter().flat_map(|cache| cache.exports.iter().cloned());
    request.cache_to = exports.map(endpoint).collect();
    of_solve(&mut request, &build.request);
    request.invocation.id.clone_from(&build.request.reference);
    request.check_only = check_only;
    Ok(shared.builder.build(request, client).await)
}

fn sources<'a>(
    shared: &'a Shared,
    build: &'a Build,
    session: &'a Arc<Session>,
    links: &'a AtomicUsize,
) -> Sources<'a> {
    Sources {
        sessions: &shared.sessions,
        session,
        slots: &shared.slots,
        feed: &build.feed,
        posted: build.files(),
        builder: &*shared.builder,
        builds: &shared.builds,
        links,
    }
}

/// The Dockerfile, read and nothing more, or what is wrong in it.
///
/// # Errors
/// When it isn't there.
pub(crate) async fn dockerfile(
    shared: &Shared,
    build: &Build,
    attributes: &Attributes,
) -> Result<Result<Dockerfile, Diagnostic>, Status> {
    let session = shared.sessions.get(&build.request.session).await?;
    let links = AtomicUsize::new(0);
    let (request, client) = gather(&sources(shared, build, &session, &links), attributes).await?;
    let text = match (request.dockerfile_text, client.context) {
        (Some(text), _) => text,
        (None, Some(context)) => dockerfile_in(context.as_ref(), &request.dockerfile).await?,
        (None, None) => return Err(Status::unknown(format!("there is no {}", request.dockerfile))),
    };
    Ok(minke_dockerfile::parse(&request.dockerfile, &text))
}

/// What the client is told of the result.
fn response(build: &Build, result: BuildResult) -> BTreeMap<String, String> {
    let mut response = result.exporter_response;
    if let Some(image) = result.image {
        if !result.is_index {
            response.entry("containerimage.config.digest".to_owned()).or_insert_with(|| image.clone());
        }
        // Docker's image store names images by their configuration, and clients take this for the name; an index has a name of
        // its own.
        let is_pushed = outputs::exporters(&build.request).iter().any(|exporter| {
            exporter.kind != "moby" || exporter.attrs.get("push").is_some_and(|push| push == "true")
        });
        if !is_pushed && !result.is_index {
            response.insert("containerimage.digest".to_owned(), image);
        } else if let Some(manifest) = result.manifest {
            response.entry("containerimage.digest".to_owned()).or_insert(manifest);
        }
    }
    if !result.names.is_empty() {
        response.entry("image.name".to_owned()).or_insert_with(|| result.names.join(","));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::source::Definition;

    #[test]
    fn graphs_and_policies_are_refused() {
        let refused = [
            SolveRequest {
                definition: Some(Definition { def: vec!["x".into()], ..Definition::default() }),
                ..SolveRequest::default()
            },
            SolveRequest { source_policy: Some(crate::pb::Empty {}), ..SolveRequest::default() },
            SolveRequest { frontend: "other".into(), ..SolveRequest::default() },
        ];
        for request in refused {
            assert!(check(&request).is_err(), "{request:?}");
        }
        assert!(check(&SolveRequest::default()).is_ok());
    }
}
