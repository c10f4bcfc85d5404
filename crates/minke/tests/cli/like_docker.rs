//! Every command of the docker command line that is installed, with its flags, compared with minke's.

use std::collections::BTreeMap;

use minke_testkit::{Run, docker_cli, program};

/// Commands that minke hasn't yet, or that are of plugins of the docker command line.
const LATER: [&str; 18] = [
    "build",
    "builder",
    "buildx",
    "checkpoint",
    "config",
    "image build",
    "manifest",
    "node",
    "plugin create",
    "plugin install",
    "plugin push",
    "plugin upgrade",
    "secret",
    "service",
    "stack",
    "swarm",
    "trust",
    "volume update",
];

/// Flags of Swarm's cluster volumes.
const CLUSTER_VOLUMES: [&str; 10] = [
    "availability",
    "group",
    "limit-bytes",
    "required-bytes",
    "scope",
    "secret",
    "sharing",
    "topology-preferred",
    "topology-required",
    "type",
];

/// What a `--help` lists.
#[derive(Default)]
struct Help {
    commands: Vec<String>,
    /// Flags with their letters.
    flags: BTreeMap<String, Option<char>>,
}

fn help(program: &std::path::Path, words: &[&str]) -> Help {
    let asked = Run::new(program, words.iter().chain(&["--help"]));
    let ran = asked.env("DOCKER_CONFIG", "/nonexistent").env("COLUMNS", "200").run();
    let (mut help, mut section) = (Help::default(), String::new());
    for line in ran.stdout.lines() {
        if let Some(title) = line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            section = title.to_owned();
        } else if section.ends_with("Commands") {
            let name = line.strip_prefix("  ").and_then(|line| line.split([' ', '*']).next());
            help.commands.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        } else if section == "Options" {
            let line = line.trim_start();
            let letter = line.strip_prefix('-').filter(|rest| rest.chars().nth(1) == Some(','));
            let name = line.split_once("--").map(|(_, rest)| rest.split([' ', '\t']).next().unwrap_or(rest));
            if let Some(name) = name.filter(|_| line.starts_with('-')) {
                help.flags.insert(name.to_owned(), letter.and_then(|rest| rest.chars().next()));
            }
        }
    }
    help
}

/// Whether minke takes a flag that its help doesn't list: Windows' and those that have had their day.
fn takes(words: &[&str], flag: &str) -> bool {
    let flag = format!("--{flag}");
    // Where no engine is: nothing is done, and what is wrong with the flags is told first.
    let words = [&["-H", "unix:///nonexistent/docker.sock"], words, &[&flag, "1", "x", "y"]].concat();
    let ran = Run::new(program("minke"), words).run();
    !ran.stderr.contains("unknown flag")
}

fn compare(words: &[&str], missing: &mut Vec<String>) {
    let (docker, minke) = (help(&docker_cli(), words), help(&program("minke"), words));
    for command in docker.commands.iter().filter(|command| *command != "help") {
        let path = [words, &[command]].concat();
        let name = path.join(" ");
        if LATER.contains(&name.as_str()) {
            continue;
        }
        if minke.commands.contains(command) {
            compare(&path, missing);
        } else {
            missing.push(name);
        }
    }
    let is_verb = docker.commands.is_empty();
    for (flag, letter) in docker.flags.iter().filter(|(flag, _)| is_verb && *flag != "help") {
        let name = format!("{} --{flag}", words.join(" "));
        match minke.flags.get(flag) {
            Some(own) if own == letter => {}
            Some(own) => missing.push(format!("{name}: {own:?} instead of {letter:?}")),
            None if words == ["volume", "create"] && CLUSTER_VOLUMES.contains(&flag.as_str()) => {}
            None if takes(words, flag) => {}
            None => missing.push(name),
        }
    }
}

#[test]
fn minke_has_every_command_of_docker_with_its_flags() {
    assert!(help(&docker_cli(), &[]).commands.len() > 50, "docker's help is read");
    assert!(help(&docker_cli(), &["ps"]).flags.contains_key("no-trunc"), "and its flags");
    let mut missing = Vec::new();
    compare(&[], &mut missing);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
