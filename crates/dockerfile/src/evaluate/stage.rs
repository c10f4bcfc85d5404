//! One stage from its base to its image.

use std::collections::BTreeMap;

use minke_model::{
    Platform,
    image_config::{HistoryRecord, ImageConfig, RootFs, RunConfig},
};

use super::{Action, Base, Evaluated, Inherited, Step, title::Titles};
use crate::{
    ast::{Kind, Lines, Source},
    diagnostic::Diagnostic,
    expand::{Expander, Variables},
    limits::{MOST_EVALUATED, MOST_VARIABLES},
    lint::{Linter, Rule},
    plan::{Plan, PlannedInstruction, PlannedStage, StageId},
    suggest,
};

/// What BuildKit writes beside each step of its making.
const COMMENT: &str = "buildkit.dockerfile.v0";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Arguments for BuildKit itself, which no step sees.
const NOT_SEEN: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl Plan {
    /// Carries out the instructions of a stage on paper: everything but running, copying and downloading.
    ///
    /// # Errors
    /// The first instruction that can't be carried out.
    ///
    /// # Panics
    /// On a number that isn't one of this plan's.
    pub fn evaluate(
        &self,
        id: StageId,
        base: Base<'_>,
        linter: &mut Linter,
    ) -> Result<Evaluated, Diagnostic> {
        let mut stage = Evaluation::begin(self, self.stage(id), base, linter)?;
        for planned in &self.stage(id).instructions {
            stage.instruction(planned)?;
        }
        Ok(stage.end())
    }

    /// The image of the target: with these labels, and for the platform that was asked for.
    pub fn finished(&self, evaluated: &Evaluated, labels: &BTreeMap<String, String>) -> ImageConfig {
        let mut image = evaluated.image.clone();
        image.config.labels.extend(labels.clone());
        let mut platform = Platform::normalised(&image.os, &image.architecture, image.variant.as_deref());
        if let Some(wanted) = &self.options.target_platform {
            let is_same = (&wanted.os, &wanted.architecture) == (&platform.os, &platform.architecture);
            let variant = wanted.variant.clone().or(platform.variant.filter(|_| is_same));
            platform = Platform { variant, ..wanted.clone() };
        }
        image.os = platform.os;
        image.architecture = platform.architecture;
        image.variant = platform.variant;
        image
    }
}

/// A stage while its instructions are carried out.
pub(super) struct Evaluation<'a> {
    pub(super) plan: &'a Plan,
    pub(super) linter: &'a mut Linter,
    pub(super) stage: &'a PlannedStage,
    pub(super) image: ImageConfig,
    pub(super) inherited: Inherited,
    pub(super) platform: Platform,
    pub(super) titles: Titles,
    /// Where the last `CMD`, `ENTRYPOINT` and `HEALTHCHECK` of this stage are.
    pub(super) last: BTreeMap<&'static str, Lines>,
    expander: Expander,
    from: Option<String>,
    steps: Vec<Step>,
    bytes: usize,
}

/// The instruction that is carried out.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) planned: &'a PlannedInstruction,
    pub(super) source: &'a Source,
}

impl At<'_> {
    /// A mistake of this instruction.
    pub(super) fn wrong(&self, message: impl ToString) -> Diagnostic {
        Diagnostic::new(self.source, self.planned.instruction.lines, message.to_string())
    }
}

impl<'a> Evaluation<'a> {
    fn begin(
        plan: &'a Plan,
        stage: &'a PlannedStage,
        base: Base<'_>,
        linter: &'a mut Linter,
    ) -> Result<Self, Diagnostic> {
        let wanted = plan.options.platform();
        let (mut image, inherited, platform) = match base {
            Base::Scratch => (nothing(wanted), Inherited::default(), wanted.clone()),
            Base::Image { config, .. } => {
                let platform = stage.platform.clone().unwrap_or_else(|| wanted.clone());
                (config.clone(), Inherited::default(), platform)
            }
            Base::Stage(before) => (before.image.clone(), before.inherited.clone(), before.platform.clone()),
        };
        image.created = None;
        // What another engine said of the base.
        (image.comment, image.docker_version, image.container) = (None, None, None);
        image.config.on_build.clear();
        let titles = Titles::new(stage, base, plan.options.is_multi_platform.then_some(&platform));
        let mut evaluation = Self {
            plan,
            linter,
            stage,
            image,
            inherited,
            platform,
            titles,
            last: BTreeMap::new(),
            expander: Expander::new(plan.escape),
            from: None,
            steps: Vec::new(),
            bytes: 0,
        };
        evaluation.bytes = evaluation.inherits();
        if evaluation.bytes > MOST_EVALUATED {
            let message = format!("it begins with more than {MOST_EVALUATED} bytes of variables and history");
            return Err(Diagnostic::new(&plan.source, stage.lines, message));
        }
        evaluation.check_base(base);
        evaluation.take_environment();
        Ok(evaluation)
    }

    /// How many bytes come from what it is built on.
    fn inherits(&self) -> usize {
        let (image, inherited) = (&self.image.config, &self.inherited);
        let text = |(name, value): (&String, &String)| name.len() + value.len();
        let history = self.image.history.iter().filter_map(|record| record.created_by.as_deref());
        let values = inherited
            .arguments
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
        image.env.iter().map(String::len).sum::<usize>()
            + image.labels.iter().map(text).sum::<usize>()
            + history.map(str::len).sum::<usize>()
            + inherited.environment.bytes()
            + values.sum::<usize>()
    }

    /// The title of the `FROM`, and whether the image is for the platform that is wanted.
    fn check_base(&mut self, base: Base<'_>) {
        let Base::Image { config, title } = base else { return };
        self.from = Some(self.titles.next(&format!("FROM {title}"), &self.inherited.environment, false));
        let is_same = (&config.os, &config.architecture) == (&self.platform.os, &self.platform.architecture);
        if !is_same && !config.rootfs.diff_ids.is_empty() {
            let actual = Platform::normalised(&config.os, &config.architecture, config.variant.as_deref());
            let written = self.written_base();
            let message = format!(
                "Base image {written} was pulled with platform \"{actual}\", expected \"{}\" for current build",
                self.platform
            );
            self.linter.report(
                Rule::InvalidBaseImagePlatform,
                self.stage.lines,
                &self.stage.comments,
                message,
            );
        }
    }

    fn written_base(&self) -> String {
        match &self.stage.base {
            crate::plan::Origin::Image(image) => image.written.clone(),
            crate::plan::Origin::Named(context) => context.name.clone(),
            _ => String::new(),
        }
    }

    /// The image's environment, in which there is always a `PATH`, over what a stage before left.
    fn take_environment(&mut self) {
        let env = &mut self.image.config.env;
        if !env.iter().any(|entry| split(entry).0 == "PATH") {
            env.extend(default_path(&self.platform));
        }
        for entry in env {
            let (name, value) = split(entry);
            self.inherited.environment.set(name, value);
        }
        let directory = &mut self.image.config.working_dir;
        if !directory.is_empty() && !directory.starts_with('/') {
            *directory = crate::paths::join("/", directory);
        }
    }

    fn instruction(&mut self, planned: &PlannedInstruction) -> Result<(), Diagnostic> {
        let plan = self.plan;
        let at = At { planned, source: &plan.source };
        let instruction = &planned.instruction;
        let (title, action, history) = match &instruction.kind {
            Kind::Run(run) => self.run(at, run)?,
            Kind::Add(add) => self.add(at, add)?,
            Kind::Copy(copy) => self.copy(at, copy)?,
            Kind::Workdir(path) => self.workdir(at, path)?,
            kind => (instruction.code.clone(), Action::Nothing, self.metadata(at, kind)?),
        };
        let history = history.map(|created_by| HistoryRecord {
            created_by: Some(created_by),
            comment: Some(COMMENT.to_owned()),
            empty_layer: action == Action::Nothing,
            ..HistoryRecord::default()
        });
        self.spend(
            at,
            title.len() + history.as_ref().and_then(|h| h.created_by.as_ref()).map_or(0, String::len),
        )?;
        self.image.history.extend(history.clone());
        self.steps.push(Step {
            title,
            code: instruction.code.clone(),
            lines: instruction.lines,
            action,
            history,
        });
        Ok(())
    }

    fn end(self) -> Evaluated {
        Evaluated {
            from: self.from,
            steps: self.steps,
            image: self.image,
            platform: self.platform,
            inherited: self.inherited,
            bytes: self.bytes,
        }
    }

    /// Counts what the steps hold.
    pub(super) fn spend(&mut self, at: At<'_>, bytes: usize) -> Result<(), Diagnostic> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MOST_EVALUATED {
            true => Err(at.wrong(format!("the steps of one stage hold more than {MOST_EVALUATED} bytes"))),
            false => Ok(()),
        }
    }

    /// A word with its variables expanded; those that aren't set are remarked.
    pub(super) fn word(&mut self, at: At<'_>, word: &str) -> Result<String, Diagnostic> {
        let expanded = self.expander.expand(word, &self.inherited.environment);
        let found = expanded.map_err(|error| at.wrong(error))?;
        self.remark_unset(at, &found.unmatched);
        Ok(found.text)
    }

    /// A text that may become several words.
    pub(super) fn words(&mut self, at: At<'_>, text: &str) -> Result<Vec<String>, Diagnostic> {
        let expanded = self.expander.expand(text, &self.inherited.environment);
        expanded.map(|found| found.words).map_err(|error| at.wrong(error))
    }

    /// The content of a here-document.
    pub(super) fn heredoc(&mut self, at: At<'_>, text: &str) -> Result<String, Diagnostic> {
        let expanded = Expander::of_heredocs().expand(text, &self.inherited.environment);
        let found = expanded.map_err(|error| at.wrong(error))?;
        self.spend(at, found.text.len())?;
        self.remark_unset(at, &found.unmatched);
        Ok(found.text)
    }

    fn remark_unset(&mut self, at: At<'_>, unmatched: &std::collections::BTreeSet<String>) {
        let declared = |name: &str| self.inherited.arguments.iter().any(|(argument, _)| argument == name);
        let unset: Vec<&String> =
            unmatched.iter().filter(|name| !declared(name) && !NOT_SEEN.contains(&name.as_str())).collect();
        for name in unset {
            let hint = suggest::nearest(name, self.inherited.environment.names());
            let hint = hint.map(|found| format!(" (did you mean ${found}?)")).unwrap_or_default();
            let message = format!("Usage of undefined variable '${name}'{hint}");
            self.report(at, Rule::UndefinedVar, message);
        }
    }

    /// A remark on this instruction.
    pub(super) fn report(&mut self, at: At<'_>, rule: Rule, message: String) {
        let instruction = &at.planned.instruction;
        self.linter.report(rule, instruction.lines, &instruction.comments, message);
    }

    /// Sets a variable that steps see.
    pub(super) fn set(&mut self, at: At<'_>, name: &str, value: &str) -> Result<(), Diagnostic> {
        if !NOT_SEEN.contains(&name) {
            self.inherited.environment.set(name, value);
        }
        match self.inherited.environment.len() > MOST_VARIABLES {
            true => Err(at.wrong(format!("more than {MOST_VARIABLES} variables"))),
            false => Ok(()),
        }
    }

    /// The value of a variable.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.inherited.environment.get(name)
    }

    /// What progress shows: the instruction with its variables.
    pub(super) fn title(&mut self, at: At<'_>, text: &str, quoting: &Expander, masked: &[String]) -> String {
        let environment = &self.inherited.environment;
        let text = self.titles.expanded(text, quoting, environment, masked);
        self.titles.next(&text, environment, at.planned.is_on_build)
    }

    /// Quotes as in titles of all but `RUN`: they go.
    pub(super) fn plain(&self) -> Expander {
        Expander::new(self.plan.escape)
    }
}

/// The name and the value of an entry of an environment.
pub(super) fn split(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}

/// Where programs are looked for in an image that doesn't say it; Windows knows.
fn default_path(platform: &Platform) -> Option<String> {
    (platform.os != "windows").then(|| format!("PATH={PATH}"))
}

/// `scratch`.
fn nothing(platform: &Platform) -> ImageConfig {
    ImageConfig {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        rootfs: RootFs::default(),
        config: RunConfig {
            working_dir: "/".to_owned(),
            env: default_path(platform).into_iter().collect(),
            ..RunConfig::default()
        },
        ..ImageConfig::default()
    }
}
