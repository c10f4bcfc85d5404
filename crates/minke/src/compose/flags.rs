//! The flags between `compose` and its verb: which project, and how it is shown.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::{
    cli::scan,
    failure::{Failure, USAGE},
};

/// Which project, and how it is shown.
#[derive(Debug, Default, Clone, PartialEq, Eq, Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub(crate) struct ProjectFlags {
    /// Compose configuration files
    #[arg(short, long = "file", value_name = "stringArray")]
    pub(crate) files: Vec<String>,
    /// Project name
    #[arg(short, long = "project-name", value_name = "string")]
    pub(crate) project: Option<String>,
    /// Specify an alternate working directory (default: the path of the, first specified, Compose file)
    #[arg(long = "project-directory", alias = "workdir", value_name = "string")]
    pub(crate) directory: Option<PathBuf>,
    /// Specify a profile to enable
    #[arg(long = "profile", value_name = "stringArray")]
    pub(crate) profiles: Vec<String>,
    /// Specify an alternate environment file
    #[arg(long = "env-file", value_name = "stringArray")]
    pub(crate) env_files: Vec<String>,
    /// Set type of progress output (auto, tty, plain, json, quiet)
    #[arg(long, value_name = "string")]
    pub(crate) progress: Option<String>,
    /// Control when to print ANSI control characters ("never"|"always"|"auto")
    #[arg(long, value_name = "string")]
    pub(crate) ansi: Option<String>,
    /// Control max parallelism, -1 for unlimited
    #[arg(long, value_name = "int")]
    pub(crate) parallel: Option<i64>,
    /// Execute command in dry run mode
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run compose in backward compatibility mode
    #[arg(long)]
    pub(crate) compatibility: bool,
    /// Deprecated: --ansi never
    #[arg(long, hide = true)]
    no_ansi: bool,
    /// Include all resources, even those not used by services
    #[arg(long)]
    pub(crate) all_resources: bool,
    /// Show more output
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Show the version
    #[arg(short, long)]
    pub(crate) version: bool,
    /// The verb and its words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// The verbs that hand flags on to a program of the user's, where `--dry-run` may be one of its own.
const HANDS_ON: [&str; 2] = ["exec", "run"];

/// Reads the flags; returns the verb with its words.
///
/// # Errors
/// For unknown flags and values.
pub(crate) fn read(arguments: &[OsString]) -> Result<(ProjectFlags, Vec<OsString>), Failure> {
    let usage = |problem: String| {
        Failure::new(format!("{problem}\n\nRun 'minke compose --help' for more information")).with_code(USAGE)
    };
    let mut command = ProjectFlags::command()
        .mut_args(|arg| if arg.get_action().takes_values() { arg.allow_hyphen_values(true) } else { arg });
    let scanned = scan::scan(&command, arguments, false).map_err(usage)?;
    if scanned.help {
        return Ok((ProjectFlags::default(), vec!["--help".into()]));
    }
    let words = std::iter::once(OsString::from("minke")).chain(scanned.arguments);
    let matches =
        command.try_get_matches_from_mut(words).map_err(|error| usage(scan::explain(&error, None)))?;
    let mut flags =
        ProjectFlags::from_arg_matches(&matches).map_err(|error| usage(scan::explain(&error, None)))?;
    let mut words = std::mem::take(&mut flags.words);
    if flags.version {
        words = vec!["version".into()];
    }
    let verb = words.first().and_then(|word| word.to_str()).unwrap_or_default();
    if !HANDS_ON.contains(&verb) {
        let before = words.len();
        words.retain(|word| word != "--dry-run");
        flags.dry_run |= words.len() < before;
    }
    flags.check()?;
    Ok((flags, words))
}

impl ProjectFlags {
    fn check(&self) -> Result<(), Failure> {
        let one_of = |flag: &str, value: Option<&str>, values: &[&str]| match value {
            Some(value) if !values.contains(&value) => Err(Failure::new(format!(
                "unsupported --{flag} value {value:?}, want one of {}",
                values.join(", ")
            ))),
            _ => Ok(()),
        };
        one_of("progress", self.progress(), &["auto", "tty", "plain", "json", "quiet"])?;
        one_of("ansi", self.ansi(), &["never", "always", "auto"])
    }

    /// `--progress`, else the environment's.
    pub(crate) fn progress(&self) -> Option<&str> {
        self.progress.as_deref()
    }

    /// `--ansi`
    pub(crate) fn ansi(&self) -> Option<&str> {
        if self.no_ansi { Some("never") } else { self.ansi.as_deref() }
    }

    /// How many requests may be under way; none for the usual number.
    pub(crate) fn parallel(&self) -> Option<usize> {
        let asked = self.parallel.or_else(|| variable("COMPOSE_PARALLEL_LIMIT")?.parse().ok())?;
        Some(usize::try_from(asked).unwrap_or(usize::MAX >> 4))
    }
}

/// A variable of the environment that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a variable switches something on.
pub(crate) fn switched_on(name: &str) -> bool {
    variable(name).and_then(|value| scan::go_boolean(&value)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<(ProjectFlags, Vec<OsString>), Failure> {
        read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_end_at_the_verb() {
        let (flags, words) =
            read_line("-f a.yaml --file b.yaml -p x --profile dev up -d --scale web=2").unwrap();
        assert_eq!(flags.files, ["a.yaml", "b.yaml"]);
        assert_eq!(
            (flags.project.as_deref(), flags.profiles.as_slice()),
            (Some("x"), &["dev".to_owned()][..])
        );
        assert_eq!(words, ["up", "-d", "--scale", "web=2"]);
    }

    #[test]
    fn a_dry_run_may_be_asked_for_after_the_verb_unless_the_flag_is_another_programs() {
        let (flags, words) = read_line("up --dry-run -d").unwrap();
        assert!(flags.dry_run && words == ["up", "-d"]);
        let (flags, words) = read_line("exec web tool --dry-run").unwrap();
        assert!(!flags.dry_run && words.len() == 4);
    }

    #[test]
    fn values_are_checked() {
        let failure = read_line("--progress fancy up").unwrap_err();
        assert!(failure.message.starts_with("unsupported --progress value \"fancy\""), "{}", failure.message);
        assert!(read_line("--nope up").unwrap_err().message.starts_with("unknown flag: --nope"));
    }
}
