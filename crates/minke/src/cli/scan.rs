//! Docker's rules for flags, applied before clap sees the words.
//!
//! The docker CLI's flags are those of Go's pflag: `--rm=false`, `-it=true`, `-e VALUE` with any VALUE, a repeated
//! flag's last value counts, and for `run` flags end at the image. The rules are checked here, with pflag's
//! messages since scripts and people know them; what remains for clap are typed values.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
};

use clap::{Arg, ArgAction, Command, error::ContextKind, error::ContextValue};

/// The words for clap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) arguments: Vec<OsString>,
    /// How many of them are no flags.
    pub(crate) positionals: usize,
    /// `--help` was asked for.
    pub(crate) help: bool,
}

/// Checks flags against `command`. With `anywhere`, flags may follow words.
///
/// # Errors
/// The problem in pflag's words.
pub(crate) fn scan(command: &Command, arguments: &[OsString], anywhere: bool) -> Result<Scanned, String> {
    let mut scanned = Scanned::default();
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let bytes = argument.as_encoded_bytes();
        if bytes == b"--" {
            words.extend(rest.by_ref().cloned());
        } else if bytes.starts_with(b"--") {
            long(command, argument, &mut rest, &mut scanned)?;
        } else if bytes.starts_with(b"-") && bytes.len() > 1 {
            shorts(command, argument, &mut rest, &mut scanned)?;
        } else {
            words.push(argument.clone());
            if !anywhere {
                words.extend(rest.by_ref().cloned());
            }
        }
    }
    scanned.positionals = words.len();
    if !words.is_empty() {
        scanned.arguments.push("--".into());
        scanned.arguments.append(&mut words);
    }
    Ok(scanned)
}

type Rest<'a> = std::slice::Iter<'a, OsString>;

fn long(
    command: &Command,
    argument: &OsStr,
    rest: &mut Rest<'_>,
    scanned: &mut Scanned,
) -> Result<(), String> {
    let text = argument.to_str().ok_or_else(|| format!("bad flag syntax: {}", argument.display()))?;
    let (name, inline) = match text[2..].split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (&text[2..], None),
    };
    let found = command.get_arguments().find(|arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    });
    let Some(arg) = found else {
        if name == "help" {
            scanned.help = true;
            return Ok(());
        }
        return Err(format!("unknown flag: --{name}"));
    };
    let needed = || format!("flag needs an argument: --{name}");
    take(arg, inline.map(OsString::from), rest, scanned, needed)
}

fn shorts(
    command: &Command,
    argument: &OsStr,
    rest: &mut Rest<'_>,
    scanned: &mut Scanned,
) -> Result<(), String> {
    let text = argument.to_str().ok_or_else(|| format!("bad flag syntax: {}", argument.display()))?;
    let mut cluster = &text[1..];
    while let Some(letter) = cluster.chars().next() {
        let after = &cluster[letter.len_utf8()..];
        let Some(arg) = command.get_arguments().find(|arg| arg.get_short() == Some(letter)) else {
            if letter == 'h' {
                scanned.help = true;
                return Ok(());
            }
            return Err(format!("unknown shorthand flag: '{letter}' in -{cluster}"));
        };
        let needed = || format!("flag needs an argument: '{letter}' in -{cluster}");
        let explicit = after.strip_prefix('=');
        if (is_switch(arg) || has_optional_value(arg)) && explicit.is_none() {
            take(arg, None, rest, scanned, needed)?;
            cluster = after;
            continue;
        }
        let inline = explicit.or((!after.is_empty()).then_some(after));
        return take(arg, inline.map(OsString::from), rest, scanned, needed);
    }
    Ok(())
}

/// A flag without a value, or with an optional `=true`.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
        || (has_optional_value(arg) && arg.get_value_parser().type_id() == TypeId::of::<bool>())
}

/// A flag that may stand alone; its value must follow `=`.
fn has_optional_value(arg: &Arg) -> bool {
    !arg.is_positional() && arg.get_num_args().is_some_and(|range| range.min_values() == 0)
}

/// Adds the flag with its value in a form that clap can't misread.
fn take(
    arg: &Arg,
    inline: Option<OsString>,
    rest: &mut Rest<'_>,
    scanned: &mut Scanned,
    needed: impl Fn() -> String,
) -> Result<(), String> {
    let long = arg
        .get_long()
        .map_or_else(|| format!("-{}", arg.get_short().unwrap_or_default()), |long| format!("--{long}"));
    if is_switch(arg) {
        let value = match inline {
            None => true,
            Some(value) => boolean(arg, &value)?,
        };
        if !matches!(arg.get_action(), ArgAction::SetTrue) {
            scanned.arguments.push(format!("{long}={value}").into());
        } else {
            scanned.arguments.retain(|given| *given != *long);
            if value {
                scanned.arguments.push(long.into());
            }
        }
        return Ok(());
    }
    let value = match inline {
        Some(value) => value,
        None if has_optional_value(arg) => {
            scanned.arguments.push(long.into());
            return Ok(());
        }
        None => rest.next().cloned().ok_or_else(needed)?,
    };
    let mut word = OsString::from(long);
    word.push("=");
    word.push(value);
    scanned.arguments.push(word);
    Ok(())
}

/// The value of a switch.
fn boolean(arg: &Arg, value: &OsStr) -> Result<bool, String> {
    value.to_str().and_then(go_boolean).ok_or_else(|| {
        format!("invalid argument {value:?} for \"{}\" flag: want true or false", flag_names(arg))
    })
}

/// What Go's strconv.ParseBool takes.
pub(crate) fn go_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `-m, --memory`
fn flag_names(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, long) => format!("--{}", long.unwrap_or_default()),
    }
}

/// What clap found wrong with a value, in pflag's words.
pub(crate) fn explain(error: &clap::Error, command: Option<&Command>) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(flag), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        return error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
    };
    // clap shows the flag with its placeholder: `--memory <bytes>`.
    let flag = flag.split(' ').next().unwrap_or_default();
    let arg = command.and_then(|command| {
        command
            .get_arguments()
            .find(|arg| arg.get_long().is_some() && arg.get_long() == flag.strip_prefix("--"))
    });
    let flag = arg.map_or_else(|| flag.to_owned(), flag_names);
    let reason = std::error::Error::source(error).map(|source| cause(source, &value)).or_else(|| match error
        .get(ContextKind::ValidValue)
    {
        Some(ContextValue::Strings(values)) => Some(format!("want one of {}", values.join(", "))),
        _ => None,
    });
    format!(
        "invalid argument {value:?} for \"{flag}\" flag: {}",
        reason.unwrap_or_else(|| "not understood".to_owned())
    )
}

/// Why a value is none, in the words that Go has for numbers.
fn cause(source: &(dyn std::error::Error + 'static), value: &str) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match source.downcast_ref::<std::num::ParseIntError>().map(std::num::ParseIntError::kind) {
        Some(PosOverflow | NegOverflow) => {
            format!("strconv.ParseInt: parsing {value:?}: value out of range")
        }
        Some(_) => format!("strconv.ParseInt: parsing {value:?}: invalid syntax"),
        None => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        Command::new("x")
            .arg(switch("interactive").short('i'))
            .arg(switch("tty").short('t'))
            .arg(switch("rm"))
            .arg(Arg::new("env").long("env").short('e').action(ArgAction::Append))
            .arg(Arg::new("name").long("name"))
            .arg(
                Arg::new("proxy")
                    .long("sig-proxy")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_parser(clap::value_parser!(bool)),
            )
            .arg(
                Arg::new("idle")
                    .long("idle")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("60"),
            )
            .arg(Arg::new("network").long("network").alias("net"))
            .arg(Arg::new("words").num_args(0..))
    }

    fn scanned(line: &str, anywhere: bool) -> Result<String, String> {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect();
        let scanned = scan(&command(), &words, anywhere)?;
        let text: Vec<_> = scanned.arguments.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(format!("{}{} [{}]", if scanned.help { "HELP " } else { "" }, text.join(" "), scanned.positionals))
    }

    #[test]
    fn flags_end_at_the_image() {
        let cases = [
            ("-it --rm img sh -c -i", "--interactive --tty --rm -- img sh -c -i [4]"),
            ("-e A=1 --env B -eC -e=D img", "--env=A=1 --env=B --env=C --env=D -- img [1]"),
            ("--name -x img --rm", "--name=-x -- img --rm [2]"),
            ("-- --weird", "-- --weird [1]"),
            ("img -- x", "-- img -- x [3]"),
            ("--rm --rm=false img", "-- img [1]"),
            ("-it=false img", "--interactive -- img [1]"),
            ("--sig-proxy=0 img", "--sig-proxy=false -- img [1]"),
            ("--sig-proxy img", "--sig-proxy=true -- img [1]"),
            ("--idle img", "--idle -- img [1]"),
            ("--idle=5 img", "--idle=5 -- img [1]"),
            ("--net host img", "--network=host -- img [1]"),
            ("-ie A img", "--interactive --env=A -- img [1]"),
            ("--help img", "HELP -- img [1]"),
            ("-", "-- - [1]"),
            ("", " [0]"),
        ];
        for (line, expected) in cases {
            assert_eq!(scanned(line, false).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn flags_may_follow_words_where_docker_allows_it() {
        assert_eq!(scanned("web --rm db -i", true).unwrap(), "--rm --interactive -- web db [2]");
        assert_eq!(scanned("web -- --rm", true).unwrap(), "-- web --rm [2]");
    }

    #[test]
    fn mistakes_are_told_in_pflags_words() {
        let cases = [
            ("--nope", "unknown flag: --nope"),
            ("-x", "unknown shorthand flag: 'x' in -x"),
            ("-ix", "unknown shorthand flag: 'x' in -x"),
            ("--name", "flag needs an argument: --name"),
            ("-ie", "flag needs an argument: 'e' in -e"),
            ("--rm=maybe", "invalid argument \"maybe\" for \"--rm\" flag: want true or false"),
        ];
        for (line, expected) in cases {
            assert_eq!(scanned(line, false).unwrap_err(), expected, "{line}");
        }
    }
}
