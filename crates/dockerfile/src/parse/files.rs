//! `ADD` and `COPY`.

use super::{
    Mistake,
    command::Command,
    flags::{Flags, Takes},
    heredoc::heredoc,
    words,
};
use crate::ast::{Add, Copy, Files, Heredoc};

const OF_ADD: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Values),
];

const OF_COPY: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("from", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("exclude", Takes::Values),
    ("parents", Takes::Bool),
];

pub(super) fn add(command: &Command) -> Result<Add, Mistake> {
    let arguments = arguments(command)?;
    let flags = Flags::read(&command.flags, OF_ADD)?;
    Ok(Add {
        files: files(command, arguments)?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        checksum: flags.text("checksum"),
        exclude: flags.values("exclude"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        link: flags.switch("link").unwrap_or(false),
    })
}

pub(super) fn copy(command: &Command) -> Result<Copy, Mistake> {
    let arguments = arguments(command)?;
    let flags = Flags::read(&command.flags, OF_COPY)?;
    Ok(Copy {
        files: files(command, arguments)?,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        exclude: flags.values("exclude"),
        parents: flags.switch("parents").unwrap_or(false),
        link: flags.switch("link").unwrap_or(false),
    })
}

/// Sources and a destination, never fewer than two.
fn arguments(command: &Command) -> Result<Vec<String>, Mistake> {
    let arguments = words::json_or_split(&command.rest)?;
    if arguments.len() >= 2 {
        return Ok(arguments);
    }
    let name = command.name();
    Err(format!(
        "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
    )
    .into())
}

fn files(command: &Command, mut sources: Vec<String>) -> Result<Files, Mistake> {
    let destination = sources.pop().unwrap_or_default();
    if heredoc(&destination).is_some() {
        return Err(format!("{} cannot accept a heredoc as a destination", command.name()).into());
    }
    let mut announced = command.heredocs.clone();
    let mut inline: Vec<Heredoc> = Vec::new();
    sources.retain(|source| {
        let name = heredoc(source).map(|found| found.name);
        let at = announced.iter().position(|heredoc| name.as_ref() == Some(&heredoc.name));
        inline.extend(at.map(|at| announced.remove(at)));
        at.is_none()
    });
    Ok(Files { sources, inline, destination })
}
