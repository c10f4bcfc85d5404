//! `LLBBridge`: a client that drives its build asks for its parts.

mod look;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::Shared;
use crate::builds::Build;
use crate::control::{failure, solve, workers};
use crate::frontend::attributes::Attributes;
use crate::frontend::{self, inputs, links, lint, outputs, questions, sources};
use crate::grpc::{Reply, Request, Status};
use crate::pb::Empty;
use crate::pb::control::VertexWarning;
use crate::pb::gateway::{
    Cap, EvaluateRequest, InputsResponse, Outcome, PongResponse, Ref, ReturnRequest, SolveRequest,
    SolveResponse, WarnRequest,
};

/// Which build a call is part of.
const BUILD: &str = "buildkit-controlapi-buildid";

/// What of this API there is.
const CAPS: [&str; 15] = [
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "reference.output",
    "importcaches",
    "frontend.inputs",
    "frontend.caps",
    "gateway.solve.metadata",
    "gateway.solve.evaluate",
    "gateway.evaluate",
    "gateway.warnings",
    "readfile",
    "readdir",
    "statfile",
];
/// What of builds there is, as far as clients look before they ask.
const LLB_CAPS: [&str; 21] = [
    "constraints",
    "exporter.image.attestations",
    "exporter.multiple",
    "exporter.sourcedateepoch",
    "file.base",
    "meta.description",
    "platform",
    "source.git",
    "source.git.checksum",
    "source.git.fetchbycommit",
    "source.git.fullurl",
    "source.git.httpauth",
    "source.git.keepgitdir",
    "source.git.knownsshhosts",
    "source.git.mountsshsock",
    "source.git.mtime",
    "source.git.skipsubmodules",
    "source.git.subdir",
    "source.http",
    "source.image",
    "source.local",
];

/// Answers a call.
///
/// # Errors
/// For calls that aren't served, and those of unknown builds.
pub(crate) async fn call(shared: &Arc<Shared>, method: &str, mut request: Request) -> Result<Reply, Status> {
    let reference = request.headers.get(BUILD).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if reference.is_empty() {
        return Err(Status::invalid(format!("no build named: the header {BUILD} is missing")));
    }
    let build = shared.builds.get(reference).await.map_err(|status| status.context(method))?;
    let messages = &mut request.messages;
    match method {
        "Ping" => Ok(Reply::one(&PongResponse {
            frontend_caps: caps(&CAPS),
            llb_caps: caps(&LLB_CAPS),
            workers: vec![workers::record(&shared.engine)],
        })),
        "Solve" => {
            let outcome = solve_part(shared, &build, messages.only().await?).await?;
            Ok(Reply::one(&SolveResponse { result: Some(outcome) }))
        }
        "Return" => {
            let returned: ReturnRequest = messages.only().await?;
            build.end_driving(match returned.error {
                Some(error) => Err(Status::from_message(error)),
                None => Ok(returned.result.unwrap_or_default()),
            });
            Ok(Reply::one(&Empty {}))
        }
        "Evaluate" => {
            let EvaluateRequest { reference } = messages.only().await?;
            let attributes = build.result(&reference)?;
            solve::build(shared, &build, &attributes, Some(vec![outputs::cache_only()])).await?;
            Ok(Reply::one(&Empty {}))
        }
        "ReadFile" => Ok(Reply::one(&look::file(&build, messages.only().await?).await?)),
        "ReadDir" => Ok(Reply::one(&look::directory(&build, messages.only().await?).await?)),
        "StatFile" => Ok(Reply::one(&look::stat(&build, messages.only().await?).await?)),
        "Inputs" => Ok(Reply::one(&InputsResponse::default())),
        "Warn" => {
            warn(&build, messages.only().await?);
            Ok(Reply::one(&Empty {}))
        }
        other => Err(Status::unimplemented(format!("{other} isn't served here"))),
    }
}

fn caps(ids: &[&str]) -> Vec<Cap> {
    ids.iter().map(|id| Cap { id: (*id).to_owned(), enabled: true }).collect()
}

/// Keeps what is to be built, or answers a question about it.
async fn solve_part(
    shared: &Arc<Shared>,
    build: &Arc<Build>,
    request: SolveRequest,
) -> Result<Outcome, Status> {
    if let Some(definition) = request.definition.filter(|definition| !definition.def.is_empty()) {
        let source = sources::read(&definition).ok_or_else(solve::no_graphs)?;
        let session = shared.sessions.get(&build.request.session).await?;
        let source = shared.builder.source(&source, &inputs::client(&session, &build.feed));
        let source = source.map_err(|error| Status::invalid(error.to_string()))?;
        let id = build.keep_source(source)?;
        return Ok(Outcome { reference: Some(Ref { id, def: Some(definition) }), metadata: BTreeMap::new() });
    }
    if request.frontend.is_empty() {
        return Ok(Outcome::default());
    }
    frontend::check(&request.frontend, &request.frontend_opt)?;
    let mut attributes = Attributes::read(&request.frontend_opt)?;
    attributes.inputs = request.frontend_inputs;
    solve::need_others(shared, build, &attributes);
    if let Some(question) = attributes.question.clone() {
        return answer(shared, build, &attributes, &question).await;
    }
    if request.evaluate {
        solve::build(shared, build, &attributes, Some(vec![outputs::cache_only()])).await?;
    }
    let id = build.keep(attributes)?;
    let def = Some(links::definition(&id));
    Ok(Outcome { reference: Some(Ref { id, def }), metadata: BTreeMap::new() })
}

/// What is asked about a build instead of it.
async fn answer(
    shared: &Arc<Shared>,
    build: &Arc<Build>,
    attributes: &Attributes,
    question: &str,
) -> Result<Outcome, Status> {
    match question {
        "frontend.lint" => {
            build.feed.collect_warnings();
            let looked = solve::look(shared, build, attributes).await?;
            let failure = looked.as_ref().err().map(|(message, ranges)| (&**message, &**ranges));
            let metadata = lint::answer(&build.feed.warnings(), build.feed.source().as_ref(), failure);
            Ok(Outcome { reference: None, metadata })
        }
        "frontend.targets" | "frontend.outline" => {
            let dockerfile = solve::dockerfile(shared, build, attributes).await?;
            let dockerfile = dockerfile.map_err(|wrong| failure::wrong(&wrong, &build.feed))?;
            let metadata = match question {
                "frontend.targets" => questions::targets(&dockerfile),
                _ => {
                    let outline = minke_build::outline(&attributes.request, &dockerfile)
                        .map_err(|error| failure::status(&error, &build.feed))?;
                    questions::outline(&dockerfile, &outline)
                }
            };
            Ok(Outcome { reference: None, metadata })
        }
        "frontend.subrequests.describe" => Ok(Outcome { reference: None, metadata: questions::questions() }),
        other => Err(Status::unimplemented(format!("unsupported request {other}"))
            .with([failure::detail("Subrequest", &json!({ "name": other }))])),
    }
}

fn warn(build: &Build, warning: WarnRequest) {
    build.feed.warn(VertexWarning {
        vertex: warning.digest,
        level: warning.level,
        short: warning.short,
        detail: warning.detail,
        url: warning.url,
        ..VertexWarning::default()
    });
}
