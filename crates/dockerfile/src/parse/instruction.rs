//! Each instruction by its name.

use super::{Mistake, command::Command, files, flags::Flags, from, health, pairs, run, words};
use crate::{
    ast::{CommandLine, Instruction, Kind, Stage},
    suggest,
};

/// All instructions.
pub(super) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What an instruction is.
#[derive(Debug)]
pub(super) enum Parsed {
    /// `FROM`.
    Stage(Box<Stage>),
    /// Any other.
    Instruction(Box<Instruction>),
}

/// Reads an instruction.
pub(super) fn read(command: &Command) -> Result<Parsed, Mistake> {
    if command.name() == "FROM" {
        return Ok(Parsed::Stage(Box::new(from::read(command)?)));
    }
    Ok(Parsed::Instruction(Box::new(Instruction {
        kind: kind(command)?,
        keyword: command.keyword.clone(),
        code: command.code.clone(),
        lines: command.lines,
        comments: command.comments.clone(),
    })))
}

fn kind(command: &Command) -> Result<Kind, Mistake> {
    let name = command.name();
    // What Docker doesn't look at: flags of ARG, STOPSIGNAL and HEALTHCHECK NONE.
    Ok(match name.as_str() {
        "ADD" => Kind::Add(files::add(command)?),
        "ARG" => Kind::Arg(pairs::arguments(command)?),
        "CMD" => Kind::Cmd(without_flags(command, command_line)?),
        "COPY" => Kind::Copy(files::copy(command)?),
        "ENTRYPOINT" => Kind::Entrypoint(without_flags(command, command_line)?),
        "ENV" => Kind::Env(pairs::pairs(command)?),
        "EXPOSE" => Kind::Expose(without_flags(command, expose)?),
        "HEALTHCHECK" => Kind::Healthcheck(health::read(command)?),
        "LABEL" => Kind::Label(pairs::pairs(command)?),
        "MAINTAINER" => Kind::Maintainer(without_flags(command, whole)?),
        "ONBUILD" => Kind::OnBuild(on_build(command)?),
        "RUN" => Kind::Run(run::read(command)?),
        "SHELL" => Kind::Shell(without_flags(command, shell)?),
        "STOPSIGNAL" => Kind::StopSignal(whole(command)?),
        "USER" => Kind::User(without_flags(command, whole)?),
        "VOLUME" => Kind::Volume(without_flags(command, volumes)?),
        "WORKDIR" => Kind::Workdir(without_flags(command, whole)?),
        _ => {
            let hint = suggest::hint_in_any_case(&command.keyword, NAMES);
            return Err(Mistake::Instruction(format!("unknown instruction: {}{hint}", command.keyword)));
        }
    })
}

/// For instructions that know no flags.
fn without_flags<T>(command: &Command, read: fn(&Command) -> Result<T, Mistake>) -> Result<T, Mistake> {
    Flags::none(&command.flags)?;
    read(command)
}

/// A JSON array or a line for the shell.
pub(super) fn command_line(command: &Command) -> Result<CommandLine, Mistake> {
    Ok(match words::json(&command.rest)? {
        Some(arguments) => CommandLine::Exec(arguments),
        None => CommandLine::Shell(command.rest.clone()),
    })
}

/// All that follows, spaces or not.
fn whole(command: &Command) -> Result<String, Mistake> {
    match command.rest.as_str() {
        "" => Err(format!("{} requires exactly one argument", command.name()).into()),
        rest => Ok(rest.to_owned()),
    }
}

fn expose(command: &Command) -> Result<Vec<String>, Mistake> {
    let mut ports = words::split(&command.rest);
    ports.sort();
    some(command, ports)
}

fn shell(command: &Command) -> Result<Vec<String>, Mistake> {
    match command_line(command)? {
        CommandLine::Exec(arguments) => some(command, arguments),
        CommandLine::Shell(line) if line.is_empty() => some(command, Vec::new()),
        CommandLine::Shell(_) => Err("SHELL requires the arguments to be in JSON form".to_owned().into()),
    }
}

fn volumes(command: &Command) -> Result<Vec<String>, Mistake> {
    let folders: Vec<String> =
        words::json_or_split(&command.rest)?.iter().map(|folder| folder.trim().to_owned()).collect();
    if folders.iter().any(String::is_empty) {
        return Err("VOLUME specified can not be an empty string".to_owned().into());
    }
    some(command, folders)
}

fn some(command: &Command, list: Vec<String>) -> Result<Vec<String>, Mistake> {
    if list.is_empty() { Err(at_least_one(command)) } else { Ok(list) }
}

/// That an instruction has no arguments.
pub(super) fn at_least_one(command: &Command) -> Mistake {
    Mistake::Instruction(format!("{} requires at least one argument", command.name()))
}

/// The instruction to trigger, as an image keeps it. Whether it is one shows when it is triggered, as with Docker; only a
/// line that can't be taken apart is refused now.
fn on_build(command: &Command) -> Result<String, Mistake> {
    if command.rest.is_empty() {
        return Err(at_least_one(command));
    }
    let inner = command.triggered();
    match inner.name().as_str() {
        "ONBUILD" => return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned().into()),
        name @ ("MAINTAINER" | "FROM") => {
            return Err(format!("{name} isn't allowed as an ONBUILD trigger").into());
        }
        _ => (),
    }
    if let Err(mistake @ Mistake::Line(_)) = kind(&inner) {
        return Err(mistake);
    }
    Flags::none(&command.flags)?;
    let mut trigger = command.rest.clone();
    for heredoc in &command.heredocs {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    Ok(trigger)
}
