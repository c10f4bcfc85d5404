//! What a verb is: its flags, how many words it takes, and what it does.

use std::{future::Future, pin::Pin};

use clap::{ArgAction, ArgMatches, Command};

use crate::{
    context::{Context, Globals},
    failure::Failure,
};

/// The outcome of a verb that talks to an engine.
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// One verb, e.g. `ps`.
#[derive(Debug)]
pub(crate) struct Verb {
    /// One line on what it does.
    pub(crate) about: &'static str,
    /// What follows its name in the usage line.
    pub(crate) usage: &'static str,
    /// How many words it takes.
    pub(crate) arity: Arity,
    /// Whether flags may follow words; else they end at the first word, as in `run IMAGE COMMAND -x`.
    pub(crate) flags_anywhere: bool,
    /// Its flags.
    pub(crate) build: fn() -> Command,
    /// What it does.
    pub(crate) action: Action,
}

/// How a verb runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// As a client, on an event loop of one thread.
    Client(fn(Context, ArgMatches) -> Outcome),
    /// On its own.
    Plain(fn(Globals, &ArgMatches) -> Result<(), Failure>),
}

/// How many words that are no flags a verb takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
    Any,
}

impl Arity {
    /// What is wrong with `count` words, in the docker CLI's text.
    pub(crate) fn problem(self, count: usize) -> Option<String> {
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        match self {
            Self::None if count > 0 => Some("accepts no arguments".to_owned()),
            Self::Exactly(n) if count != n => Some(format!("requires {n} {}", plural(n))),
            Self::AtLeast(n) if count < n => Some(format!("requires at least {n} {}", plural(n))),
            Self::AtMost(n) if count > n => Some(format!("requires at most {n} {}", plural(n))),
            Self::Between(low, high) if !(low..=high).contains(&count) => {
                Some(format!("requires at least {low} and at most {high} {}", plural(high)))
            }
            _ => None,
        }
    }
}

impl Verb {
    /// Its clap command with the rules that hold for all: `--help` alone asks for help, a repeated flag's
    /// last value counts, and a value may start with a hyphen.
    pub(crate) fn command(&self, path: &str) -> Command {
        (self.build)()
            .disable_help_flag(true)
            .disable_version_flag(true)
            .args_override_self(true)
            .about(self.about)
            .override_usage(self.usage_line(path))
            .mut_args(|arg| match arg.get_action() {
                ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
                _ => arg,
            })
    }

    /// `minke ps [OPTIONS]`
    pub(crate) fn usage_line(&self, path: &str) -> String {
        format!("minke {path} {}", self.usage).trim_end().to_owned()
    }
}

/// A [`Verb`] whose flags are a clap `Args` type and which runs as a client.
macro_rules! client_verb {
    ($args:ty, $run:path, $arity:expr, $usage:literal, $about:literal) => {
        client_verb!($args, $run, $arity, $usage, $about, true)
    };
    ($args:ty, $run:path, $arity:expr, $usage:literal, $about:literal, $anywhere:literal) => {
        $crate::cli::verb::Verb {
            about: $about,
            usage: $usage,
            arity: $arity,
            flags_anywhere: $anywhere,
            build: <$args as clap::CommandFactory>::command,
            action: $crate::cli::verb::Action::Client(|context, matches| {
                Box::pin(async move {
                    let args = $crate::cli::verb::typed::<$args>(&matches)?;
                    $run(&context, args).await
                })
            }),
        }
    };
}
pub(crate) use client_verb;

/// The typed form of parsed flags.
pub(crate) fn typed<A: clap::FromArgMatches>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(|error| Failure::new(super::scan::explain(&error, None)))
}
