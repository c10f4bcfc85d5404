//! The command line: global flags, then a command with its own.
//!
//! Flags, output and exit codes are runc's, so that whatever calls runc can call this. Each command is one entry of
//! [`COMMANDS`], from which parsing and help are made.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod flags;
mod foreground;
mod kill;
mod list;
mod log;
mod notify;
mod pause;
mod ps;
mod restore;
mod rootless;
mod run;
mod spec;
mod start;
mod state;
mod supervise;
mod update;

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context, bail};
use lexopt::Arg;
use minke_model::runtime_spec;
use minke_oci_runtime::container::{LoadError, Stored};

use self::{
    flags::{Flag, Parsed},
    log::{Format, Log},
    rootless::Rootless,
};

/// What holds for all commands.
struct Global {
    root: PathBuf,
    rootless: Rootless,
    systemd_cgroup: bool,
    log: Log,
}

/// One command.
struct Command {
    name: &'static str,
    summary: &'static str,
    /// What follows the flags, for help.
    operands: &'static str,
    /// How many operands there may be.
    count: std::ops::RangeInclusive<usize>,
    flags: &'static [Flag],
    /// The operand that ends the flags: what follows belongs to another program.
    rest: Option<usize>,
    /// Whether it puts processes into containers, and so has to run from a sealed copy of itself.
    sealed: bool,
    run: fn(&Global, Parsed) -> anyhow::Result<u8>,
    /// The exit code of a failure.
    failure: u8,
}

const COMMANDS: &[&Command] = &[
    &checkpoint::COMMAND,
    &create::COMMAND,
    &delete::COMMAND,
    &events::COMMAND,
    &exec::COMMAND,
    &features::COMMAND,
    &kill::COMMAND,
    &list::COMMAND,
    &pause::PAUSE,
    &ps::COMMAND,
    &restore::COMMAND,
    &pause::RESUME,
    &run::COMMAND,
    &spec::COMMAND,
    &start::COMMAND,
    &state::COMMAND,
    &supervise::COMMAND,
    &update::COMMAND,
];

const GLOBAL_FLAGS: &[Flag] = &[
    Flag::switch("debug", None, "also log what only helps with debugging"),
    Flag::value("log", None, "PATH", "the file to log to (default: standard error)"),
    Flag::value("log-format", None, "FORMAT", "text or json (default: text)"),
    Flag::value(
        "root",
        None,
        "PATH",
        "where state is kept (default: /run/minke-oci, or minke-oci in $XDG_RUNTIME_DIR)",
    ),
    Flag::switch(
        "systemd-cgroup",
        None,
        "have systemd make cgroups; cgroupsPath is \"slice:prefix:name\" then",
    ),
    Flag::value(
        "rootless",
        None,
        "MODE",
        "do without cgroups that may not be made: true, false or auto (default: auto)",
    ),
];

/// Runs the program; the one place where errors become exit codes.
pub(crate) fn run() -> u8 {
    let mut log = Log::default();
    let (code, error) = match parse_and_run(&mut log) {
        Ok(code) => (code, None),
        Err(Failed { code, error }) => (code, Some(error)),
    };
    if let Some(error) = error {
        log.error(&log::chain(&error));
    }
    code
}

/// An error with the exit code that its command gives it.
struct Failed {
    code: u8,
    error: anyhow::Error,
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self { code: 1, error }
    }
}

fn parse_and_run(log: &mut Log) -> Result<u8, Failed> {
    let mut parser = lexopt::Parser::from_iter(minke_kernel::program::arguments());
    let mut root = None;
    let mut rootless = Rootless::default();
    let mut systemd_cgroup = false;
    let command = loop {
        match parser.next().map_err(anyhow::Error::from)? {
            None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(print_help()),
            Some(Arg::Short('v') | Arg::Long("version")) => return Ok(print_version()),
            Some(Arg::Value(name)) => break name,
            Some(Arg::Long("debug")) => log.debug = switch(&mut parser)?,
            Some(Arg::Long("root")) => root = Some(state_root(value(&mut parser)?)?),
            Some(Arg::Long("log")) => log.path = Some(value(&mut parser)?.into()),
            Some(Arg::Long("log-format")) => log.format = Format::parse(&value(&mut parser)?)?,
            Some(Arg::Long("rootless")) => rootless = Rootless::parse(&value(&mut parser)?)?,
            Some(Arg::Long("systemd-cgroup")) => systemd_cgroup = switch(&mut parser)?,
            Some(other) => return Err(anyhow::Error::from(other.unexpected()).into()),
        }
    };
    let name = command.to_string_lossy();
    if name == "help" || name == "h" {
        return Ok(print_help());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(Failed {
            code: 3,
            error: anyhow::anyhow!("No help topic for '{name}': unknown command; see minke-oci --help"),
        });
    };
    if let Err(error) = log.open() {
        // To standard error then.
        log.path = None;
        return Err(error.into());
    }
    let root = root.unwrap_or_else(rootless::state_root);
    let global = Global { root, rootless, systemd_cgroup, log: log.clone() };
    dispatch(command, &global, &mut parser).map_err(|error| Failed { code: command.failure, error })
}

fn dispatch(command: &Command, global: &Global, parser: &mut lexopt::Parser) -> anyhow::Result<u8> {
    let Some(parsed) = flags::parse(command.flags, command.rest, parser)? else {
        print!("{}", command_help(command));
        return Ok(0);
    };
    check_count(command, parsed.operands.len())?;
    if command.sealed {
        minke_kernel::sealed::ensure().context("run from a sealed copy of the program")?;
    }
    (command.run)(global, parsed)
}

fn check_count(command: &Command, given: usize) -> anyhow::Result<()> {
    let (least, most) = (*command.count.start(), *command.count.end());
    let wanted = match (given < least, given > most) {
        (false, false) => return Ok(()),
        _ if least == most => format!("exactly {least}"),
        (true, _) => format!("a minimum of {least}"),
        _ => format!("a maximum of {most}"),
    };
    bail!("minke-oci: {:?} requires {wanted} argument(s)", command.name)
}

fn value(parser: &mut lexopt::Parser) -> anyhow::Result<OsString> {
    Ok(parser.value()?)
}

/// All that is in the state root counts as a container's.
fn state_root(path: OsString) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(path);
    if path.as_os_str().is_empty() || path.components().eq([std::path::Component::RootDir]) {
        bail!("Option --root argument should not be set to /");
    }
    Ok(path)
}

/// runc's switches also take =true and =false.
fn switch(parser: &mut lexopt::Parser) -> anyhow::Result<bool> {
    match parser.optional_value() {
        None => Ok(true),
        Some(value) if value == "true" => Ok(true),
        Some(value) if value == "false" => Ok(false),
        Some(value) => bail!("{value:?} is neither true nor false"),
    }
}

fn print_version() -> u8 {
    println!("minke-oci version {}", env!("CARGO_PKG_VERSION"));
    println!("spec: {}", runtime_spec::VERSION);
    0
}

fn print_help() -> u8 {
    println!("NAME:\n   minke-oci - run containers described by OCI bundles\n");
    println!("USAGE:\n   minke-oci [global options] COMMAND [command options] [arguments...]\n");
    println!("COMMANDS:");
    for command in COMMANDS {
        println!("   {:<10} {}", command.name, command.summary);
    }
    println!("\nGLOBAL OPTIONS:\n{}", flags::help(GLOBAL_FLAGS));
    println!("   --help, -h        show help");
    println!("   --version, -v     print the version");
    0
}

fn command_help(command: &Command) -> String {
    let name = command.name;
    format!(
        "NAME:\n   minke-oci {name} - {}\n\nUSAGE:\n   minke-oci {name} [command options] {}\n\nOPTIONS:\n{}   --help, -h   show help\n",
        command.summary,
        command.operands,
        flags::help(command.flags),
    )
}

/// The container that the first operand names.
fn find(global: &Global, parsed: &Parsed) -> anyhow::Result<Stored> {
    Ok(Stored::load(&global.root, parsed.operand(0)?)?)
}

/// As [`find`]; `None` when it doesn't exist.
fn try_find(global: &Global, id: &str) -> anyhow::Result<Option<Stored>> {
    match Stored::load(&global.root, id) {
        Ok(stored) => Ok(Some(stored)),
        Err(LoadError::Missing) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
