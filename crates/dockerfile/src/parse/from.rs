//! `FROM`.

use super::{
    Mistake,
    command::Command,
    flags::{Flags, Takes},
    words,
};
use crate::{ast::Stage, quote::quoted};

/// `FROM [--platform=…] base [AS name]`.
pub(super) fn read(command: &Command) -> Result<Stage, Mistake> {
    let arguments = words::split(&command.rest);
    let (base, as_keyword, name_as_written) = match arguments.as_slice() {
        [base] => (base, None, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (base, Some(keyword), Some(name)),
        _ => return Err("FROM requires either one or three arguments".to_owned().into()),
    };
    let name = name_as_written.map(|name| stage_name(name)).transpose()?;
    let flags = Flags::read(&command.flags, &[("platform", Takes::Value)])?;
    Ok(Stage {
        description: name.as_ref().and_then(|name| description(&command.comments, name)),
        name,
        name_as_written: name_as_written.cloned(),
        base: base.clone(),
        platform: flags.text("platform"),
        keyword: command.keyword.clone(),
        as_keyword: as_keyword.cloned(),
        code: command.code.clone(),
        lines: command.lines,
        comments: command.comments.clone(),
        instructions: Vec::new(),
    })
}

fn stage_name(written: &str) -> Result<String, Mistake> {
    let name = written.to_lowercase();
    let is_letter = |c: char| c.is_ascii_lowercase();
    let is_inner = |c: char| is_letter(c) || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if name.starts_with(is_letter) && name.chars().all(is_inner) {
        return Ok(name);
    }
    let written = quoted(written);
    Err(format!("invalid name for build stage: {written}, name can't start with a number or contain symbols")
        .into())
}

/// What the comments above a definition say of it: `# NAME text`.
pub(super) fn description(comments: &[String], name: &str) -> Option<String> {
    let of = |comment: &String| comment.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(of)
}
