//! Dockerfile instructions that change an image's configuration: `import --change`, `commit --change`.
//!
//! Docker allows the instructions that need no build (Dockerfile reference; `docker commit`, "--change"). Each is
//! carried out as in a build: variables are expanded, shell and JSON forms told apart, a new entry point forgets an
//! inherited command.

mod health;
mod ports;
mod words;

use std::collections::BTreeMap;

use minke_model::image_config::Empty;

use crate::RunConfig;
use words::{expand, split, unquote};

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not an instruction that may stand here.
    #[error("{0} is not a valid change command")]
    Instruction(String),
    /// An instruction with a mistake.
    #[error("{instruction} {arguments:?}: {problem}")]
    Arguments {
        /// The instruction.
        instruction: &'static str,
        /// What follows it.
        arguments: String,
        /// What is wrong.
        problem: String,
    },
}

/// The instructions that may change a configuration.
const INSTRUCTIONS: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Applies changes in order. Each may have several lines: comments, blank lines and `\` at a line's end are as in a
/// Dockerfile.
///
/// # Errors
/// [`ChangeError`] for the first that is wrong; `config` may then have those before it.
pub fn apply(config: &mut RunConfig, changes: &[String]) -> Result<(), ChangeError> {
    let mut command_set = false;
    for line in changes.iter().flat_map(|change| lines(change)) {
        let (word, arguments) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let instruction = INSTRUCTIONS.iter().find(|known| known.eq_ignore_ascii_case(word));
        let Some(instruction) = instruction else {
            return Err(ChangeError::Instruction(word.to_ascii_uppercase()));
        };
        let arguments = arguments.trim();
        let fail = |problem: String| ChangeError::Arguments {
            instruction,
            arguments: arguments.to_owned(),
            problem,
        };
        if arguments.is_empty() {
            return Err(fail("needs at least one argument".to_owned()));
        }
        match *instruction {
            "CMD" => {
                config.cmd = Some(command(config, arguments));
                command_set = true;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(command(config, arguments)).filter(|words| !words.is_empty());
                if !command_set {
                    config.cmd = None;
                }
            }
            "ENV" => env(config, arguments).map_err(fail)?,
            "LABEL" => label(config, arguments).map_err(fail)?,
            "EXPOSE" => expose(config, arguments).map_err(fail)?,
            "HEALTHCHECK" => config.healthcheck = Some(health::parse(arguments).map_err(fail)?),
            "ONBUILD" => config.on_build.push(on_build(arguments).map_err(fail)?),
            "STOPSIGNAL" => {
                let name = expanded(config, arguments).and_then(|text| signal(&text)).map_err(fail)?;
                config.stop_signal = Some(name);
            }
            "USER" => config.user = expanded(config, arguments).map_err(fail)?,
            "VOLUME" => volume(config, arguments).map_err(fail)?,
            _ => workdir(config, arguments).map_err(fail)?,
        }
    }
    Ok(())
}

/// Logical lines: without comments and blank lines, continued ones joined.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in text.lines() {
        let trimmed = part.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && line.is_empty()) {
            continue;
        }
        match part.trim_end().strip_suffix('\\') {
            Some(part) => line.push_str(part),
            None => {
                line.push_str(part);
                lines.push(std::mem::take(&mut line).trim().to_owned());
            }
        }
    }
    if !line.trim().is_empty() {
        lines.push(line.trim().to_owned());
    }
    lines
}

/// The JSON form, if it is one: an array of strings.
fn json_form(arguments: &str) -> Option<Vec<String>> {
    arguments.starts_with('[').then(|| serde_json::from_str(arguments).ok()).flatten()
}

/// JSON form, or a line for the image's shell.
fn command(config: &RunConfig, arguments: &str) -> Vec<String> {
    json_form(arguments).unwrap_or_else(|| {
        let shell = config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        shell.into_iter().chain([arguments.to_owned()]).collect()
    })
}

fn expanded(config: &RunConfig, text: &str) -> Result<String, String> {
    expand(text, &config.env)
}

/// `NAME=value …` with quotes, or the old form `NAME the rest`.
fn pairs(config: &RunConfig, arguments: &str) -> Result<Vec<(String, String)>, String> {
    let words = split(arguments)?;
    if !words.first().is_some_and(|word| word.contains('=')) {
        let Some((name, value)) = arguments.split_once(char::is_whitespace) else {
            return Err("must have two arguments, or the form NAME=value".to_owned());
        };
        return Ok(vec![(expanded(config, name)?, expanded(config, value.trim_start())?)]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("can't find = in {word:?}"))?;
        match unquote(name)?.is_empty() {
            true => Err("names can not be blank".to_owned()),
            false => Ok((expanded(config, name)?, expanded(config, value)?)),
        }
    };
    words.iter().map(pair).collect()
}

fn env(config: &mut RunConfig, arguments: &str) -> Result<(), String> {
    for (name, value) in pairs(config, arguments)? {
        let prefix = format!("{name}=");
        let variable = format!("{name}={value}");
        match config.env.iter_mut().find(|old| old.starts_with(&prefix)) {
            Some(old) => *old = variable,
            None => config.env.push(variable),
        }
    }
    Ok(())
}

fn label(config: &mut RunConfig, arguments: &str) -> Result<(), String> {
    let pairs = pairs(config, arguments)?;
    config.labels.extend(pairs);
    Ok(())
}

fn expose(config: &mut RunConfig, arguments: &str) -> Result<(), String> {
    for word in split(&expanded(config, arguments)?)? {
        config.exposed_ports.extend(ports::parse(&word)?.into_iter().map(|port| (port, Empty {})));
    }
    Ok(())
}

fn volume(config: &mut RunConfig, arguments: &str) -> Result<(), String> {
    let paths = match json_form(arguments) {
        Some(paths) => paths,
        None => split(&expanded(config, arguments)?)?,
    };
    let volumes: BTreeMap<String, Empty> =
        paths.into_iter().map(|path| (path.trim().to_owned(), Empty {})).collect();
    if volumes.contains_key("") {
        return Err("a volume can not be an empty string".to_owned());
    }
    config.volumes.extend(volumes);
    Ok(())
}

/// Relative to the working directory so far.
fn workdir(config: &mut RunConfig, arguments: &str) -> Result<(), String> {
    let path = expanded(config, arguments)?;
    let path = if path.starts_with('/') { path } else { format!("/{}/{path}", config.working_dir) };
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    config.working_dir = format!("/{}", parts.join("/"));
    Ok(())
}

fn on_build(arguments: &str) -> Result<String, String> {
    let word = arguments.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match word.as_str() {
        "ONBUILD" => Err("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "FROM" | "MAINTAINER" => Err(format!("{word} isn't allowed as an ONBUILD trigger")),
        _ => Ok(arguments.to_owned()),
    }
}

/// Signals by name; signal(7).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const HIGHEST_SIGNAL: u32 = 64;

fn signal(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number_ok = text.parse::<u32>().is_ok_and(|number| (1..=HIGHEST_SIGNAL).contains(&number));
    let real_time = |end: &str, sign: char| {
        name.strip_prefix(end).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix(sign).is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n <= 15))
        })
    };
    let known = SIGNALS.contains(&name) || real_time("RTMIN", '+') || real_time("RTMAX", '-');
    if known || number_ok { Ok(text.to_owned()) } else { Err(format!("invalid signal: {text}")) }
}

#[cfg(test)]
mod tests;
