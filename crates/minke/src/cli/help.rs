//! Help texts: the overview, a group's verbs, one verb's flags.

use std::{ffi::OsString, fmt::Write as _};

use super::{
    tree::{self, Found, Group},
    verb::Verb,
};
use crate::{failure::Failure, output};

/// The width that help is wrapped to where there is no terminal.
const WIDTH: usize = 100;

/// `minke help WORD…`
pub(super) fn of(words: &[OsString]) -> Result<(), Failure> {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    if words.is_empty() {
        return output::print(&overview());
    }
    match tree::find(word(0), word(1)) {
        Found::Verb(path, found) => output::print(&verb(&path, found)),
        Found::Group(found) => output::print(&group(found)),
        _ => Err(Failure::new(format!("minke: unknown help topic: {}", word(0)))),
    }
}

/// `minke --help`
pub(super) fn overview() -> String {
    let mut text =
        String::from("Usage:  minke [OPTIONS] COMMAND\n\nThe whole container stack in one program\n");
    for (title, common) in [("Common Commands", true), ("Commands", false)] {
        section(
            &mut text,
            title,
            tree::TOP.iter().filter(|entry| entry.common == common).map(|e| (e.name, e.verb.about)),
        );
        if common {
            section(
                &mut text,
                "Management Commands",
                tree::GROUPS.iter().map(|group| (group.name, group.about)),
            );
        }
    }
    text.push_str(concat!(
        "\nGlobal Options:\n",
        "      --config string      Folder of the client's config.json (default \"~/.docker\")\n",
        "  -c, --context string     Name of the context to use, instead of DOCKER_HOST and \"minke context use\"\n",
        "  -D, --debug              Enable debug mode\n",
        "  -H, --host string        Engine to talk to, e.g. unix:///run/minke/docker.sock or tcp://host:2375\n",
        "  -l, --log-level string   Set the logging level (\"debug\", \"info\", \"warn\", \"error\")\n",
        "      --tls                Use TLS; implied by --tlsverify\n",
        "      --tlscacert string   Trust certs signed only by this CA (default \"~/.docker/ca.pem\")\n",
        "      --tlscert string     Path to TLS certificate file (default \"~/.docker/cert.pem\")\n",
        "      --tlskey string      Path to TLS key file (default \"~/.docker/key.pem\")\n",
        "      --tlsverify          Use TLS and verify the remote\n",
        "  -v, --version            Print version information and quit\n",
        "\nRun 'minke COMMAND --help' for more information on a command.\n",
    ));
    text
}

/// `minke container --help`
pub(super) fn group(group: &Group) -> String {
    let mut text = format!(
        "Usage:  minke {} {}COMMAND\n\n{}\n",
        group.name,
        if group.name == "compose" { "[OPTIONS] " } else { "" },
        group.about
    );
    if group.name == "compose" {
        text.push_str(&compose_options());
    }
    section(&mut text, "Commands", group.entries.iter().map(|entry| (entry.name, entry.verb.about)));
    // Writing to a String can't fail.
    let _ = write!(text, "\nRun 'minke {} COMMAND --help' for more information on a command.\n", group.name);
    text
}

/// The flags between `compose` and its verb.
fn compose_options() -> String {
    use clap::CommandFactory as _;
    let command = crate::compose::flags::ProjectFlags::command();
    let help = command.term_width(width()).help_template("\nOptions:\n{options}\n").render_help();
    help.to_string().replace("Options:\n\n", "Options:\n")
}

fn width() -> usize {
    crate::terminal::size().map_or(WIDTH, |(columns, _)| usize::from(columns).clamp(60, 120))
}

/// `minke ps --help`
pub(super) fn verb(path: &str, verb: &Verb) -> String {
    let help = verb
        .command(path)
        .term_width(width())
        .help_template("Usage:  {usage}\n\n{about}\n\nOptions:\n{options}\n")
        .render_help()
        .to_string();
    help.replace("\n\nOptions:\n\n", "\n")
}

fn section<'a>(text: &mut String, title: &str, lines: impl Iterator<Item = (&'a str, &'a str)>) {
    let _ = write!(text, "\n{title}:\n");
    for (name, about) in lines {
        let _ = writeln!(text, "  {name:<11} {about}");
    }
}
