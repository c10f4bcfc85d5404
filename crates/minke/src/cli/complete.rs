//! The whole tree as one clap command, for completions and manual pages.

use clap::{Arg, ArgAction, Command};

use super::tree::{Entry, GROUPS, TOP};

/// Every verb with every flag.
pub(crate) fn tree() -> Command {
    let value = |name: &'static str, about: &'static str| Arg::new(name).long(name).help(about);
    let root = Command::new("minke")
        .about("The whole container stack in one program")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .arg(value("config", "Folder of the client's config.json"))
        .arg(value("context", "Name of the context to use").short('c'))
        .arg(value("host", "Engine to talk to").short('H'))
        .arg(value("log-level", "Set the logging level").short('l'))
        .arg(value("tlscacert", "Trust certs signed only by this CA"))
        .arg(value("tlscert", "Path to TLS certificate file"))
        .arg(value("tlskey", "Path to TLS key file"))
        .arg(Arg::new("tls").long("tls").action(ArgAction::SetTrue).help("Use TLS; implied by --tlsverify"))
        .arg(
            Arg::new("tlsverify")
                .long("tlsverify")
                .action(ArgAction::SetTrue)
                .help("Use TLS and verify the remote"),
        )
        .arg(Arg::new("debug").long("debug").short('D').action(ArgAction::SetTrue).help("Enable debug mode"));
    let root = TOP.iter().fold(root, |root, entry| root.subcommand(of(entry, "")));
    GROUPS.iter().fold(root, |root, group| {
        let command = Command::new(group.name).about(group.about).disable_help_subcommand(true);
        root.subcommand(
            group.entries.iter().fold(command, |command, entry| command.subcommand(of(entry, group.name))),
        )
    })
}

fn of(entry: &'static Entry, group: &str) -> Command {
    let path = format!("{group} {}", entry.name);
    entry
        .verb
        .command(path.trim_start())
        .name(entry.name)
        .visible_aliases(entry.aliases.iter().copied())
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print usage"))
}
