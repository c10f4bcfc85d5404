//! A failed build as a client is told of it: the text, and where in the Dockerfile it went wrong.

use minke_build::BuildError;
use minke_dockerfile::Diagnostic;
use minke_model::chain;
use serde_json::json;

use crate::frontend::lint::{ranges_json, source_json};
use crate::grpc::{Code, Detail, Status};
use crate::pb::source::Range;
use crate::progress::Feed;

/// The most bytes of a Dockerfile that go into an error: it travels in a header.
const SOURCE_LIMIT: usize = 4 * 1024;
/// The most lines that are marked in one.
const MOST_LINES: usize = 100;

/// The status of a build's error.
pub(crate) fn status(error: &BuildError, feed: &Feed) -> Status {
    let code = match error.root() {
        // Clients print the excerpt themselves.
        BuildError::Dockerfile(diagnostic) => return wrong(diagnostic, feed),
        BuildError::Cancelled => Code::Canceled,
        _ => Code::Unknown,
    };
    let status = Status::new(code, chain(error));
    let vertex = feed.failed().map(|digest| detail("Vertex", &json!({ "digest": digest })));
    let lines = single_lines(error.lines());
    let source = Some(lines).filter(|lines| !lines.is_empty()).and_then(|lines| source(feed, &lines));
    status.with(vertex.into_iter().chain(source))
}

/// What is wrong, and the lines that this is about.
pub(crate) fn words(error: &BuildError) -> (String, Vec<Range>) {
    match error.root() {
        BuildError::Dockerfile(diagnostic) => (diagnostic.message.clone(), ranges(diagnostic)),
        _ => (chain(error), single_lines(error.lines())),
    }
}

/// Each line by itself, as clients mark them.
fn single_lines(ranges: Vec<(u32, u32)>) -> Vec<Range> {
    let lines = ranges.into_iter().flat_map(|(first, last)| first..=last.max(first));
    lines.take(MOST_LINES).map(|line| Range::lines(line, line)).collect()
}

/// The status of a Dockerfile that can't be read.
pub(crate) fn wrong(diagnostic: &Diagnostic, feed: &Feed) -> Status {
    Status::unknown(diagnostic.to_string()).with(source(feed, &ranges(diagnostic)))
}

/// The status of something that stands on one line of the Dockerfile.
pub(crate) fn on_line(status: Status, line: u32, feed: &Feed) -> Status {
    status.with(source(feed, &[Range::lines(line, line)]))
}

/// The lines that a diagnostic is about.
pub(crate) fn ranges(diagnostic: &Diagnostic) -> Vec<Range> {
    single_lines(diagnostic.lines.iter().map(|lines| (lines.first, lines.last)).collect())
}

fn source(feed: &Feed, ranges: &[Range]) -> Option<Detail> {
    let source = feed.source().filter(|source| source.data.len() <= SOURCE_LIMIT)?;
    Some(detail("Source", &json!({ "info": source_json(&source), "ranges": ranges_json(ranges) })))
}

pub(crate) fn detail(kind: &str, value: &serde_json::Value) -> Detail {
    Detail { kind: format!("github.com/moby/buildkit/errdefs.{kind}+json"), json: value.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_names_its_lines_and_its_vertex() {
        let feed = Feed::default();
        feed.set_source("Dockerfile", "FROM a\nRUN false".into());
        feed.step("[2/2] RUN false").failed("no");
        let error = BuildError::Step {
            message: "process failed".into(),
            command: "false".into(),
            code: 1,
            lines: Some((2, 2)),
        };
        let status = status(&error, &feed);
        assert_eq!((status.code, &*status.message), (Code::Unknown, "process failed"));
        let kinds: Vec<_> =
            status.details.iter().map(|detail| detail.kind.rsplit('.').next().unwrap()).collect();
        assert_eq!(kinds, ["Vertex+json", "Source+json"]);
        let json: serde_json::Value = serde_json::from_slice(&status.details[1].json).unwrap();
        assert_eq!(json["ranges"][0]["start"]["line"], 2);
        assert_eq!(json["info"]["filename"], "Dockerfile");
    }
}
