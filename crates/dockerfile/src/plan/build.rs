//! From a Dockerfile to a [`Plan`].

use std::collections::{BTreeMap, BTreeSet};

use minke_model::{Platform, Reference};

use super::{
    Options, Origin, Plan, PlannedInstruction, PlannedStage, StageId, contexts, globals, needed,
    origins::Names,
};
use crate::{
    ast::{Dockerfile, Instruction, Kind, Stage},
    diagnostic::Diagnostic,
    environment::Environment,
    expand::{Expander, Expansion},
    lint::{Linter, Rule},
    parse::parse_trigger,
    quote::quoted,
    suggest,
};

impl Plan {
    /// Resolves the names in a file.
    ///
    /// # Errors
    /// A base or a platform that can't be, a target that isn't there, stages that need each other.
    pub fn new(file: &Dockerfile, options: &Options, linter: &mut Linter) -> Result<Self, Diagnostic> {
        linter.read(file);
        let expander = Expander::new(file.directives.escape);
        let last = file.stages.last().and_then(|stage| stage.name.clone());
        let target_name = options.target.clone().or(last).unwrap_or_default();
        let predefined = globals::predefined(options, &target_name);
        check_defaults(file, &predefined, &expander, linter);
        let globals = globals::declared(file, predefined, &options.arguments, &expander)?;
        let known = globals::known_names(file, &globals);
        let builder = Builder { file, options, globals: &globals, known, expander };
        let (mut stages, names) = builder.stages(linter)?;
        builder.instructions(&mut stages, &names)?;
        let target = builder.target(&stages, &names)?;
        let mut plan = Self {
            source: file.source.clone(),
            escape: file.directives.escape,
            options: options.clone(),
            globals,
            stages,
            names,
            target,
        };
        plan.trigger_stages()?;
        needed::check_cycles(&plan)?;
        needed::check_order(&plan)?;
        Ok(plan)
    }

    /// Adds what the base of a stage, an image, triggers (`OnBuild` of its configuration). More stages may be needed then,
    /// and more images: ask [`Plan::needed`] again. The executor does this once for each stage whose base is an image.
    ///
    /// # Errors
    /// A trigger that is no instruction, or takes files from where there are none.
    pub fn on_build(&mut self, id: StageId, triggers: &[String]) -> Result<(), Diagnostic> {
        self.trigger(id, triggers)?;
        // Those that build on this one have triggers of their own already; what it needs is checked again.
        needed::check_cycles(self)?;
        needed::check_order(self)
    }

    /// `ONBUILD` of stages that others build on, in the order of the file, so that triggers trigger too.
    fn trigger_stages(&mut self) -> Result<(), Diagnostic> {
        for id in 0..self.stages.len() {
            let Origin::Stage(base) = self.stages[id].base else { continue };
            let triggers: Vec<String> = self.stages[base]
                .instructions
                .iter()
                .filter_map(|planned| match &planned.instruction.kind {
                    Kind::OnBuild(trigger) => Some(trigger.clone()),
                    _ => None,
                })
                .collect();
            self.trigger(id, &triggers)?;
        }
        Ok(())
    }

    fn trigger(&mut self, id: StageId, triggers: &[String]) -> Result<(), Diagnostic> {
        let lines = self.stages[id].lines;
        let names = Names {
            options: &self.options,
            stages: &self.names,
            count: self.stages.len(),
            escape: self.escape,
        };
        let mut planned = Vec::with_capacity(triggers.len());
        for trigger in triggers {
            let instruction = parse_trigger(trigger, &self.source, lines)?;
            let origins = names
                .of(&instruction.kind)
                .map_err(|message| Diagnostic::new(&self.source, lines, message))?;
            planned.push(PlannedInstruction { instruction, origins, is_on_build: true });
        }
        self.stages[id].instructions.splice(0..0, planned);
        Ok(())
    }
}

struct Builder<'a> {
    file: &'a Dockerfile,
    options: &'a Options,
    globals: &'a Environment,
    known: BTreeSet<String>,
    expander: Expander,
}

type StageNames = BTreeMap<String, StageId>;

impl Builder<'_> {
    /// Each stage with its base, without instructions.
    fn stages(&self, linter: &mut Linter) -> Result<(Vec<PlannedStage>, StageNames), Diagnostic> {
        let (mut stages, mut names) = (Vec::new(), StageNames::new());
        for (id, stage) in self.file.stages.iter().enumerate() {
            stages.push(self.stage(id, stage, &names, linter)?);
            if let Some(name) = &stage.name {
                names.insert(name.clone(), id);
            }
        }
        Ok((stages, names))
    }

    fn stage(
        &self,
        id: StageId,
        stage: &Stage,
        names: &StageNames,
        linter: &mut Linter,
    ) -> Result<PlannedStage, Diagnostic> {
        let wrong = |message: String| Diagnostic::new(&self.file.source, stage.lines, message);
        let base = self.expand(stage, &stage.base, linter).map_err(wrong)?;
        if base.text.is_empty() {
            return Err(wrong(format!("base name ({}) should not be blank", stage.base)));
        }
        let platform = match &stage.platform {
            Some(written) => Some(self.platform(stage, written, linter)?),
            None => None,
        };
        let replaced =
            stage.name.as_ref().and_then(|name| contexts::find(self.options, name, platform.as_ref()));
        let base = match replaced {
            Some(context) => Origin::Named(context),
            None => self.names(names).base(&base.text, platform.as_ref()).map_err(wrong)?,
        };
        let title = stage.name.clone().unwrap_or_else(|| format!("stage-{id}"));
        Ok(PlannedStage {
            id,
            name: stage.name.clone(),
            title,
            base,
            platform,
            instructions: Vec::new(),
            code: stage.code.clone(),
            lines: stage.lines,
            comments: stage.comments.clone(),
        })
    }

    fn names<'n>(&'n self, stages: &'n StageNames) -> Names<'n> {
        Names {
            options: self.options,
            stages,
            count: self.file.stages.len(),
            escape: self.file.directives.escape,
        }
    }

    /// A word of a `FROM`.
    fn expand(&self, stage: &Stage, word: &str, linter: &mut Linter) -> Result<Expansion, String> {
        let found = self.expander.expand(word, self.globals).map_err(|error| error.to_string())?;
        for name in found.unmatched.difference(&self.known) {
            let hint = suggest::hint(name, self.known.iter().map(String::as_str));
            let message = format!("FROM argument '{name}' is not declared{hint}");
            linter.report(Rule::UndefinedArgInFrom, stage.lines, &stage.comments, message);
        }
        Ok(found)
    }

    fn platform(&self, stage: &Stage, written: &str, linter: &mut Linter) -> Result<Platform, Diagnostic> {
        let wrong = |message: String| Diagnostic::new(&self.file.source, stage.lines, message);
        let found = self.expand(stage, written, linter).map_err(wrong)?;
        let hint = || {
            let hints = found.unmatched.iter().map(|name| suggest::hint(name, self.globals.names()));
            hints.into_iter().find(|hint| !hint.is_empty()).unwrap_or_default()
        };
        if found.text.is_empty() {
            return Err(wrong(format!("empty platform value from expression {written}{}", hint())));
        }
        let platform = platform_of(&found.text, self.options.platform())
            .map_err(|error| wrong(format!("failed to parse platform {written}: {error}{}", hint())))?;
        lint_platform(stage, written, &found, &platform, self.globals, linter);
        Ok(platform)
    }

    /// Fills in the instructions, whose `from` may name stages further down.
    fn instructions(&self, stages: &mut [PlannedStage], names: &StageNames) -> Result<(), Diagnostic> {
        let resolver = self.names(names);
        let mut outside = 0;
        for (planned, stage) in stages.iter_mut().zip(&self.file.stages) {
            for instruction in &stage.instructions {
                let origins = resolver
                    .of(&instruction.kind)
                    .map_err(|message| Diagnostic::new(&self.file.source, instruction.lines, message))?;
                outside += brought_in(instruction, &origins);
                // A context in its place does nothing that the stage did.
                if !is_replaced(planned, stage, self.options) {
                    let instruction = instruction.clone();
                    planned.instructions.push(PlannedInstruction {
                        instruction,
                        origins,
                        is_on_build: false,
                    });
                }
            }
        }
        if let ([only], 0) = (stages, outside) {
            only.title.clear();
        }
        Ok(())
    }

    /// The stage that is wanted, by name or number.
    fn target(&self, stages: &[PlannedStage], names: &StageNames) -> Result<StageId, Diagnostic> {
        let Some(target) = self.options.target.as_deref().filter(|target| !target.is_empty()) else {
            return Ok(stages.len() - 1);
        };
        let by_number = || target.parse::<usize>().ok().filter(|number| *number < stages.len());
        names.get(&target.to_lowercase()).copied().or_else(by_number).ok_or_else(|| {
            let hint = suggest::hint(target, stages.iter().map(|stage| stage.title.as_str()));
            let message = format!("target stage {} could not be found{hint}", quoted(target));
            Diagnostic::of_file(&self.file.source, message)
        })
    }
}

/// Whether a named context stands for the stage, rather than for its base.
fn is_replaced(planned: &PlannedStage, stage: &Stage, options: &Options) -> bool {
    let by_name =
        stage.name.as_ref().and_then(|name| contexts::find(options, name, planned.platform.as_ref()));
    by_name.is_some_and(|context| planned.base == Origin::Named(context))
}

/// How many things that are no stages an instruction brings in: BuildKit counts them where it asks whether there is but one
/// stage, whose steps then have no title.
fn brought_in(instruction: &Instruction, origins: &[Origin]) -> usize {
    let is_stage = |origin: &&Origin| matches!(origin, Origin::Stage(_));
    match &instruction.kind {
        Kind::Copy(copy) if copy.from.is_some() => origins.iter().filter(|origin| !is_stage(origin)).count(),
        Kind::Run(_) => origins.iter().filter(|origin| !is_stage(origin)).count(),
        _ => 0,
    }
}

/// A platform as users write it: an operating system or an architecture alone is completed.
fn platform_of(text: &str, default: &Platform) -> Result<Platform, String> {
    const SYSTEMS: [&str; 3] = ["linux", "windows", "darwin"];
    let lower = text.to_lowercase();
    if !lower.contains('/') {
        // A word that is neither is no platform.
        lower.parse::<Platform>().map_err(|error| error.to_string())?;
    }
    let full = match lower.split('/').count() {
        1 if SYSTEMS.contains(&lower.as_str()) => format!("{lower}/{}", default.architecture),
        1 => format!("{}/{lower}", default.os),
        _ => lower,
    };
    full.parse::<Platform>().map_err(|error| error.to_string())
}

fn lint_platform(
    stage: &Stage,
    written: &str,
    found: &Expansion,
    platform: &Platform,
    globals: &Environment,
    linter: &mut Linter,
) {
    if found.matched.is_empty() && found.unmatched.is_empty() {
        let name = stage.name.as_deref().unwrap_or_default();
        // A stage for one platform says so in its name.
        if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let message =
                format!("FROM --platform flag should not use constant value {}", quoted(&found.text));
            linter.report(Rule::FromPlatformFlagConstDisallowed, stage.lines, &stage.comments, message);
        }
    }
    let is_target_only = found.matched.len() == 1 && found.matched.contains("TARGETPLATFORM");
    if is_target_only && found.unmatched.is_empty() && found.text == globals::target_platform(globals) {
        let message = format!(
            "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
        );
        linter.report(Rule::RedundantTargetPlatform, stage.lines, &stage.comments, message);
    }
}

/// Bases should be valid with the defaults of the arguments.
fn check_defaults(file: &Dockerfile, predefined: &Environment, expander: &Expander, linter: &mut Linter) {
    let Ok(defaults) = globals::declared(file, predefined.clone(), &BTreeMap::new(), expander) else {
        return;
    };
    for stage in &file.stages {
        let Ok(found) = expander.expand(&stage.base, &defaults) else { return };
        if found.text.parse::<Reference>().is_err() {
            let message =
                format!("Default value for ARG {} results in empty or invalid base image name", stage.base);
            linter.report(Rule::InvalidDefaultArgInFrom, stage.lines, &stage.comments, message);
        }
    }
}
