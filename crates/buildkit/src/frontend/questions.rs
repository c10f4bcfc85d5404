//! What a Dockerfile offers: its stages (`docker build --call=targets`), and what one of them takes (`--call=outline`).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minke_dockerfile::ast::{Argument, Dockerfile, Kind, Lines, Stage};
use minke_dockerfile::expand::Expander;
use serde_json::{Value, json};

use super::lint::ranges_json;
use crate::grpc::Status;
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

/// `frontend.outline`: the arguments, secrets and agents of a stage and of those that it needs.
///
/// # Errors
/// When there is no such stage.
pub(crate) fn outline(
    dockerfile: &Dockerfile,
    target: &str,
    given: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, Vec<u8>>, Status> {
    let stages = &dockerfile.stages;
    let number = match target {
        "" => stages.len().checked_sub(1),
        name => find(stages, name, stages.len()),
    };
    let number =
        number.ok_or_else(|| Status::unknown(format!("target stage {target:?} could not be found")))?;
    let mut found = Found {
        given,
        expander: Expander::new(dockerfile.directives.escape),
        values: BTreeMap::new(),
        args: BTreeMap::new(),
        secrets: BTreeMap::new(),
        agents: BTreeMap::new(),
    };
    found.all(dockerfile, number);
    let stage = &stages[number];
    let result = compact(json!({
        "name": stage.name,
        "description": stage.description,
        "args": found.listed(&found.args),
        "secrets": found.listed(&found.secrets),
        "ssh": found.listed(&found.agents),
        "sources": sources(dockerfile),
    }));
    let text = format!("TARGET:\t{}\n", stage.name.as_deref().unwrap_or("(default)"));
    Ok(answer(&result, text))
}

/// What was found on the way, by its first line and its name.
struct Found<'a> {
    /// The values that the build is given.
    given: &'a BTreeMap<String, Option<String>>,
    expander: Expander,
    /// Those that arguments have.
    values: BTreeMap<String, String>,
    args: BTreeMap<(u32, String), Value>,
    secrets: BTreeMap<(u32, String), Value>,
    agents: BTreeMap<(u32, String), Value>,
}

impl Found<'_> {
    fn listed(&self, what: &BTreeMap<(u32, String), Value>) -> Value {
        what.values().cloned().collect()
    }

    /// A stage and all that it needs, each once. There may be thousands on each other.
    fn all(&mut self, dockerfile: &Dockerfile, number: usize) {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![number];
        while let Some(number) = waiting.pop() {
            if seen.insert(number) {
                let needed = self.stage(dockerfile, number);
                waiting.extend(needed.iter().rev().filter_map(|name| find(&dockerfile.stages, name, number)));
            }
        }
    }

    /// One stage. Gives the names of what it needs.
    fn stage<'d>(&mut self, dockerfile: &'d Dockerfile, number: usize) -> Vec<&'d str> {
        let stage = &dockerfile.stages[number];
        let mut needed: Vec<&str> = vec![&stage.base];
        for global in &dockerfile.arguments {
            for argument in &global.arguments {
                let mark = [format!("${}", argument.name), format!("${{{}", argument.name)];
                if mark.iter().any(|mark| stage.base.contains(mark.as_str())) {
                    self.argument(argument, global.lines, None);
                }
            }
        }
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Arg(arguments) => {
                    for argument in arguments {
                        let mut globals =
                            dockerfile.arguments.iter().flat_map(|global| &global.arguments).rev();
                        let global = globals.find(|global| global.name == argument.name);
                        self.argument(argument, instruction.lines, global);
                    }
                }
                Kind::Copy(copy) => needed.extend(copy.from.as_deref()),
                Kind::Run(run) => {
                    for mount in &run.mounts {
                        needed.extend(mount.from.as_deref());
                        self.mount(&mount.text, instruction.lines);
                    }
                }
                _ => {}
            }
        }
        needed
    }

    fn argument(&mut self, argument: &Argument, lines: Lines, global: Option<&Argument>) {
        if self.args.keys().any(|(_, name)| *name == argument.name) {
            return;
        }
        let default = argument.default.as_deref().or_else(|| global?.default.as_deref());
        let given = self.given.get(&argument.name).cloned().flatten();
        let value = given.or_else(|| default.map(|default| self.expanded(default)));
        self.values.extend(value.clone().map(|value| (argument.name.clone(), value)));
        let value = compact(json!({
            "name": argument.name,
            "description": argument.description.as_ref().or_else(|| global?.description.as_ref()),
            "value": value,
            "location": location(lines),
        }));
        self.args.insert((lines.first, argument.name.clone()), value);
    }

    /// A word with its variables replaced, as far as they are known.
    fn expanded(&self, word: &str) -> String {
        self.expander.expand(word, &self.values).map_or_else(|_| word.to_owned(), |expanded| expanded.text)
    }

    fn mount(&mut self, text: &str, lines: Lines) {
        let text = self.expanded(text);
        let fields: BTreeMap<&str, &str> =
            text.split(',').map(|field| field.split_once('=').unwrap_or((field, "true"))).collect();
        let (list, default) = match fields.get("type") {
            Some(&"secret") => (&mut self.secrets, ""),
            Some(&"ssh") => (&mut self.agents, "default"),
            _ => return,
        };
        let target = fields.get("target").and_then(|target| target.rsplit('/').next());
        let name = fields.get("id").copied().or(target).unwrap_or(default).to_owned();
        let required = fields.get("required").is_some_and(|value| *value == "true").then_some(true);
        let value = compact(json!({ "name": name, "required": required, "location": location(lines) }));
        list.entry((lines.first, name)).or_insert(value);
    }
}

/// A stage before number `before`, by its name or its number.
fn find(stages: &[Stage], name: &str, before: usize) -> Option<usize> {
    let lower = name.to_lowercase();
    let named = stages[..before].iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
    named.or_else(|| name.parse().ok().filter(|number| *number < before))
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
        let shown = json(&outline(&dockerfile(), "1", &BTreeMap::new()).unwrap());
        let names: Vec<_> = shown["args"].as_array().unwrap().iter().map(|arg| &arg["name"]).collect();
        assert_eq!(names, ["BASE", "LEVEL"]);
        assert_eq!(shown["args"][1]["value"], "3");
        assert_eq!(
            (&shown["secrets"][0]["name"], &shown["secrets"][0]["required"]),
            (&"key".into(), &true.into())
        );
        assert_eq!(shown["ssh"][0]["name"], "default");
        let other = json(&outline(&dockerfile(), "", &BTreeMap::new()).unwrap());
        assert_eq!((&other["name"], other.get("args")), (&"other".into(), None));
        let given = BTreeMap::from([("LEVEL".to_owned(), Some("7".to_owned()))]);
        let text = "FROM scratch\nARG LEVEL=3\nARG NAME=n$LEVEL\nRUN --mount=type=secret,id=s-$NAME x\n";
        let file = minke_dockerfile::parse("Dockerfile", text.as_bytes()).unwrap();
        let shown = json(&outline(&file, "", &given).unwrap());
        assert_eq!((&shown["args"][0]["value"], &shown["args"][1]["value"]), (&"7".into(), &"n7".into()));
        assert_eq!(shown["secrets"][0]["name"], "s-n7");
        assert!(outline(&dockerfile(), "nothing", &BTreeMap::new()).is_err());
    }
}
