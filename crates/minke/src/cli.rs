//! From arguments to a verb and its outcome to an exit code.
//!
//! ```text
//!   globals ──▶ word(s) ──▶ tree: which verb ──▶ scan: Docker's flag rules ──▶ clap: typed arguments ──▶ run
//! ```
//! Only the verb that was called is built as a clap command: the whole tree costs milliseconds, one verb microseconds.

pub(crate) mod complete;
mod globals;
mod help;
pub(crate) mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod verb;

use std::ffi::OsString;

use crate::{
    compose::{
        self,
        plugin::{self, Called},
    },
    context::{Context, Globals},
    failure::{Failure, USAGE},
    output,
};
use globals::Start;
use tree::Found;
use verb::{Action, Verb};

/// Runs the program with its arguments, of which the first is its name, and returns its exit code.
pub(crate) fn main(arguments: Vec<OsString>) -> i32 {
    let mut words = arguments.into_iter();
    let name = words.next();
    let outcome = match plugin::called(name.as_deref(), words.collect()) {
        Called::Minke(words) => dispatch(words, false),
        Called::Plugin(words) => dispatch(words, true),
        Called::Metadata => output::line(&plugin::metadata()),
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            crate::terminal::restore();
            if !failure.message.is_empty() {
                output::note(&failure.message);
            }
            failure.code
        }
    }
}

fn dispatch(arguments: Vec<OsString>, as_plugin: bool) -> Result<(), Failure> {
    let (mut globals, mut words) = match globals::read(arguments)? {
        Start::Version => return output::line(&format!("minke version {}", env!("CARGO_PKG_VERSION"))),
        Start::Help => return output::print(&help::overview()),
        Start::Verb(globals, words) => (*globals, words),
    };
    if as_plugin {
        plugin::default_engine(&mut globals);
    }
    if words.first().is_some_and(|word| word == "compose") {
        let (flags, rest) = compose::flags::read(&words[1..])?;
        globals.compose = flags;
        words = std::iter::once(OsString::from("compose")).chain(rest).collect();
    }
    let word = |at: usize| words.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    if word(0) == "help" {
        return help::of(&words[1..]);
    }
    match tree::find(word(0), word(1)) {
        Found::Verb(path, verb) => {
            let rest = words[path.split(' ').count()..].to_vec();
            execute(&path, verb, globals, rest)
        }
        Found::Group(group) if matches!(word(1), "" | "--help" | "-h") => output::print(&help::group(group)),
        Found::Group(group) => Err(unknown(&format!("{} {}", group.name, word(1)), group.name)),
        Found::NotYet(name) => Err(Failure::new(format!("minke: 'minke {name}' is not supported yet"))),
        Found::Unknown => Err(unknown(word(0), "")),
    }
}

fn unknown(words: &str, parent: &str) -> Failure {
    let help =
        ["minke", parent, "--help"].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    Failure::new(format!("minke: unknown command: minke {words}\n\nRun '{help}' for more information"))
}

/// Reads the verb's flags and runs it.
fn execute(
    path: &str,
    verb: &'static Verb,
    globals: Globals,
    arguments: Vec<OsString>,
) -> Result<(), Failure> {
    let mut command = verb.command(path);
    let usage_failure = |problem: String| {
        let usage = verb.usage_line(path);
        Failure::new(format!(
            "{problem}\n\nUsage:  {usage}\n\nRun 'minke {path} --help' for more information"
        ))
        .with_code(USAGE)
    };
    let scanned = match scan::scan(&command, &arguments, verb.flags_anywhere) {
        Ok(scanned) if scanned.help => return output::print(&help::verb(path, verb)),
        Ok(scanned) => scanned,
        Err(problem) => return Err(usage_failure(problem)),
    };
    if let Some(problem) = verb.arity.problem(scanned.positionals) {
        return Err(usage_failure(format!("minke: 'minke {path}' {problem}")).with_code(1));
    }
    let matches = command
        .try_get_matches_from_mut(std::iter::once(OsString::from("minke")).chain(scanned.arguments))
        .map_err(|error| usage_failure(scan::explain(&error, Some(&command))))?;
    match verb.action {
        Action::Plain(run) => run(globals, &matches),
        Action::Client(run) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::doing("start the event loop", error))?;
            let outcome = runtime.block_on(run(Context::new(globals), matches));
            // A thread may still wait for standard input; the exit that follows ends it.
            runtime.shutdown_background();
            outcome
        }
    }
}
