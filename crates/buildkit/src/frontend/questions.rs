//! What a Dockerfile offers: its stages (`docker build --call=targets`), and what one of them takes (`--call=outline`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minke_dockerfile::ast::{Dockerfile, Lines};
use minke_dockerfile::outline::{Outline, Taken};
use serde_json::{Value, json};

use super::lint::ranges_json;
use crate::pb::source::Range;

/// The version of the answers' shapes.
const VERSION: &str = "1.0.0";

/// What can be asked about a Dockerfile, for those who ask what can.
pub(crate) fn questions() -> BTreeMap<String, Vec<u8>> {
    let request = |name: &str, description: &str, options: Value, results: &[&str]| {
        let results: Vec<_> = results.iter().map(|name| json!({ "name": name, "description": "" })).collect();
        json!({
            "name": name, "version": VERSION, "type": "rpc", "description": description,
            "opts": options, "inputs": null, "metadata": results, "refs": null,
        })
    };
    let target = json!([{ "name": "target", "description": "The stage that is looked at" }]);
    let shown = ["result.json", "result.txt"];
    let all = [
        request("frontend.outline", "List what a target takes", target, &shown),
        request("frontend.targets", "List the targets", json!([]), &shown),
        request(
            "frontend.lint",
            "Check the Dockerfile",
            json!([]),
            &[&shown[..], &["result.statuscode"]].concat(),
        ),
        request("frontend.subrequests.describe", "List what can be asked", json!([]), &shown),
    ];
    let lines = all.iter().map(|request| {
        let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
        let name = text("name").trim_start_matches("frontend.").to_owned();
        format!("{name:<21}{:<8}{}\n", text("version"), text("description"))
    });
    let text = format!("{:<21}{:<8}DESCRIPTION\n{}", "NAME", "VERSION", lines.collect::<String>());
    answer(&json!(all), text)
}

/// `frontend.targets`
pub(crate) fn targets(dockerfile: &Dockerfile) -> BTreeMap<String, Vec<u8>> {
    let last = dockerfile.stages.len().saturating_sub(1);
    let targets = dockerfile.stages.iter().enumerate().map(|(number, stage)| {
        compact(json!({
            "name": stage.name,
            "default": if number == last { Some(true) } else { None },
            "description": stage.description,
            "base": stage.base,
            "platform": stage.platform,
            "location": location(stage.lines),
        }))
    });
    let targets: Vec<Value> = targets.collect();
    let text = targets.iter().map(|target| {
        let mark = if target["default"] == true { " (default)" } else { "" };
        format!(
            "{}{mark}\t{}\n",
            target["name"].as_str().unwrap_or_default(),
            target["description"].as_str().unwrap_or_default()
        )
    });
    let text = format!("TARGET\tDESCRIPTION\n{}", text.collect::<String>());
    answer(&json!({ "targets": targets, "sources": sources(dockerfile) }), text)
}

/// `frontend.outline`
pub(crate) fn outline(dockerfile: &Dockerfile, outline: &Outline<'_>) -> BTreeMap<String, Vec<u8>> {
    let listed = |all: &[Taken]| {
        let one = |taken: &Taken| {
            compact(json!({
                "name": taken.name,
                "description": taken.description,
                "value": taken.value,
                "required": taken.is_required.then_some(true),
                "location": taken.lines.map(location),
            }))
        };
        all.iter().map(one).collect::<Value>()
    };
    let stage = outline.stage;
    let result = compact(json!({
        "name": stage.name,
        "description": stage.description,
        "args": listed(&outline.arguments),
        "secrets": listed(&outline.secrets),
        "ssh": listed(&outline.agents),
        "sources": sources(dockerfile),
    }));
    let text = format!("TARGET:\t{}\n", stage.name.as_deref().unwrap_or("(default)"));
    answer(&result, text)
}

fn location(lines: Lines) -> Value {
    json!({ "ranges": ranges_json(&[Range::lines(lines.first, lines.last)]) })
}

fn sources(dockerfile: &Dockerfile) -> Value {
    json!([STANDARD.encode(dockerfile.source.text.as_bytes())])
}

/// Without what is empty, as the clients' own encoder leaves it out.
fn compact(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null() && value != "" && value != &json!([]));
    }
    value
}

fn answer(result: &Value, text: String) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("result.json".to_owned(), format!("{result:#}").into_bytes()),
        ("result.txt".to_owned(), text.into_bytes()),
        ("version".to_owned(), VERSION.as_bytes().to_vec()),
    ])
}

#[cfg(test)]
mod tests {
    use minke_dockerfile::plan::Options;
    use minke_model::Platform;

    use super::*;

    const TEXT: &str = "# BASE what to build upon\nARG BASE=alpine\n# build makes it\nFROM $BASE AS build\nARG LEVEL=\"3\"\n\
        RUN --mount=type=secret,id=key,required --mount=type=ssh make\nFROM scratch\nCOPY --from=build /a /\n\
        FROM scratch AS other\n";

    fn json(answer: &BTreeMap<String, Vec<u8>>) -> Value {
        serde_json::from_slice(&answer["result.json"]).unwrap()
    }

    fn dockerfile() -> Dockerfile {
        minke_dockerfile::parse("Dockerfile", TEXT.as_bytes()).unwrap()
    }

    #[test]
    fn what_can_be_asked_is_told() {
        let answer = questions();
        let asked = json(&answer);
        assert!(asked.as_array().unwrap().iter().any(|request| request["name"] == "frontend.lint"));
        let text = String::from_utf8(answer["result.txt"].clone()).unwrap();
        assert!(text.contains("\nsubrequests.describe 1.0.0   List what can be asked\n"), "{text}");
    }

    #[test]
    fn targets_are_the_stages() {
        let json = json(&targets(&dockerfile()));
        assert_eq!(
            (&json["targets"][0]["name"], &json["targets"][0]["description"]),
            (&"build".into(), &"makes it".into())
        );
        assert_eq!(json["targets"][1].get("name"), None);
        assert_eq!(json["targets"][2]["default"], true);
        assert_eq!(json["targets"][0]["location"]["ranges"][0]["start"]["line"], 4);
    }

    #[test]
    fn an_outline_names_what_a_stage_and_those_it_needs_take() {
        let dockerfile = dockerfile();
        let options = Options { target: Some("1".into()), ..Options::on(Platform::host()) };
        let taken = minke_dockerfile::outline::outline(&dockerfile, &options).unwrap();
        let shown = json(&outline(&dockerfile, &taken));
        let names: Vec<_> = shown["args"].as_array().unwrap().iter().map(|arg| &arg["name"]).collect();
        assert_eq!(names, ["BASE", "LEVEL"]);
        assert_eq!(shown["args"][0]["description"], "what to build upon");
        assert_eq!((&shown["args"][1]["value"], shown.get("name")), (&"3".into(), None));
        assert_eq!(shown["args"][1]["location"]["ranges"][0]["start"]["line"], 5);
        assert_eq!(
            (&shown["secrets"][0]["name"], &shown["secrets"][0]["required"]),
            (&"key".into(), &true.into())
        );
        assert_eq!(shown["ssh"][0]["name"], "default");
    }
}
