//! The tree as a whole: every verb's flags are consistent, agree with Docker's letters, and have a line of help.

use std::ffi::OsString;

use clap::ArgAction;

use super::{complete, dispatch, help, tree};
use crate::failure::Failure;

fn failure(line: &str) -> Failure {
    dispatch(line.split_whitespace().map(OsString::from).collect(), false).unwrap_err()
}

#[test]
fn every_verb_is_consistent_and_every_flag_has_a_line_of_help() {
    complete::tree().debug_assert();
    let groups = tree::GROUPS.iter().flat_map(|group| group.entries);
    for entry in tree::TOP.iter().chain(groups) {
        let command = entry.verb.command(entry.name);
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            assert!(arg.get_help().is_some(), "{} --{}", entry.name, arg.get_id());
        }
        assert!(!entry.verb.about.is_empty());
    }
}

#[test]
fn a_repeated_flag_takes_its_last_value_only_where_docker_does() {
    let run = tree::TOP.iter().find(|entry| entry.name == "run").unwrap().verb.command("run");
    for (flag, appends) in
        [("env", true), ("publish", true), ("volume", true), ("name", false), ("memory", false)]
    {
        let arg = run.get_arguments().find(|arg| arg.get_id() == flag).unwrap();
        assert_eq!(matches!(arg.get_action(), ArgAction::Append), appends, "{flag}");
    }
}

#[test]
fn verbs_have_dockers_flags() {
    // The flags of docker 28's commands, without --help.
    let cases = [
        ("ps", "all a, filter f, format, last n, latest l, no-trunc, quiet q, size s"),
        ("images", "all a, digests, filter f, format, no-trunc, quiet q, tree"),
        ("logs", "details, follow f, since, tail n, timestamps t, until"),
        (
            "exec",
            "detach d, detach-keys, env e, env-file, interactive i, privileged, tty t, user u, workdir w",
        ),
        ("rm", "force f, link l, volumes v"),
        ("rmi", "force f, no-prune, platform"),
        ("stop", "signal s, timeout t"),
        ("kill", "signal s"),
        ("cp", "archive a, follow-link L, quiet q"),
        ("load", "input i, platform, quiet q"),
        ("save", "output o, platform"),
        ("import", "change c, message m, platform"),
        ("history", "format, human H, no-trunc, platform, quiet q"),
        ("pull", "all-tags a, disable-content-trust, platform, quiet q"),
        ("push", "all-tags a, disable-content-trust, platform, quiet q"),
        ("login", "password p, password-stdin, username u"),
        ("logout", ""),
        ("search", "filter f, format, limit, no-trunc"),
        ("inspect", "format f, size s, type"),
        ("start", "attach a, checkpoint, checkpoint-dir, detach-keys, interactive i"),
        ("attach", "detach-keys, no-stdin, sig-proxy"),
        ("stats", "all a, format, no-stream, no-trunc"),
        ("events", "filter f, format, since, until"),
        (
            "update",
            "blkio-weight, cpu-period, cpu-quota, cpu-rt-period, cpu-rt-runtime, cpu-shares c, cpus, cpuset-cpus, cpuset-mems, memory m, memory-reservation, memory-swap, pids-limit, restart",
        ),
    ];
    for (verb, flags) in cases {
        let command = tree::TOP.iter().find(|entry| entry.name == verb).unwrap().verb.command(verb);
        let mut own: Vec<_> = command
            .get_arguments()
            .filter(|arg| !arg.is_positional())
            .map(|arg| {
                [arg.get_long().unwrap().to_owned(), arg.get_short().map(String::from).unwrap_or_default()]
                    .join(" ")
                    .trim()
                    .to_owned()
            })
            .collect();
        own.sort();
        let mut expected: Vec<_> =
            flags.split(", ").filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        expected.sort();
        assert_eq!(own, expected, "{verb}");
    }
}

#[test]
fn mistakes_are_told_in_dockers_words_with_its_exit_codes() {
    let cases = [
        (
            "run --foo",
            125,
            "unknown flag: --foo\n\nUsage:  minke run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'minke run --help' for more information",
        ),
        ("ps -H", 125, "unknown shorthand flag: 'H' in -H\n\nUsage:  minke ps [OPTIONS]"),
        ("run --name", 125, "flag needs an argument: --name"),
        ("ps -n x", 125, "for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("run --platform a/b/c/d x", 125, "error parsing specified platform"),
        ("run -m abc x", 125, "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"),
        (
            "rm",
            1,
            "minke: 'minke rm' requires at least 1 argument\n\nUsage:  minke rm [OPTIONS] CONTAINER [CONTAINER...]",
        ),
        ("rename a", 1, "minke: 'minke rename' requires 2 arguments"),
        ("ps x", 1, "minke: 'minke ps' accepts no arguments"),
        ("container rm", 1, "minke: 'minke container rm' requires at least 1 argument"),
        ("foo", 1, "minke: unknown command: minke foo\n\nRun 'minke --help' for more information"),
        ("container foo", 1, "minke: unknown command: minke container foo\n\nRun 'minke container --help'"),
        ("swarm x", 1, "minke: 'minke swarm' is not supported yet"),
        ("plugin install x", 1, "minke: 'minke plugin install' is not supported yet"),
        ("network create --subnet x y", 1, "invalid subnet \"x\""),
        (
            "run -p abc x",
            125,
            "minke: invalid containerPort: abc\n\nRun 'minke run --help' for more information",
        ),
        ("pull -a x:1", 1, "tag can't be used with --all-tags/-a"),
        ("pull", 1, "minke: 'minke pull' requires 1 argument"),
        ("pull Upper", 1, "invalid reference format: repository name (Upper) must be lowercase"),
        ("push --disable-content-trust=false x", 1, "nothing verifies signatures"),
        ("login -u x --password-stdin -p y", 1, "cannot specify both --password and --password-stdin"),
        ("search --limit x y", 125, "for \"--limit\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("cp a b", 1, "must specify at least one container source"),
        ("cp a:b c:d", 1, "copying between containers is not supported"),
        ("create --gpus all x", 125, "minke: --gpus is not supported yet"),
        ("-H unix:///nope/nope ps", 1, "Cannot connect to the engine at unix:///nope/nope"),
        ("-H unix:///nope/nope run x", 125, "minke: Cannot connect to the engine at unix:///nope/nope"),
        ("-H npipe://x ps", 1, "npipe://"),
        (
            "inspect --type foo x",
            125,
            "invalid argument \"foo\" for \"--type\" flag: want one of container, image, network, volume",
        ),
        ("completion nope", 125, "nope"),
    ];
    for (line, code, expected) in cases {
        let failure = failure(line);
        assert!(failure.message.contains(expected), "{line}: {}", failure.message);
        assert_eq!(failure.code, code, "{line}");
    }
}

#[test]
fn help_names_the_verb_its_flags_and_its_use() {
    let ps = tree::TOP.iter().find(|entry| entry.name == "ps").unwrap().verb;
    let text = help::verb("ps", ps);
    assert!(
        text.starts_with("Usage:  minke ps [OPTIONS]\n\nList containers\n\nOptions:\n  -a, --all"),
        "{text}"
    );
    assert!(text.contains("-n, --last <int>"), "{text}");
    let overview = help::overview();
    for words in [
        "Usage:  minke [OPTIONS] COMMAND",
        "Common Commands:\n  run ",
        "Management Commands:\n  builder ",
        "\n  wait ",
    ] {
        assert!(overview.contains(words), "{words}");
    }
    let group = |name: &str| help::group(tree::GROUPS.iter().find(|group| group.name == name).unwrap());
    assert!(group("compose").contains("Usage:  minke compose [OPTIONS] COMMAND"));
    assert!(group("container").contains("Usage:  minke container COMMAND"));
}

#[test]
fn flags_after_the_image_belong_to_the_command() {
    let run = tree::TOP.iter().find(|entry| entry.name == "run").unwrap().verb;
    let words: Vec<OsString> =
        ["--rm", "-e", "A=1", "img", "sh", "-c", "--rm", "-e"].map(OsString::from).to_vec();
    let command = run.command("run");
    let scanned = super::scan::scan(&command, &words, run.flags_anywhere).unwrap();
    let matches = command
        .try_get_matches_from(std::iter::once(OsString::from("minke")).chain(scanned.arguments))
        .unwrap();
    assert_eq!(matches.get_one::<String>("image").unwrap(), "img");
    assert_eq!(
        matches.get_many::<String>("command").unwrap().collect::<Vec<_>>(),
        ["sh", "-c", "--rm", "-e"]
    );
}
