//! `RUN`: the program, its environment and its here-documents.

use super::{
    Action, InlineScript, MountKind, RunStep, mount,
    stage::{At, Evaluation},
};
use crate::{
    ast::{CommandLine, Heredoc, Run},
    diagnostic::Diagnostic,
    expand::Expander,
    parse::heredoc_name,
};

/// Where BuildKit puts a script with `#!`.
const SCRIPTS: &str = "/dev/pipes/";
/// Arguments that every step sees, whether they were declared or not, and that are no part of a cache's key.
pub const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

impl Evaluation<'_> {
    pub(super) fn run(
        &mut self,
        at: At<'_>,
        run: &Run,
    ) -> Result<(String, Action, Option<String>), Diagnostic> {
        let code = &at.planned.instruction.code;
        let (command, script, summary) = with_heredocs(run);
        let arguments = match command {
            CommandLine::Exec(arguments) if arguments.is_empty() => {
                return Err(at.wrong("RUN requires at least one argument"));
            }
            CommandLine::Exec(arguments) => arguments,
            CommandLine::Shell(line) => self.in_shell(line),
        };
        let mounts = mount::read(self, at, run)?;
        let masked: Vec<String> = mounts.iter().filter_map(secret_variable).collect();
        let shown = summary.map_or_else(|| code.clone(), |summary| format!("{code} ({summary})"));
        let title = self.title(at, &shown, &Expander::of_titles(self.plan.escape), &masked);
        let history = format!("RUN {} # buildkit", self.with_arguments(&arguments));
        let held = self.inherited.environment.cost() + arguments.iter().map(String::len).sum::<usize>();
        self.spend(at, held)?;
        let step = RunStep {
            arguments,
            environment: self.inherited.environment.list(),
            proxies: self.proxies(),
            directory: self.directory(),
            user: self.image.config.user.clone(),
            mounts,
            network: run.network,
            security: run.security,
            devices: run.devices.clone(),
            script,
        };
        Ok((title, Action::Run(Box::new(step)), Some(history)))
    }

    /// The working directory, absolute and clean.
    pub(super) fn directory(&self) -> String {
        crate::paths::join("/", &self.image.config.working_dir)
    }

    /// The command behind the arguments that it depends on: `|2 a=1 b=2 /bin/sh -c …`.
    fn with_arguments(&self, arguments: &[String]) -> String {
        let declared = &self.inherited.arguments;
        let mut words: Vec<String> = Vec::with_capacity(declared.len() + arguments.len() + 1);
        if !declared.is_empty() {
            words.push(format!("|{}", declared.len()));
        }
        for (name, value) in declared {
            let value = self.value(name).or(value.as_deref()).unwrap_or_default();
            words.push(format!("{name}={value}"));
        }
        words.extend_from_slice(arguments);
        words.join(" ")
    }

    /// In capitals and in small letters, for programs know one or the other.
    fn proxies(&self) -> Vec<(String, String)> {
        let mut proxies = Vec::new();
        for name in PROXIES {
            let given =
                self.plan.options.arguments.iter().rev().find(|(given, _)| given.eq_ignore_ascii_case(name));
            if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
                proxies.push((name.to_owned(), value.clone()));
                proxies.push((name.to_lowercase(), value.clone()));
            }
        }
        proxies
    }
}

fn secret_variable(mount: &super::Mount) -> Option<String> {
    match &mount.kind {
        MountKind::Secret { environment, .. } => environment.clone(),
        _ => None,
    }
}

/// What runs when there are here-documents: the content of the only one, as a line for the shell or as a program of its own;
/// or the line with all of them, which is a task for the shell. And what the title says of them.
fn with_heredocs(run: &Run) -> (CommandLine, Option<InlineScript>, Option<String>) {
    let (CommandLine::Shell(line), Some(first)) = (&run.command, run.heredocs.first()) else {
        return (run.command.clone(), None, None);
    };
    if heredoc_name(line).is_none() {
        return (CommandLine::Shell(reassembled(line, &run.heredocs)), None, None);
    }
    let (content, summary) = (first.text(), Some(summary(&first.content)));
    if !content.starts_with("#!") {
        return (CommandLine::Shell(content), None, summary);
    }
    let name = first.name.clone();
    let command = CommandLine::Shell(crate::paths::join(SCRIPTS, &name));
    (command, Some(InlineScript { directory: SCRIPTS.to_owned(), name, content }), summary)
}

fn reassembled(line: &str, heredocs: &[Heredoc]) -> String {
    heredocs
        .iter()
        .fold(line.to_owned(), |text, heredoc| format!("{text}\n{}{}", heredoc.content, heredoc.name))
}

/// The first line.
fn summary(content: &str) -> String {
    let mut lines = content.trim().lines();
    let first = lines.next().unwrap_or_default().to_owned();
    if lines.next().is_some() { first + "..." } else { first }
}
