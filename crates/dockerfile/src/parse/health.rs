//! `HEALTHCHECK`.

use minke_model::image_config::Healthcheck;

use super::{
    Mistake,
    command::Command,
    duration,
    flags::{Flags, Takes},
    instruction::at_least_one,
    words,
};
use crate::quote::quoted;

const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

/// `HEALTHCHECK [flags] CMD …` or `HEALTHCHECK NONE`.
pub(super) fn read(command: &Command) -> Result<Healthcheck, Mistake> {
    if command.rest.is_empty() {
        return Err(at_least_one(command));
    }
    let end = command.rest.find(char::is_whitespace).unwrap_or(command.rest.len());
    let (written, rest) = command.rest.split_at(end);
    let (kind, rest) = (written.to_uppercase(), rest.trim_start());
    let json = words::json(rest)?;
    if kind == "NONE" {
        return match rest {
            "" => Ok(Healthcheck { test: vec![kind], ..Healthcheck::default() }),
            _ => Err("HEALTHCHECK NONE takes no arguments".to_owned().into()),
        };
    }
    let flags = Flags::read(&command.flags, FLAGS)?;
    if kind != "CMD" {
        return Err(format!("Unknown type {} in HEALTHCHECK (try CMD)", quoted(&kind)).into());
    }
    let (kind, arguments) = match json {
        Some(arguments) => ("CMD", arguments),
        None if rest.is_empty() => ("CMD", Vec::new()),
        None => ("CMD-SHELL", vec![rest.to_owned()]),
    };
    if arguments.is_empty() {
        return Err("Missing command after HEALTHCHECK CMD".to_owned().into());
    }
    let test = std::iter::once(kind.to_owned()).chain(arguments).collect();
    Ok(Healthcheck {
        test,
        interval: interval(&flags, "interval")?,
        timeout: interval(&flags, "timeout")?,
        start_period: interval(&flags, "start-period")?,
        start_interval: interval(&flags, "start-interval")?,
        retries: retries(&flags)?,
    })
}

/// Nanoseconds; 0 for the default.
fn interval(flags: &Flags, name: &str) -> Result<i64, String> {
    const SHORTEST: i64 = 1_000_000;
    let Some(text) = flags.text(name) else { return Ok(0) };
    match duration::nanoseconds(&text)? {
        0 => Ok(0),
        nanoseconds if nanoseconds < SHORTEST => {
            Err(format!("Interval {} cannot be less than 1ms", quoted(name)))
        }
        nanoseconds => Ok(nanoseconds),
    }
}

fn retries(flags: &Flags) -> Result<i64, String> {
    let Some(text) = flags.text("retries") else { return Ok(0) };
    match text.parse::<i32>() {
        Ok(retries) if retries < 0 => Err(format!("--retries cannot be negative ({retries})")),
        Ok(retries) => Ok(retries.into()),
        Err(_) => Err(format!("strconv.ParseInt: parsing {}: invalid syntax", quoted(&text))),
    }
}
