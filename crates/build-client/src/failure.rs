//! How a build failed: the engine's words, and the lines of the Dockerfile that they are about.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minke_buildkit_wire::grpc::{Code, Status};
use serde::Deserialize;

use crate::session::KeepError;

/// Lines of the Dockerfile around those that a failure is about.
const AROUND: usize = 4;

/// Why a build didn't come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine's connection is none of HTTP/2.
    #[error("speak BuildKit's API to the engine")]
    Handshake(#[source] hyper::Error),
    /// The build is done, and what it left in a folder of this host's has no name there.
    #[error("keep what was built")]
    Keep(#[from] KeepError),
    /// The build failed, or the engine refused it.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A build that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to solve: {message}")]
pub struct Failure {
    /// The engine's words.
    pub message: String,
    /// The digest of the vertex that failed; may be empty.
    pub vertex: String,
    /// Where in the Dockerfile.
    pub snippets: Vec<Snippet>,
    /// Whether somebody ended it.
    pub is_cancelled: bool,
}

/// Lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The file's name.
    pub name: String,
    /// All of its text.
    pub text: String,
    /// First and last lines, from 1.
    pub lines: Vec<(u32, u32)>,
}

/// `errdefs.Source`
#[derive(Deserialize)]
struct SourceDetail {
    #[serde(default)]
    info: Info,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Info {
    filename: String,
    data: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Position {
    line: u32,
}

/// `errdefs.Vertex`
#[derive(Deserialize)]
struct VertexDetail {
    digest: String,
}

impl Failure {
    /// The code with which the step's program ended, if that is why: the engine says it in words.
    pub fn exit_code(&self) -> Option<i32> {
        let (_, code) = self.message.rsplit_once("exit code: ")?;
        code.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().filter(|code| *code != 0)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let mut failure = Self {
            is_cancelled: status.code == Code::Canceled,
            message: status.message,
            vertex: String::new(),
            snippets: Vec::new(),
        };
        for detail in status.details {
            let kind = detail.kind.rsplit(['.', '/']).next().unwrap_or_default();
            match kind {
                "Source+json" => failure.snippets.extend(snippet(&detail.json)),
                "Vertex+json" => {
                    let vertex = serde_json::from_slice::<VertexDetail>(&detail.json);
                    failure.vertex = vertex.map(|vertex| vertex.digest).unwrap_or_default();
                }
                _ => {}
            }
        }
        failure
    }
}

fn snippet(json: &[u8]) -> Option<Snippet> {
    let detail: SourceDetail = serde_json::from_slice(json).ok()?;
    let text = BASE64_STANDARD.decode(detail.info.data).ok()?;
    let lines = |range: &Range| (range.start.line, range.end.line.max(range.start.line));
    Some(Snippet {
        name: detail.info.filename,
        text: String::from_utf8_lossy(&text).into_owned(),
        lines: detail.ranges.iter().map(lines).filter(|(first, _)| *first > 0).collect(),
    })
}

impl Snippet {
    /// The lines and some around them, each with its number and a mark if it is meant, as buildx shows them; empty without.
    pub fn shown(&self) -> String {
        let Some(first) = self.lines.iter().map(|(first, _)| *first as usize).min() else {
            return String::new();
        };
        let last = self.lines.iter().map(|(_, last)| *last as usize).max().unwrap_or(first);
        let all: Vec<&str> = self.text.lines().collect();
        if first > all.len() {
            return String::new();
        }
        let last = last.min(all.len());
        // Before and after get the same, and what one hasn't the other gets.
        let around = AROUND.saturating_sub(last - first);
        let from = first.saturating_sub(around.div_ceil(2)).max(1);
        let to = (last + around.div_ceil(2)).min(all.len());
        let is_meant = |number: usize| {
            self.lines.iter().any(|(first, last)| (*first as usize..=*last as usize).contains(&number))
        };
        let line = |number: usize| {
            let mark = if is_meant(number) { ">>>" } else { "   " };
            format!(" {number:3} | {mark} {}\n", all[number - 1])
        };
        let rule = "-".repeat(20);
        let lines: String = (from..=to).map(line).collect();
        format!("{}:{first}\n{rule}\n{lines}{rule}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use minke_buildkit_wire::grpc::Detail;

    use super::*;

    #[test]
    fn a_failure_knows_its_lines_and_its_vertex() {
        let detail = |kind: &str, json: String| Detail {
            kind: format!("github.com/moby/buildkit/errdefs.{kind}+json"),
            json: json.into(),
        };
        let data = BASE64_STANDARD.encode("FROM a\nRUN false\nRUN b\n");
        let source = format!(
            "{{\"info\":{{\"filename\":\"Dockerfile\",\"data\":\"{data}\"}},\"ranges\":[{{\"start\":{{\"line\":2}},\"end\":{{\"line\":2}}}}]}}"
        );
        let status = Status::unknown("it failed").with([
            detail("Vertex", "{\"digest\":\"sha256:a\"}".into()),
            detail("Source", source),
            detail("Source", "nonsense".into()),
        ]);
        let failure = Failure::from(status);
        assert_eq!((&*failure.vertex, failure.snippets.len()), ("sha256:a", 1));
        assert_eq!(failure.exit_code(), None);
        let ended = Failure {
            message: "process \"x\" did not complete successfully: exit code: 37".into(),
            ..failure.clone()
        };
        assert_eq!(ended.exit_code(), Some(37));
        let shown = failure.snippets[0].shown();
        assert_eq!(
            shown,
            "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN false\n   3 |     RUN b\n--------------------"
        );
    }

    #[test]
    fn lines_that_are_not_there_are_not_shown() {
        let snippet = Snippet { name: "D".into(), text: "one\n".into(), lines: vec![(9, u32::MAX)] };
        assert_eq!(snippet.shown(), "");
        let snippet = Snippet { lines: vec![(1, u32::MAX)], ..snippet };
        assert!(snippet.shown().contains(">>> one"));
        assert_eq!(Snippet::default().shown(), "");
    }
}
