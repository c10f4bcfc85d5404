//! Instructions that change nothing but the image's configuration, and `WORKDIR`, which also makes a folder. Each says what
//! the image's history keeps of it.

use minke_model::image_config::{Empty, Healthcheck};

use super::{
    Action, MakeDirectory, health, ports, signals,
    stage::{At, Evaluation, split},
};
use crate::{
    ast::{Argument, CommandLine, Kind, Pair},
    diagnostic::Diagnostic,
    lint::{Rule, sounds_secret},
    paths,
    quote::{listed, quoted, quoted_list},
};

type History = Option<String>;

impl Evaluation<'_> {
    /// Any instruction without an action.
    pub(super) fn metadata(&mut self, at: At<'_>, kind: &Kind) -> Result<History, Diagnostic> {
        match kind {
            Kind::Arg(arguments) => self.arguments(at, arguments),
            Kind::Cmd(command) => Ok(self.cmd(at, command)),
            Kind::Entrypoint(command) => Ok(self.entrypoint(at, command)),
            Kind::Env(pairs) => self.env(at, pairs),
            Kind::Expose(written) => self.expose(at, written),
            Kind::Healthcheck(check) => Ok(self.healthcheck(at, check)),
            Kind::Label(pairs) => self.label(at, pairs),
            Kind::Maintainer(name) => {
                self.image.author = Some(name.clone());
                Ok(Some(format!("MAINTAINER {name}")))
            }
            Kind::OnBuild(trigger) => {
                self.image.config.on_build.push(trigger.clone());
                Ok(None)
            }
            Kind::Shell(shell) => {
                self.image.config.shell = Some(shell.clone());
                Ok(Some(format!("SHELL {}", listed(shell))))
            }
            Kind::StopSignal(signal) => self.stop_signal(at, signal),
            Kind::User(user) => {
                self.image.config.user = self.word(at, user)?;
                Ok(Some(format!("USER {}", self.image.config.user)))
            }
            Kind::Volume(folders) => self.volume(at, folders),
            // These have actions.
            Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_) => Ok(None),
        }
    }

    fn arguments(&mut self, at: At<'_>, arguments: &[Argument]) -> Result<History, Diagnostic> {
        let mut history = String::from("ARG");
        for Argument { name, default, .. } in arguments {
            self.warn_of_secret(at, "ARG", name);
            let given = self.plan.options.arguments.get(name).cloned();
            let value = match (given, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => Some(self.word(at, default)?),
                (None, None) => crate::expand::Variables::get(&self.plan.globals, name).map(str::to_owned),
            };
            history.push(' ');
            history.push_str(name);
            if let Some(value) = &value {
                self.set(at, name, value)?;
                history.push('=');
                history.push_str(value);
            }
            let arguments = &mut self.inherited.arguments;
            match arguments.iter_mut().find(|(declared, _)| declared == name) {
                Some((_, before)) => *before = value,
                None => arguments.push((name.clone(), value)),
            }
        }
        Ok(Some(history))
    }

    fn env(&mut self, at: At<'_>, pairs: &[Pair]) -> Result<History, Diagnostic> {
        let mut history = String::from("ENV");
        for (name, value) in self.pairs(at, pairs, "ENV")? {
            self.warn_of_secret(at, "ENV", &name);
            history.push_str(&format!(" {name}={value}"));
            self.set(at, &name, &value)?;
            let entry = format!("{name}={value}");
            let env = &mut self.image.config.env;
            match env.iter_mut().find(|entry| split(entry).0 == name) {
                Some(before) => *before = entry,
                None => env.push(entry),
            }
        }
        Ok(Some(history))
    }

    fn label(&mut self, at: At<'_>, pairs: &[Pair]) -> Result<History, Diagnostic> {
        let mut history = String::from("LABEL");
        for (name, value) in self.pairs(at, pairs, "LABEL")? {
            history.push_str(&format!(" {name}={value}"));
            self.image.config.labels.insert(name, value);
        }
        Ok(Some(history))
    }

    /// All of a line with the values from before it.
    fn pairs(&mut self, at: At<'_>, pairs: &[Pair], name: &str) -> Result<Vec<(String, String)>, Diagnostic> {
        if pairs.iter().any(|pair| pair.is_legacy) {
            let message = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format",
                keyword = at.planned.instruction.keyword
            );
            self.report(at, Rule::LegacyKeyValueFormat, message);
        }
        let expanded = pairs.iter().map(|pair| Ok((self.word(at, &pair.name)?, self.word(at, &pair.value)?)));
        let expanded: Vec<(String, String)> = expanded.collect::<Result<_, Diagnostic>>()?;
        match expanded.iter().any(|(key, _)| key.is_empty()) {
            true => Err(at.wrong(format!("{name} names can not be blank"))),
            false => Ok(expanded),
        }
    }

    fn warn_of_secret(&mut self, at: At<'_>, instruction: &str, name: &str) {
        if sounds_secret(name) {
            let name = quoted(name);
            let message =
                format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name})");
            self.report(at, Rule::SecretsUsedInArgOrEnv, message);
        }
    }

    fn cmd(&mut self, at: At<'_>, command: &CommandLine) -> History {
        let arguments = self.command(at, command);
        let history = format!("CMD {}", quoted_list(&arguments));
        self.image.config.cmd = (!arguments.is_empty()).then_some(arguments);
        // Only Windows looks at it, but BuildKit writes it everywhere.
        self.image.config.args_escaped = true;
        Some(history)
    }

    /// A command of a base is for the entry point of that base; one of this stage is for the new one.
    fn entrypoint(&mut self, at: At<'_>, command: &CommandLine) -> History {
        let has_cmd = self.last.contains_key("CMD");
        let arguments = self.command(at, command);
        let history = format!("ENTRYPOINT {}", quoted_list(&arguments));
        self.image.config.entrypoint = (!arguments.is_empty()).then_some(arguments);
        if !has_cmd {
            self.image.config.cmd = None;
        }
        Some(history)
    }

    fn command(&mut self, at: At<'_>, command: &CommandLine) -> Vec<String> {
        self.warn_of_repetition(at);
        match command {
            CommandLine::Exec(arguments) => arguments.clone(),
            CommandLine::Shell(line) => {
                if self.image.config.shell.as_ref().is_none_or(Vec::is_empty) {
                    let message = format!(
                        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                        at.planned.instruction.keyword
                    );
                    self.report(at, Rule::JsonArgsRecommended, message);
                }
                self.in_shell(line.clone())
            }
        }
    }

    /// The last of its kind decides, so those before are remarked.
    fn warn_of_repetition(&mut self, at: At<'_>) {
        let instruction = &at.planned.instruction;
        let before = self.last.insert(instruction.kind.name(), instruction.lines);
        if let Some(before) = before {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                instruction.keyword
            );
            self.linter.report(Rule::MultipleInstructionsDisallowed, before, &instruction.comments, message);
        }
    }

    fn healthcheck(&mut self, at: At<'_>, check: &Healthcheck) -> History {
        self.warn_of_repetition(at);
        self.image.config.healthcheck = Some(check.clone());
        Some(format!("HEALTHCHECK {}", health::shown(check)))
    }

    fn expose(&mut self, at: At<'_>, written: &[String]) -> Result<History, Diagnostic> {
        let mut exposed = Vec::new();
        for text in written {
            for port in self.words(at, text)? {
                let found = ports::parse(&port).map_err(|error| at.wrong(error))?;
                if found.has_capitals {
                    let message =
                        format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
                    self.report(at, Rule::ExposeProtoCasing, message);
                }
                if found.has_host {
                    let message = format!(
                        "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    );
                    self.report(at, Rule::ExposeInvalidFormat, message);
                }
                exposed.extend(found.ports());
                if exposed.len() > crate::limits::MOST_PORTS {
                    return Err(at.wrong(format!("more than {} ports", crate::limits::MOST_PORTS)));
                }
            }
        }
        let history = format!("EXPOSE {}", listed(&exposed));
        self.image.config.exposed_ports.extend(exposed.into_iter().map(|port| (port, Empty {})));
        Ok(Some(history))
    }

    fn volume(&mut self, at: At<'_>, folders: &[String]) -> Result<History, Diagnostic> {
        let folders = folders.iter().map(|folder| self.word(at, folder)).collect::<Result<Vec<_>, _>>()?;
        if folders.iter().any(String::is_empty) {
            return Err(at.wrong("VOLUME specified can not be an empty string"));
        }
        let history = format!("VOLUME {}", listed(&folders));
        self.image.config.volumes.extend(folders.into_iter().map(|folder| (folder, Empty {})));
        Ok(Some(history))
    }

    fn stop_signal(&mut self, at: At<'_>, signal: &str) -> Result<History, Diagnostic> {
        let signal = self.word(at, signal)?;
        if !signals::is_signal(&signal) {
            return Err(at.wrong(format!("invalid signal: {signal}")));
        }
        self.image.config.stop_signal = Some(signal.clone());
        Ok(Some(format!("STOPSIGNAL {signal}")))
    }

    /// The folder is made as the user that is set, and made even where it stays empty: each `WORKDIR` is a layer.
    pub(super) fn workdir(
        &mut self,
        at: At<'_>,
        path: &str,
    ) -> Result<(String, Action, History), Diagnostic> {
        let path = self.word(at, path)?;
        if !self.inherited.has_workdir && !path.starts_with('/') {
            let message = format!(
                "Relative workdir {} can have unexpected results if the base image changes",
                quoted(&path)
            );
            self.report(at, Rule::WorkdirRelativePath, message);
        }
        self.inherited.has_workdir = true;
        // As written when it is absolute: `docker inspect` shows it so.
        let directory =
            if path.starts_with('/') { path } else { paths::join(&self.image.config.working_dir, &path) };
        let history = Some(format!("WORKDIR {directory}"));
        self.image.config.working_dir.clone_from(&directory);
        let path = paths::clean(&directory);
        if directory == "/" {
            return Ok((at.planned.instruction.code.clone(), Action::Nothing, history));
        }
        let title = self.title(at, &at.planned.instruction.code, &self.plain(), &[]);
        let user = self.image.config.user.clone();
        Ok((title, Action::MakeDirectory(MakeDirectory { path, user }), history))
    }

    /// A line as an argument of the shell.
    pub(super) fn in_shell(&self, line: String) -> Vec<String> {
        let words: &[&str] =
            if self.platform.os == "windows" { &["cmd", "/S", "/C"] } else { &["/bin/sh", "-c"] };
        let default = || words.iter().map(|word| (*word).to_owned()).collect();
        let shell = self.image.config.shell.clone().filter(|shell| !shell.is_empty());
        let mut arguments = shell.unwrap_or_else(default);
        arguments.push(line);
        arguments
    }
}
