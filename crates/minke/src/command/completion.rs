//! `minke completion` and `minke man`.

use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory, Parser};
use clap_complete::Shell;

use crate::{
    cli::{
        complete,
        verb::{Action, Arity, Verb, typed},
    },
    context::Globals,
    failure::Failure,
    output,
};

/// `completion` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Flags of `man`.
#[derive(Debug, Parser)]
pub(crate) struct Man {
    /// The folder to write the pages into, e.g. /usr/local/share/man/man1
    folder: PathBuf,
}

pub(crate) static COMPLETION: Verb = Verb {
    about: "Print the completion script for a shell",
    usage: "bash|elvish|fish|powershell|zsh",
    arity: Arity::Exactly(1),
    flags_anywhere: true,
    build: Completion::command,
    action: Action::Plain(completion),
};

pub(crate) static MAN: Verb = Verb {
    about: "Write manual pages into a folder",
    usage: "FOLDER",
    arity: Arity::Exactly(1),
    flags_anywhere: true,
    build: Man::command,
    action: Action::Plain(man),
};

fn completion(_: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let args = typed::<Completion>(matches)?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut complete::tree(), "minke", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

fn man(_: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let args = typed::<Man>(matches)?;
    std::fs::create_dir_all(&args.folder)
        .map_err(|error| Failure::doing(format!("make {}", args.folder.display()), error))?;
    clap_mangen::generate_to(complete::tree(), &args.folder)
        .map_err(|error| Failure::doing(format!("write manual pages into {}", args.folder.display()), error))
}
