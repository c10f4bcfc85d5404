//! `docker build --check`: what the lints found, as the frontend answers the question `frontend.lint`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pb::control::VertexWarning;
use crate::pb::source::{Range, SourceInfo};

/// The version of the answer's shape.
const VERSION: &str = "1.0.0";

/// The answer's metadata: `result.json`, which clients print, and whether there was anything.
pub(crate) fn answer(
    warnings: &[VertexWarning],
    source: Option<&SourceInfo>,
    failure: Option<(&str, &[Range])>,
) -> BTreeMap<String, Vec<u8>> {
    let sources: Vec<Value> = source.map(source_json).into_iter().collect();
    let mut result =
        json!({ "warnings": warnings.iter().map(warning_json).collect::<Vec<_>>(), "sources": sources });
    if let Some((message, ranges)) = failure {
        result["buildError"] = json!({ "message": message, "location": { "ranges": ranges_json(ranges) } });
    }
    let found = !warnings.is_empty() || failure.is_some();
    BTreeMap::from([
        ("result.json".to_owned(), format!("{result:#}").into_bytes()),
        ("result.txt".to_owned(), text(warnings, failure).into_bytes()),
        ("result.statuscode".to_owned(), if found { b"1".to_vec() } else { b"0".to_vec() }),
        ("version".to_owned(), VERSION.as_bytes().to_vec()),
    ])
}

fn warning_json(warning: &VertexWarning) -> Value {
    let short = String::from_utf8_lossy(&warning.short);
    // `Rule: what it found (line 3)`
    let (rule, found) = short.split_once(": ").unwrap_or((&short, ""));
    let found = found.rsplit_once(" (line ").map_or(found, |(found, _)| found);
    let description: Vec<_> = warning.detail.iter().map(|line| String::from_utf8_lossy(line)).collect();
    json!({
        "ruleName": rule,
        "description": description.join("\n"),
        "url": warning.url,
        "detail": found,
        "location": { "ranges": ranges_json(&warning.ranges) },
    })
}

pub(crate) fn source_json(source: &SourceInfo) -> Value {
    json!({
        "filename": source.filename,
        "language": source.language,
        "data": STANDARD.encode(&source.data),
        // How the file was got; clients look whether it is there.
        "definition": {},
    })
}

pub(crate) fn ranges_json(ranges: &[Range]) -> Value {
    let position = |position: Option<crate::pb::source::Position>| {
        let position = position.unwrap_or_default();
        json!({ "line": position.line, "character": position.character })
    };
    ranges.iter().map(|range| json!({ "start": position(range.start), "end": position(range.end) })).collect()
}

fn text(warnings: &[VertexWarning], failure: Option<(&str, &[Range])>) -> String {
    let mut out = String::new();
    for warning in warnings {
        out += &format!("WARNING: {}\n", String::from_utf8_lossy(&warning.short));
    }
    if let Some((message, _)) = failure {
        out += &format!("ERROR: {message}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_becomes_what_clients_print() {
        let warning = VertexWarning {
            short: "StageNameCasing: Stage name 'A' should be lowercase (line 1)".into(),
            detail: vec!["Stage names should be lowercase".into()],
            url: "https://example.com/".into(),
            ranges: vec![Range::lines(1, 1)],
            ..VertexWarning::default()
        };
        let source =
            SourceInfo { filename: "Dockerfile".into(), data: "FROM a AS A".into(), ..SourceInfo::default() };
        let answer = answer(&[warning], Some(&source), None);
        let json: Value = serde_json::from_slice(&answer["result.json"]).unwrap();
        assert_eq!(json["warnings"][0]["ruleName"], "StageNameCasing");
        assert_eq!(json["warnings"][0]["detail"], "Stage name 'A' should be lowercase");
        assert_eq!(json["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
        assert_eq!(json["sources"][0]["data"], STANDARD.encode("FROM a AS A"));
        assert_eq!(answer["result.statuscode"], b"1");
    }
}
