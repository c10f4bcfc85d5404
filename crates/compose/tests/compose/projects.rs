//! Projects of this repository beside what docker compose 2.40.3 printed of them: YAML, JSON and hashes.
//!
//! A project is a folder of `tests/projects` with a file `args` where it wants any. `expected.yaml`, `expected.json` and
//! `hashes` are docker compose's own output for the same files in `/tmp/projects`, with no variable set but `HOME=/root`.

use std::{fs, path::PathBuf};

use minke_compose::{
    load::{Options, Request, project},
    model::Project,
    render,
};

use crate::memory::{PROJECTS, Projects};

/// The names of all projects.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(Projects::folder()).expect("the repository has its projects");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a folder can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Asks for a project as its `args` do.
pub(crate) fn request(name: &str, folder: PathBuf) -> Request {
    let mut request = Request { working_dir: folder, ..Request::default() };
    request.environment.insert("HOME".to_owned(), "/root".to_owned());
    let args = arguments(name);
    for pair in args.chunks(2) {
        match pair {
            [flag, value] if flag == "-f" => request.files.push(value.clone()),
            [flag, value] if flag == "-p" => request.project_name = Some(value.clone()),
            [flag, value] if flag == "--profile" => request.profiles.push(value.clone()),
            other => panic!("{name}: {other:?}"),
        }
    }
    request
}

/// The arguments that a project wants.
pub(crate) fn arguments(name: &str) -> Vec<String> {
    let args = fs::read_to_string(Projects::folder().join(name).join("args")).unwrap_or_default();
    args.split_whitespace().map(str::to_owned).collect()
}

fn loaded(name: &str, options: Options) -> Project {
    let request = Request { options, ..request(name, PathBuf::from(PROJECTS).join(name)) };
    let mut project = project(&request, &Projects).unwrap_or_else(|error| panic!("{name}: {error}")).project;
    project.drop_unused();
    project
}

fn expected(name: &str, file: &str) -> String {
    fs::read_to_string(Projects::folder().join(name).join(file)).expect("each project has its expected files")
}

#[test]
fn yaml_is_what_docker_compose_prints() {
    for name in names() {
        assert_eq!(
            render::yaml(&loaded(&name, Options::default())),
            expected(&name, "expected.yaml"),
            "{name}"
        );
    }
}

#[test]
fn json_is_what_docker_compose_prints() {
    for name in names() {
        let mut project = loaded(&name, Options::default());
        // docker compose leaves them out of JSON.
        project.models.clear();
        assert_eq!(render::json(&project), expected(&name, "expected.json"), "{name}");
    }
}

#[test]
fn hashes_are_those_of_docker_compose() {
    for name in names() {
        let options = Options { resolve_environment: false, ..Options::default() };
        let project = loaded(&name, options);
        let line = |(name, service)| format!("{name} {}\n", render::service_hash(service));
        let hashes: String = project.services.iter().map(line).collect();
        assert_eq!(hashes, expected(&name, "hashes"), "{name}");
    }
}

#[test]
fn what_is_printed_loads_as_the_same_project() {
    for name in names() {
        let before = loaded(&name, Options::default());
        let printed = render::yaml(&before);
        let memory = crate::memory::Memory::of(&[("compose.yaml", &printed)]);
        let mut request = crate::memory::request();
        request.profiles = before.profiles.clone();
        let after =
            project(&request, &memory).unwrap_or_else(|error| panic!("{name}: {error}\n{printed}")).project;
        assert_eq!(render::yaml(&after), printed, "{name}");
    }
}
