//! Fuzzing of the loader: texts that are nearly Compose files, and JSON, which is YAML too, changed by its structure.

use minke_compose::{load::LoadError, render};
use minke_testkit::fuzz::{Input, REFUSED, Suite, Target, Verdict, broken, holds, one_line};

use crate::memory::Memory;

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target { name: "compose-json", input: Input::Json, tries: 600, begin: || Box::new(load) },
    Target { name: "compose-text", input: Input::Text, tries: 600, begin: || Box::new(load) },
    Target { name: "compose-env", input: Input::Text, tries: 2_000, begin: || Box::new(env) },
];

#[test]
fn no_document_breaks_the_loader() {
    SUITE.run("compose-json");
}

#[test]
fn no_text_breaks_the_loader() {
    SUITE.run("compose-text");
}

#[test]
fn no_env_file_breaks_the_loader() {
    SUITE.run("compose-env");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// What is taken can be printed, what is printed loads, and then it is the same; what is refused is told with its place.
fn load(input: &[u8]) -> Verdict {
    let mut files = Memory::of(&[("base.yaml", "services: {base: {image: base, environment: {A: b}}}\n")]);
    files.put("compose.yaml", input);
    let loaded = match files.load() {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    let first = render::yaml(&loaded.project);
    // What is empty isn't printed, and gets its default then.
    let second = again(&first)?;
    let third = again(&second)?;
    // docker compose doubles dollar signs in names too, which are not interpolated; so do we.
    let is_same = second == third || second.contains("$$$$");
    holds("what is printed is the same project", (&second, &third), is_same)?;
    loaded.project.services.values().map(render::service_hash).for_each(drop);
    Ok(format!("taken: {}", attributes(&first)))
}

/// The attributes that services have, by which one input is told from another.
fn attributes(printed: &str) -> String {
    let lines = printed.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names: std::collections::BTreeSet<&str> =
        lines.filter_map(|line| line.trim().split(':').next()).collect();
    names.into_iter().map(|name| name.get(..4).unwrap_or(name)).collect::<Vec<_>>().join(" ")
}

/// What is printed of what was printed.
fn again(printed: &str) -> Result<String, String> {
    let mut request = crate::memory::request();
    request.profiles = vec!["*".to_owned()];
    let loaded = minke_compose::load::project(&request, &Memory::of(&[("compose.yaml", printed)]));
    let loaded = loaded.map_err(|error| broken("what is printed loads", (error.to_string(), printed)))?;
    Ok(render::yaml(&loaded.project))
}

fn refused(error: &LoadError) -> Verdict {
    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
    if let LoadError::Invalid(invalid) = error {
        holds("an error has a place", &first, invalid.line > 0 && invalid.column > 0)?;
    }
    Ok(format!("{REFUSED}{}", one_line(first)?))
}

fn env(input: &[u8]) -> Verdict {
    let mut files = Memory::of(&[("compose.yaml", "services: {a: {image: x, env_file: .env}}\n")]);
    files.put(".env", input);
    match files.load() {
        Ok(loaded) => Ok(format!("taken: {} variables", loaded.project.services["a"].environment.len())),
        Err(error) => refused(&error),
    }
}
