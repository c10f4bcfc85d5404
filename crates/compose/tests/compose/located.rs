//! Which files a project is made of, and what it is called.

use std::path::PathBuf;

use minke_compose::load::{LoadError, Loaded, Request, normalize_name, project};

use crate::memory::{Memory, request};

const WEB: &str = "services: {web: {image: 'web:${TAG:-none}'}}\n";

fn load(files: &[(&str, &str)], change: impl FnOnce(&mut Request)) -> Result<Loaded, LoadError> {
    let mut request = request();
    change(&mut request);
    project(&request, &Memory::of(files))
}

fn loaded(files: &[(&str, &str)], change: impl FnOnce(&mut Request)) -> Loaded {
    load(files, change).expect("the files are right")
}

fn variable(request: &mut Request, name: &str, value: &str) {
    request.environment.insert(name.to_owned(), value.to_owned());
}

#[test]
fn the_usual_names_are_looked_for_in_this_folder_and_those_above() {
    let files = [
        ("docker-compose.yml", WEB),
        ("compose.yml", WEB),
        ("compose.override.yaml", "services: {web: {tty: true}}"),
    ];
    let loaded = loaded(&files, |request| request.working_dir = PathBuf::from("/srv/app/sub/deeper"));
    assert_eq!(loaded.project.compose_files, ["/srv/app/compose.yml", "/srv/app/compose.override.yaml"]);
    assert_eq!(loaded.project.working_dir, PathBuf::from("/srv/app"));
    assert_eq!(loaded.project.name, "app");
    assert!(loaded.project.services["web"].tty);
    assert!(loaded.warnings[0].contains("Found multiple config files"), "{:?}", loaded.warnings);
}

#[test]
fn files_that_are_named_have_no_override_beside_them() {
    let files = [("compose.yaml", WEB), ("compose.override.yaml", "services: {web: {tty: true}}")];
    let loaded = loaded(&files, |request| request.files = vec!["compose.yaml".to_owned()]);
    assert!(!loaded.project.services["web"].tty);
}

#[test]
fn variables_name_files_profiles_and_the_project() {
    let files = [
        ("a.yaml", "services: {a: {image: a}, p: {image: p, profiles: [x]}}"),
        ("b.yaml", "services: {b: {image: b}}"),
        (
            ".env",
            "COMPOSE_FILE=a.yaml,b.yaml\nCOMPOSE_PATH_SEPARATOR=,\nCOMPOSE_PROFILES=x, y\nCOMPOSE_PROJECT_NAME=named",
        ),
    ];
    let project = loaded(&files, |_| {}).project;
    assert_eq!(project.services.keys().collect::<Vec<_>>(), ["a", "b", "p"]);
    assert_eq!(project.profiles, ["x", "y"]);
    assert_eq!(project.name, "named");
}

#[test]
fn the_environment_wins_over_env_files_and_later_ones_over_earlier() {
    let files =
        [("compose.yaml", WEB), (".env", "TAG=usual"), ("one.env", "TAG=one"), ("two.env", "TAG=two")];
    let image = |change: &dyn Fn(&mut Request)| loaded(&files, change).project.services["web"].image.clone();
    let named = |request: &mut Request| request.env_files = vec!["one.env".to_owned(), "two.env".to_owned()];
    assert_eq!(image(&|_| {}), "web:usual");
    assert_eq!(image(&named), "web:two");
    assert_eq!(image(&|request| variable(request, "TAG", "process")), "web:process");
    assert_eq!(image(&|request| variable(request, "COMPOSE_ENV_FILES", "one.env")), "web:one");
    assert_eq!(image(&|request| variable(request, "COMPOSE_DISABLE_ENV_FILE", "true")), "web:none");
}

#[test]
fn the_standard_input_is_a_file_of_this_folder() {
    let files = [("-", "services: {web: {image: x, volumes: ['./d:/d']}}")];
    let project = loaded(&files, |request| request.files = vec!["-".to_owned()]).project;
    assert_eq!(project.compose_files, ["-"]);
    assert_eq!(project.services["web"].volumes[0].source, "/srv/app/d");
}

#[test]
fn keys_of_a_build_are_files_of_this_folder() {
    let files = [(
        "compose.yaml",
        "services: {web: {build: {context: ., ssh: [default, 'k=./a,../b,/c', 'home=~/d', 's=agent.sock']}}}",
    )];
    let project =
        loaded(&files, |request| request.environment.extend([("HOME".to_owned(), "/me".to_owned())])).project;
    let keys = &project.services["web"].build.as_ref().expect("it is built").ssh;
    let paths: Vec<_> = keys.iter().map(|key| (&*key.id, &*key.path)).collect();
    let expected =
        [("default", ""), ("home", "/me/d"), ("k", "/srv/app/a,/srv/b,/c"), ("s", "/srv/app/agent.sock")];
    assert_eq!(paths, expected);
}

#[test]
fn the_project_folder_moves_relative_paths_and_the_name() {
    let files = [("sub/compose.yaml", "services: {web: {image: x, volumes: ['./d:/d']}}")];
    let project = loaded(&files, |request| {
        request.files = vec!["sub/compose.yaml".to_owned()];
        request.project_directory = Some(PathBuf::from("other"));
    });
    assert_eq!(project.project.services["web"].volumes[0].source, "/srv/app/other/d");
    assert_eq!(project.project.name, "other");
}

#[test]
fn a_name_that_was_asked_for_must_be_a_name() {
    let error = load(&[("compose.yaml", WEB)], |request| request.project_name = Some("My App".to_owned()));
    assert!(
        error.unwrap_err().to_string().starts_with("invalid project name \"My App\": must consist only of")
    );
    assert_eq!(normalize_name("-_My App 2.0"), "myapp20");
}

#[test]
fn the_last_name_of_the_files_wins_and_may_have_variables() {
    let files = [
        ("a.yaml", "name: one\nservices: {}"),
        ("b.yaml", "name: ${N:-Two}!\nservices: {a: {image: '$COMPOSE_PROJECT_NAME'}}"),
    ];
    let project =
        loaded(&files, |request| request.files = vec!["a.yaml".to_owned(), "b.yaml".to_owned()]).project;
    assert_eq!((project.name.as_str(), project.services["a"].image.as_str()), ("two", "two"));
}

#[test]
fn a_variable_that_is_not_set_is_told_of_once() {
    let files = [("compose.yaml", "services: {a: {image: 'x$NONE', command: '$NONE $OTHER'}}")];
    let warnings = loaded(&files, |_| {}).warnings;
    assert_eq!(
        warnings,
        ["NONE", "OTHER"]
            .map(|name| format!("The {name:?} variable is not set. Defaulting to a blank string."))
            .to_vec()
    );
}

#[test]
fn a_secrets_value_is_kept_and_never_printed() {
    let files =
        [("compose.yaml", "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {environment: TOKEN}}")];
    let project = loaded(&files, |request| variable(request, "TOKEN", "hush")).project;
    assert_eq!(project.secrets["s"].content.as_deref(), Some("hush"));
    let printed = minke_compose::render::yaml(&project) + &minke_compose::render::json(&project);
    assert!(!printed.contains("hush"));
}
