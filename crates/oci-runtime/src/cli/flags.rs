//! A command's flags as a table that feeds both the parser and the help.

use std::{ffi::OsString, fmt::Write, path::PathBuf, str::FromStr};

use anyhow::{Context, anyhow};
use lexopt::Arg;

/// One flag.
pub(super) struct Flag {
    name: &'static str,
    short: Option<char>,
    /// What its value is called; `None` for a switch.
    value: Option<&'static str>,
    help: &'static str,
}

impl Flag {
    pub(super) const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Self {
        Self { name, short, value: None, help }
    }

    pub(super) const fn value(
        name: &'static str,
        short: Option<char>,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, short, value: Some(value), help }
    }
}

/// A command line that was taken apart.
pub(super) struct Parsed {
    given: Vec<(&'static str, Option<OsString>)>,
    pub(super) operands: Vec<OsString>,
}

/// Takes the rest of the command line apart; `None` when help is asked for. With `rest`, everything after that many
/// operands is an operand too.
pub(super) fn parse(
    flags: &'static [Flag],
    rest: Option<usize>,
    parser: &mut lexopt::Parser,
) -> anyhow::Result<Option<Parsed>> {
    let mut parsed = Parsed { given: Vec::new(), operands: Vec::new() };
    loop {
        if rest.is_some_and(|rest| parsed.operands.len() >= rest) {
            parsed.operands.extend(parser.raw_args()?);
            return Ok(Some(parsed));
        }
        let Some(arg) = parser.next()? else { return Ok(Some(parsed)) };
        let flag = match &arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Short(short) => flags.iter().find(|flag| flag.short == Some(*short)),
            Arg::Long(name) => flags.iter().find(|flag| flag.name == *name),
            Arg::Value(operand) => {
                parsed.operands.push(operand.clone());
                continue;
            }
        };
        let Some(flag) = flag else { return Err(arg.unexpected().into()) };
        let value = match flag.value {
            Some(_) => Some(parser.value()?),
            // runc's switches also take =true and =false.
            None => match parser.optional_value() {
                Some(value) if value == "false" => continue,
                Some(value) if value != "true" => {
                    return Err(anyhow!("--{}: {value:?} is neither true nor false", flag.name));
                }
                _ => None,
            },
        };
        parsed.given.push((flag.name, value));
    }
}

impl Parsed {
    /// Whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// The last value of a flag.
    pub(super) fn text(&self, name: &str) -> anyhow::Result<Option<&str>> {
        self.values(name).last().transpose()
    }

    /// All values of a flag.
    pub(super) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = anyhow::Result<&'a str>> {
        let matching = self.given.iter().filter(move |(given, _)| *given == name);
        let matching: Vec<_> = matching.filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
        matching.into_iter().map(|(name, value)| {
            value.to_str().ok_or_else(|| anyhow!("--{name}: {value:?} is not valid UTF-8"))
        })
    }

    /// The last value of a flag, as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let mut matching = self.given.iter().rev().filter(|(given, _)| *given == name);
        matching.find_map(|(_, value)| value.as_ref().map(PathBuf::from))
    }

    /// The last value of a flag, parsed.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> anyhow::Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let parse = |text: &str| text.parse().with_context(|| format!("--{name} {text:?}"));
        self.text(name)?.map(parse).transpose()
    }

    /// An operand that must be there and be text.
    pub(super) fn operand(&self, at: usize) -> anyhow::Result<&str> {
        let operand = self.operands.get(at).ok_or_else(|| anyhow!("an argument is missing"))?;
        operand.to_str().ok_or_else(|| anyhow!("{operand:?} is not valid UTF-8"))
    }
}

/// One line per flag.
pub(super) fn help(flags: &[Flag]) -> String {
    let title = |flag: &Flag| {
        let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
        let short = flag.short.map(|short| format!(", -{short}{value}")).unwrap_or_default();
        format!("--{}{value}{short}", flag.name)
    };
    let width = flags.iter().map(|flag| title(flag).len()).max().unwrap_or_default();
    flags.iter().fold(String::new(), |mut text, flag| {
        let _ = writeln!(text, "   {:<width$}  {}", title(flag), flag.help);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] =
        &[Flag::switch("detach", Some('d'), "leave"), Flag::value("env", Some('e'), "VAR", "set")];

    fn parsed(args: &[&str], rest: Option<usize>) -> anyhow::Result<Parsed> {
        parse(FLAGS, rest, &mut lexopt::Parser::from_args(args)).map(Option::unwrap)
    }

    #[test]
    fn what_follows_the_program_of_exec_is_left_alone() {
        let parsed = parsed(&["-d", "-e", "A=1", "--env=B=2", "web", "ls", "-d", "--x"], Some(1)).unwrap();
        assert!(parsed.has("detach"));
        assert_eq!(parsed.values("env").map(Result::unwrap).collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(parsed.operands, ["web", "ls", "-d", "--x"]);
    }

    #[test]
    fn flags_may_follow_operands_elsewhere_and_unknown_ones_are_refused() {
        assert!(parsed(&["web", "--detach"], None).unwrap().has("detach"));
        assert!(!parsed(&["--detach=false"], None).unwrap().has("detach"));
        assert!(parsed(&["--nope"], None).is_err());
    }
}
