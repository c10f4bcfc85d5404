//! The docker compose of Debian beside the loader, over the same projects.
//!
//! It is an older one than the expected files come from, so that it shows what is the same over versions: projects that
//! say so by a file `newer` have attributes that it doesn't know.

use std::{path::Path, process::Command};

use minke_compose::{
    load::{Disk, project},
    render,
};
use minke_testkit::on_path;

use crate::{
    memory::Projects,
    projects::{arguments, names, request},
};

fn printed(folder: &Path, args: &[String], command: &[&str]) -> String {
    let output = Command::new(on_path("docker-compose"))
        .args(args)
        .args(command)
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/root")
        .output()
        .expect("scripts/setup test fetches docker-compose");
    assert!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("YAML is text")
}

#[test]
fn debians_docker_compose_prints_the_same_yaml() {
    for name in names() {
        let folder = Projects::folder().join(&name);
        if folder.join("newer").exists() {
            continue;
        }
        let theirs = printed(&folder, &arguments(&name), &["config"]);
        let mut ours = project(&request(&name, folder), &Disk).unwrap().project;
        ours.drop_unused();
        assert_eq!(render::yaml(&ours), theirs, "{name}");
    }
}

/// That version has dependencies and profiles in its hash; services without are hashed the same.
#[test]
fn debians_docker_compose_gives_the_same_hashes_to_services_without_dependencies() {
    let mut compared = 0;
    for name in names() {
        let folder = Projects::folder().join(&name);
        if folder.join("newer").exists() {
            continue;
        }
        let theirs = printed(&folder, &arguments(&name), &["config", "--hash", "*"]);
        let mut asked = request(&name, folder);
        asked.options.resolve_environment = false;
        for service in project(&asked, &Disk).unwrap().project.services.values() {
            if service.depends_on.is_empty() && service.profiles.is_empty() && service.env_file.is_empty() {
                let line = format!("{} {}\n", service.name, render::service_hash(service));
                assert!(theirs.contains(&line), "{name}: {line}{theirs}");
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "{compared}");
}
