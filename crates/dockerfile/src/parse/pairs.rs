//! `name=value`, in `ENV`, `LABEL` and `ARG`.

use super::{Mistake, command::Command, flags::Flags, from::description, instruction::at_least_one, words};
use crate::{
    ast::{Argument, Pair},
    quote::quoted,
};

/// Of `ENV` and `LABEL`: pairs, or the old form with a space and one pair.
pub(super) fn pairs(command: &Command) -> Result<Vec<Pair>, Mistake> {
    let name = command.name();
    let words = words::words(&command.rest, command.escape);
    let pairs = match words.first() {
        None => Vec::new(),
        Some(first) if !first.contains('=') => vec![legacy(command)?],
        Some(_) => words.iter().map(|word| pair(word)).collect::<Result<_, _>>()?,
    };
    Flags::none(&command.flags)?;
    if pairs.is_empty() {
        return Err(at_least_one(command));
    }
    if pairs.iter().any(|pair| pair.name.is_empty()) {
        return Err(blank(&name));
    }
    Ok(pairs)
}

fn pair(word: &str) -> Result<Pair, Mistake> {
    let Some((name, value)) = word.split_once('=') else {
        let word = quoted(word);
        return Err(Mistake::Line(format!(
            "Syntax error - can't find = in {word}. Must be of the form: name=value"
        )));
    };
    Ok(Pair { name: name.to_owned(), value: value.to_owned(), is_legacy: false })
}

fn legacy(command: &Command) -> Result<Pair, Mistake> {
    let Some((name, value)) = command.rest.split_once(words::is_space) else {
        return Err(Mistake::Line(format!("{} must have two arguments", command.name())));
    };
    let value = value.trim_start_matches(words::is_space);
    Ok(Pair { name: name.to_owned(), value: value.to_owned(), is_legacy: true })
}

/// Of `ARG`: names, with or without a default.
pub(super) fn arguments(command: &Command) -> Result<Vec<Argument>, Mistake> {
    let words = words::words(&command.rest, command.escape);
    if words.is_empty() {
        return Err(at_least_one(command));
    }
    let argument = |word: &String| {
        let (name, default) = match word.split_once('=') {
            Some(("", _)) => return Err(blank("ARG")),
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (word.as_str(), None),
        };
        Ok(Argument { name: name.to_owned(), default, description: description(&command.comments, name) })
    };
    words.iter().map(argument).collect()
}

fn blank(instruction: &str) -> Mistake {
    Mistake::Instruction(format!("{instruction} names can not be blank"))
}
