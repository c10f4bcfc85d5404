//! The flags before the verb.

use std::ffi::OsString;

use super::scan;
use crate::{
    context::Globals,
    failure::{Failure, USAGE},
};

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    Version,
    Help,
    /// The flags, then the verb's words.
    Verb(Box<Globals>, Vec<OsString>),
}

/// Reads flags up to the first word.
///
/// # Errors
/// For unknown flags and missing values.
pub(super) fn read(arguments: Vec<OsString>) -> Result<Start, Failure> {
    let mut globals = Globals::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_str().unwrap_or_default().to_owned();
        if !text.starts_with('-') || text == "-" {
            let words = std::iter::once(argument).chain(rest).collect();
            return Ok(Start::Verb(Box::new(globals), words));
        }
        let (name, mut inline) = match text.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (long.to_owned(), None),
            },
            None => short(&text)?,
        };
        let mut value = || match inline.take() {
            Some(value) => Ok(value),
            None => rest
                .next()
                .and_then(|value| value.into_string().ok())
                .ok_or_else(|| usage(format!("flag needs an argument: --{name}"))),
        };
        match name.as_str() {
            "version" => return Ok(Start::Version),
            "help" => return Ok(Start::Help),
            "host" => globals.host = Some(value()?),
            "context" => globals.context = Some(value()?),
            "config" => globals.config = Some(value()?.into()),
            "log-level" => globals.log_level = Some(value()?),
            "debug" => globals.log_level = Some("debug".to_owned()),
            "tls" => globals.tls.tls = Some(boolean(&name, inline.as_deref())?),
            "tlsverify" => globals.tls.verify = Some(boolean(&name, inline.as_deref())?),
            "tlscacert" => globals.tls.ca = Some(value()?.into()),
            "tlscert" => globals.tls.certificate = Some(value()?.into()),
            "tlskey" => globals.tls.key = Some(value()?.into()),
            _ => return Err(usage(format!("unknown flag: {text}"))),
        }
    }
    Ok(Start::Help)
}

/// The value of a switch, which may stand alone.
fn boolean(name: &str, value: Option<&str>) -> Result<bool, Failure> {
    scan::go_boolean(value.unwrap_or("true")).ok_or_else(|| {
        let value = value.unwrap_or_default();
        usage(format!("invalid argument {value:?} for \"--{name}\" flag: want true or false"))
    })
}

/// The long name of a short flag and the value that stands in the same word.
fn short(text: &str) -> Result<(String, Option<String>), Failure> {
    let letter = text.chars().nth(1).unwrap_or_default();
    let after = &text[1 + letter.len_utf8()..];
    let name = match letter {
        'H' => "host",
        'c' => "context",
        'l' => "log-level",
        'D' => "debug",
        'v' => "version",
        'h' => "help",
        _ => return Err(usage(format!("unknown shorthand flag: '{letter}' in {text}"))),
    };
    let value = after.strip_prefix('=').unwrap_or(after);
    Ok((name.to_owned(), (!value.is_empty()).then(|| value.to_owned())))
}

fn usage(problem: String) -> Failure {
    let usage = "Usage:  minke [OPTIONS] COMMAND [ARG...]\n\nRun 'minke --help' for more information";
    Failure::new(format!("{problem}\n\n{usage}")).with_code(USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(line: &str) -> Result<Start, Failure> {
        read(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn flags_stop_at_the_verb() {
        let Ok(Start::Verb(globals, words)) = read_words("-H unix:///x --debug --config=/c ps -H y") else {
            panic!()
        };
        assert_eq!(globals.host.as_deref(), Some("unix:///x"));
        assert_eq!(globals.log_level.as_deref(), Some("debug"));
        assert_eq!(globals.config, Some("/c".into()));
        assert_eq!(words, ["ps", "-H", "y"]);
        let Ok(Start::Verb(globals, _)) = read_words("-Hunix:///x ps") else { panic!() };
        assert_eq!(globals.host.as_deref(), Some("unix:///x"));
    }

    #[test]
    fn without_a_verb_there_is_help_or_the_version() {
        assert_eq!(read_words(""), Ok(Start::Help));
        assert_eq!(read_words("--help"), Ok(Start::Help));
        assert_eq!(read_words("-v"), Ok(Start::Version));
    }

    #[test]
    fn switches_for_tls_may_have_a_value() {
        let Ok(Start::Verb(globals, _)) = read_words("--tls --tlsverify=0 --tlscacert=/ca --tlskey k ps")
        else {
            panic!()
        };
        assert_eq!((globals.tls.tls, globals.tls.verify), (Some(true), Some(false)));
        assert_eq!((globals.tls.ca, globals.tls.key), (Some("/ca".into()), Some("k".into())));
    }

    #[test]
    fn mistakes_are_named_with_code_125() {
        for (line, expected) in [
            ("--nope ps", "unknown flag: --nope"),
            ("-x ps", "unknown shorthand flag: 'x' in -x"),
            ("--tls=x ps", "invalid argument \"x\" for \"--tls\" flag"),
            ("--host", "flag needs an argument: --host"),
        ] {
            let failure = read_words(line).unwrap_err();
            assert!(failure.message.starts_with(expected), "{}", failure.message);
            assert_eq!(failure.code, 125);
        }
    }
}
