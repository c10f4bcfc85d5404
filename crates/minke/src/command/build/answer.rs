//! What is printed of the answer to a question about a build (`--call`, `--check`).

use std::{collections::BTreeMap, fmt::Write as _};

use minke_build_client::words::Question;
use serde_json::Value;

use crate::{failure::Failure, output};

/// Prints an answer. Where lints found something, the command fails.
pub(super) fn print(question: &Question, answer: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
    let text = |key: &str| answer.get(key).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let json = text("result.json").unwrap_or_default();
    if question.is_json {
        output::line(&json)?;
    } else {
        let value: Value = serde_json::from_str(&json).unwrap_or_default();
        output::print(&match &*question.name {
            "lint" => lint(&value),
            "outline" => outline(&value),
            "targets" => targets(&value),
            _ => text("result.txt").unwrap_or_default(),
        })?;
    }
    let found = text("result.statuscode").is_some_and(|code| code != "0")
        || question.name == "lint" && json.contains("\"ruleName\"");
    if found && !question.ignores_status { Err(Failure::exit(1)) } else { Ok(()) }
}

fn of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn lint(value: &Value) -> String {
    let mut text = String::new();
    let file = value["sources"][0]["filename"].as_str().unwrap_or("Dockerfile");
    let line = |location: &Value| location["ranges"][0]["start"]["line"].as_i64().unwrap_or(0);
    for warning in list(value, "warnings") {
        let _ = writeln!(text, "WARNING: {} - {}", of(warning, "ruleName"), of(warning, "url"));
        let _ = writeln!(text, "{}\n{file}:{}\n", of(warning, "detail"), line(&warning["location"]));
    }
    let error = &value["buildError"];
    if let Some(message) = error["message"].as_str() {
        let _ = writeln!(text, "ERROR: {message}\n{file}:{}\n", line(&error["location"]));
    }
    let summary = match list(value, "warnings").count() {
        0 if text.is_empty() => "Check complete, no warnings found.".to_owned(),
        0 => return text,
        1 => "Check complete, 1 warning has been found!".to_owned(),
        count => format!("Check complete, {count} warnings have been found!"),
    };
    format!("{summary}\n{}{text}", if text.is_empty() { "" } else { "\n" })
}

fn outline(value: &Value) -> String {
    let name = if of(value, "name").is_empty() { "(default)" } else { of(value, "name") };
    let mut head = vec![["TARGET:".to_owned(), name.to_owned()]];
    if !of(value, "description").is_empty() {
        head.push(["DESCRIPTION:".to_owned(), of(value, "description").to_owned()]);
    }
    let required = |item: &Value| if item["required"] == true { "true" } else { "" }.to_owned();
    let mut tables = vec![aligned(head)];
    let args: Vec<_> = list(value, "args")
        .map(|item| [of(item, "name"), of(item, "value"), of(item, "description")].map(str::to_owned))
        .collect();
    if !args.is_empty() {
        let title = ["BUILD ARG", "VALUE", "DESCRIPTION"].map(str::to_owned);
        tables.push(aligned([title].into_iter().chain(args)));
    }
    for (key, title) in [("secrets", "SECRET"), ("ssh", "SSH")] {
        let items: Vec<_> =
            list(value, key).map(|item| [of(item, "name").to_owned(), required(item)]).collect();
        if !items.is_empty() {
            tables.push(aligned([[title.to_owned(), "REQUIRED".to_owned()]].into_iter().chain(items)));
        }
    }
    tables.join("\n")
}

fn targets(value: &Value) -> String {
    let target = |item: &Value| {
        let name = of(item, "name");
        let name = match (item["default"] == true, name) {
            (true, "") => "(default)".to_owned(),
            (true, name) => format!("{name} (default)"),
            (false, name) => name.to_owned(),
        };
        [name, of(item, "description").to_owned()]
    };
    let title = ["TARGET", "DESCRIPTION"].map(str::to_owned);
    aligned([title].into_iter().chain(list(value, "targets").map(target)))
}

/// Rows whose columns begin below each other.
fn aligned<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}    "));
        let _ = writeln!(text, "{}", cells.collect::<String>().trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lints_are_counted_and_placed() {
        assert_eq!(lint(&json!({ "warnings": [] })), "Check complete, no warnings found.\n");
        let warning = json!({
            "ruleName": "Rule", "url": "https://x/", "detail": "what",
            "location": { "ranges": [{ "start": { "line": 3 } }] },
        });
        assert_eq!(
            lint(&json!({ "warnings": [warning], "sources": [{ "filename": "D" }] })),
            "Check complete, 1 warning has been found!\n\nWARNING: Rule - https://x/\nwhat\nD:3\n\n"
        );
    }

    #[test]
    fn an_outline_and_targets_are_tables() {
        let shown = outline(&json!({
            "name": "build",
            "args": [{ "name": "LEVEL", "value": "3" }],
            "secrets": [{ "name": "key", "required": true }],
        }));
        assert_eq!(
            shown,
            "TARGET:    build\n\nBUILD ARG    VALUE    DESCRIPTION\nLEVEL        3\n\nSECRET    REQUIRED\nkey       true\n"
        );
        let shown =
            targets(&json!({ "targets": [{ "name": "a", "description": "it" }, { "default": true }] }));
        assert_eq!(shown, "TARGET       DESCRIPTION\na            it\n(default)\n");
    }
}
