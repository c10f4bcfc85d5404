//! What both command lines ask of an engine for the same words: commands that no engine of a test has a use for.

use std::collections::BTreeMap;

use minke_testkit::{Cli, Run, docker_cli, program};
use serde_json::Value;

use crate::engine::{Answer, Asked, Scripted};

/// A plugin as an engine lists it.
const SAMPLE: &str = r#"[{"Id": "69553ca1d456fcc0ed4a1e3f25d12c9f", "Name": "sample:1", "Enabled": true,
    "Config": {"Description": "A sample"}}]"#;

fn answer(asked: &Asked) -> Answer {
    let (status, body) = match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/networks/create") => (201, r#"{"Id": "0123456789abcdef", "Warning": ""}"#),
        ("POST", target) if target.starts_with("/networks/prune") => {
            (200, r#"{"NetworksDeleted": ["one", "two"]}"#)
        }
        ("GET", target) if target.starts_with("/plugins") => (200, SAMPLE),
        ("GET", _) => (200, "{}"),
        (_, target) if target.contains("prune") => (200, "{}"),
        _ => (200, ""),
    };
    (status, body.to_owned())
}

/// What is asked to change something, and what is printed then.
fn asked(cli: Cli, line: &str) -> (Vec<(String, String, Value)>, String) {
    let engine = Scripted::start("1.45", answer);
    let program = match cli {
        Cli::Docker => docker_cli(),
        Cli::Minke => program("minke"),
    };
    let aimed = Run::new(program, line.split_whitespace()).env("DOCKER_HOST", engine.host());
    let ran =
        aimed.env("DOCKER_CONFIG", engine.path("config")).env_remove("DOCKER_CONTEXT").run().expect_code(0);
    // What is only looked up is each one's own matter.
    let all = engine
        .asked()
        .into_iter()
        .filter(|asked| asked.method != "GET" || asked.target.starts_with("/plugins"));
    let told = all.map(|asked| {
        // docker says that no build cache is to be kept, and that nothing is filtered, even where nobody asked.
        let parts = asked.target.split(['?', '&']);
        let parts = parts.filter(|part| !matches!(*part, "keep-storage=0" | "filters="));
        let mut parts: Vec<String> = parts.map(part).collect();
        parts[1..].sort_unstable();
        (asked.method.clone(), parts.join("&"), said(&asked.body))
    });
    (told.collect(), ran.stdout)
}

/// A path or a parameter of it; filters, which docker sends as sets of names, as lists.
fn part(text: &str) -> String {
    let Some(filters) = text.strip_prefix("filters=") else { return text.to_owned() };
    let filters: BTreeMap<String, Value> = serde_json::from_str(&decoded(filters)).unwrap();
    let filters = filters.into_iter().map(|(name, values)| match values {
        Value::Object(set) => (name, set.into_iter().map(|(value, _)| Value::String(value)).collect()),
        list => (name, list),
    });
    format!("filters={:?}", filters.collect::<BTreeMap<String, Value>>())
}

/// Without percent signs, RFC 3986, 2.1.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        out.push(u8::from_str_radix(code, 16).unwrap().into());
        out.push_str(rest);
    }
    out
}

/// A body without what means nothing: zero values, and what versions of the API before 1.44 wanted.
fn said(body: &Value) -> Value {
    let means_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    };
    match body {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "CheckDuplicate")
            .map(|(name, value)| (name.clone(), said(value)))
            .filter(|(_, value)| !means_nothing(value))
            .collect(),
        Value::Array(items) => {
            // docker's map of subnets has no order.
            let mut items: Vec<Value> = items.iter().map(said).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

#[test]
fn networks_and_plugins_are_asked_for_in_the_same_words() {
    for line in [
        "network create net",
        "network create -d macvlan --subnet 10.1.0.0/16 --subnet fd00::/64 --ip-range 10.1.5.0/24 --gateway 10.1.5.254 \
         --aux-address a=10.1.5.5 --ipv6 --internal --attachable -o x=y --label k=v --ipam-opt a=b --scope local net",
        "network connect --ip 10.1.0.9 --ip6 fd00::9 --alias db --link other:o --driver-opt a=b net box",
        "network connect net box",
        "network disconnect -f net box",
        "network rm one two",
        "network prune -f --filter label=x",
        "plugin ls -f enabled=true",
        "plugin ls -q --no-trunc",
        "plugin enable --timeout 5 sample:1",
        "plugin disable -f sample:1",
        "plugin rm -f sample:1",
        "plugin set sample:1 a=b c=d",
        "system prune -f",
        "system prune -af",
        "system prune -f --volumes",
    ] {
        assert_eq!(asked(Cli::Minke, line), asked(Cli::Docker, line), "{line}");
    }
}

#[rstest::rstest]
fn every_request_carries_the_headers_of_the_configuration(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let engine = Scripted::start("1.45", |asked| match asked.target.as_str() {
        target if target.ends_with("/attach?stderr=1&stdout=1&stream=1") => (404, "{}".to_owned()),
        _ => (200, r#"{"Id": "x", "State": {"Running": true}, "Config": {}}"#.to_owned()),
    });
    engine.configure(&serde_json::json!({ "HttpHeaders": { "X-Team": "blue", "Host": "elsewhere" } }));
    let _ = engine.cli_run(cli, ["stop", "x"]).run();
    let _ = engine.cli_run(cli, ["attach", "--no-stdin", "x"]).run();
    let asked = engine.asked();
    assert!(asked.iter().any(|asked| asked.target.contains("/attach")), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.team.as_deref() == Some("blue")), "{asked:?}");
}
