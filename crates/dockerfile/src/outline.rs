//! What a target takes from who builds it: arguments, secrets, agents (`docker build --call=outline`). Told from the file
//! alone, so what an image's own environment would make of a default is not in it.
//!
//! BuildKit's frontend tells the same (`frontend.outline`): of the arguments before the first `FROM` those that a `FROM` on the
//! way or another of them uses, of a stage's own all. One that a stage declares again without a default is the first one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ast::{Argument, Dockerfile, Instruction, Kind, Lines, Pair, Stage},
    csv,
    diagnostic::Diagnostic,
    expand::{Expander, Expansion, NoVariables, Variables},
    lint::Linter,
    plan::{Options, Origin, Plan, StageId},
};

/// What a target takes, each in the order of the file.
#[derive(Debug, Clone)]
pub struct Outline<'a> {
    /// The target.
    pub stage: &'a Stage,
    /// `ARG`, with their values.
    pub arguments: Vec<Taken>,
    /// `RUN --mount=type=secret`.
    pub secrets: Vec<Taken>,
    /// `RUN --mount=type=ssh`.
    pub agents: Vec<Taken>,
}

/// One thing that is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its name or id.
    pub name: String,
    /// What it has without more being said.
    pub value: Option<String>,
    /// What a comment above says of it.
    pub description: Option<String>,
    /// Whether a build without it fails.
    pub is_required: bool,
    /// Where it is declared, or first used.
    pub lines: Option<Lines>,
}

/// Looks through the stages that the target needs.
///
/// # Errors
/// As [`Plan::new`].
pub fn outline<'a>(file: &'a Dockerfile, options: &Options) -> Result<Outline<'a>, Diagnostic> {
    let plan = Plan::new(file, options, &mut Linter::new(file, None)?)?;
    let expander = Expander::new(plan.escape);
    let globals = globals(file, &plan, &expander);
    let mut scopes = Scopes { plan: &plan, expander: &expander, globals: &globals, all: BTreeMap::new() };
    // Each after what it is built on.
    for id in plan.needed() {
        let scope = scopes.read(id, &file.stages[id]);
        scopes.all.insert(id, scope);
    }
    let mut outline = Outline {
        stage: &file.stages[plan.target()],
        arguments: Vec::new(),
        secrets: Vec::new(),
        agents: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let mut waiting = vec![plan.target()];
    let (mut arguments, mut secrets, mut agents) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let scope = &scopes.all[&id];
        let used = scopes.used(scope);
        for (listed, from, to) in [
            (&mut arguments, &used, &mut outline.arguments),
            (&mut secrets, &scope.secrets, &mut outline.secrets),
            (&mut agents, &scope.agents, &mut outline.agents),
        ] {
            to.extend(from.iter().filter(|taken| listed.insert(taken.name.clone())).cloned());
        }
        let needs: Vec<StageId> = plan.stage(id).needs().collect();
        waiting.extend(needs.into_iter().rev());
    }
    for taken in [&mut outline.arguments, &mut outline.secrets, &mut outline.agents] {
        taken.sort_by_key(|taken| taken.lines);
    }
    Ok(outline)
}

/// An argument where it is declared.
struct Declared {
    taken: Taken,
    /// The arguments before it that its default uses.
    uses: BTreeSet<String>,
}

/// What is declared before the first `FROM`, by name.
fn globals(file: &Dockerfile, plan: &Plan, expander: &Expander) -> BTreeMap<String, Declared> {
    let mut all: BTreeMap<String, Declared> = BTreeMap::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for global in &file.arguments {
        for argument in &global.arguments {
            let known = Over { first: &values, then: &plan.globals };
            let found = match (plan.options.arguments.get(&argument.name), &argument.default) {
                (Some(given), _) => Some(Expansion { text: given.clone(), ..Expansion::default() }),
                (None, default) => default.as_ref().and_then(|text| expander.expand(text, &known).ok()),
            };
            let mut declared = Declared { taken: taken(argument, global.lines), uses: BTreeSet::new() };
            if let Some(found) = found {
                values.insert(argument.name.clone(), found.text.clone());
                declared.taken.value = Some(found.text);
                declared.uses = found.matched;
                if declared.uses.remove(&argument.name) {
                    let before = all.remove(&argument.name);
                    declared.uses.extend(before.into_iter().flat_map(|before| before.uses));
                }
            }
            all.insert(argument.name.clone(), declared);
        }
    }
    all
}

fn taken(argument: &Argument, lines: Lines) -> Taken {
    Taken {
        name: argument.name.clone(),
        description: argument.description.clone(),
        lines: Some(lines),
        ..Taken::default()
    }
}

/// What a stage declares and uses itself.
#[derive(Default)]
struct Scope {
    base: Option<StageId>,
    values: BTreeMap<String, String>,
    declared: BTreeMap<String, Taken>,
    /// Names of arguments, of its own and of others.
    uses: BTreeSet<String>,
    secrets: Vec<Taken>,
    agents: Vec<Taken>,
}

struct Scopes<'a> {
    plan: &'a Plan,
    expander: &'a Expander,
    globals: &'a BTreeMap<String, Declared>,
    all: BTreeMap<StageId, Scope>,
}

impl Scopes<'_> {
    fn read(&self, id: StageId, written: &Stage) -> Scope {
        let stage = self.plan.stage(id);
        let base = match &stage.base {
            Origin::Stage(base) => Some(*base),
            _ => None,
        };
        let mut scope = Scope { base, ..Scope::default() };
        if !matches!(&stage.base, Origin::Named(_)) {
            for word in [Some(&written.base), written.platform.as_ref()].into_iter().flatten() {
                scope.uses.extend(self.expander.expand(word, &self.plan.globals).unwrap_or_default().matched);
            }
        }
        for planned in &stage.instructions {
            self.instruction(&mut scope, &planned.instruction);
        }
        scope
    }

    fn instruction(&self, scope: &mut Scope, instruction: &Instruction) {
        match &instruction.kind {
            Kind::Arg(arguments) => {
                for argument in arguments {
                    self.argument(scope, argument, instruction.lines);
                }
            }
            Kind::Env(pairs) => {
                let set = |Pair { name, value, .. }: &Pair| (self.word(scope, name), self.word(scope, value));
                let set: Vec<_> = pairs.iter().map(set).collect();
                scope.values.extend(set);
            }
            Kind::Run(run) => {
                for mount in &run.mounts {
                    self.mount(scope, &mount.text, instruction.lines);
                }
            }
            _ => {}
        }
    }

    fn argument(&self, scope: &mut Scope, argument: &Argument, lines: Lines) {
        let name = &argument.name;
        scope.uses.insert(name.clone());
        let global = self.plan.globals.get(name);
        let value = match (self.plan.options.arguments.get(name), &argument.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.word(scope, default)),
            (None, None) => global.map(str::to_owned),
        };
        scope.values.extend(value.clone().map(|value| (name.clone(), value)));
        let is_inherited =
            argument.default.is_none() && !self.plan.options.arguments.contains_key(name) && global.is_some();
        if !is_inherited {
            scope.declared.insert(name.clone(), Taken { value, ..taken(argument, lines) });
        }
    }

    fn mount(&self, scope: &mut Scope, text: &str, lines: Lines) {
        let fields = csv::fields(text).unwrap_or_default();
        let field = |names: &[&str]| {
            let key = |field: &str| field.split('=').next().unwrap_or_default().to_lowercase();
            let found = fields.iter().rev().find(|field| names.contains(&key(field).as_str()))?;
            Some(
                found.split_once('=').map_or_else(|| "true".to_owned(), |(_, value)| self.word(scope, value)),
            )
        };
        let kind = field(&["type"]).unwrap_or_default().to_lowercase();
        let target = field(&["target", "dst", "destination"]);
        let last = target.as_deref().and_then(|target| target.rsplit('/').next());
        let id = field(&["id"]).filter(|id| !id.is_empty());
        let name = match kind.as_str() {
            "secret" => id.or_else(|| last.map(str::to_owned)).unwrap_or_default(),
            "ssh" => id.unwrap_or_else(|| "default".to_owned()),
            _ => return,
        };
        let is_required = field(&["required"]).as_deref().and_then(csv::boolean).unwrap_or(false);
        let taken = Taken { name, is_required, lines: Some(lines), ..Taken::default() };
        let list = if kind == "secret" { &mut scope.secrets } else { &mut scope.agents };
        list.push(taken);
    }

    /// A word with its variables replaced, as far as they are known.
    fn word(&self, scope: &Scope, word: &str) -> String {
        let expanded = self.expander.expand(word, &Over { first: &Within(self, scope), then: &NoVariables });
        expanded.map_or_else(|_| word.to_owned(), |expanded| expanded.text)
    }

    /// What a stage and those that it is built on declare, the nearest first.
    fn find<'s, T>(&'s self, scope: &'s Scope, look: impl Fn(&'s Scope) -> Option<T>) -> Option<T> {
        let mut next = Some(scope);
        while let Some(scope) = next {
            if let Some(found) = look(scope) {
                return Some(found);
            }
            next = scope.base.and_then(|base| self.all.get(&base));
        }
        None
    }

    /// The arguments that a stage uses, with those that they use.
    fn used(&self, scope: &Scope) -> Vec<Taken> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&String> = scope.uses.iter().collect();
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) {
                continue;
            }
            match (self.find(scope, |scope| scope.declared.get(name)), self.globals.get(name)) {
                (Some(own), _) => found.push(own.clone()),
                (None, Some(global)) => {
                    found.push(global.taken.clone());
                    waiting.extend(&global.uses);
                }
                (None, None) => {}
            }
        }
        found
    }
}

/// The variables of a stage's steps.
struct Within<'a>(&'a Scopes<'a>, &'a Scope);

impl Variables for Within<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.find(self.1, |scope| scope.values.get(name).map(String::as_str))
    }
}

/// Variables over others.
struct Over<'a> {
    first: &'a dyn Variables,
    then: &'a dyn Variables,
}

impl Variables for Over<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.first.get(name).or_else(|| self.then.get(name))
    }
}

#[cfg(test)]
mod tests {
    use minke_model::Platform;

    use super::*;

    fn told(text: &str, target: &str, given: &[(&str, &str)]) -> Vec<String> {
        let file = crate::parse("Dockerfile", text.as_bytes()).unwrap();
        let mut options = Options::on(Platform::host());
        options.target = Some(target.to_owned());
        options.arguments = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let outline = outline(&file, &options).unwrap();
        let line = |kind: &str, taken: &Taken| {
            let (value, lines) = (taken.value.as_deref().unwrap_or("-"), taken.lines.unwrap());
            let required = if taken.is_required { " required" } else { "" };
            format!("{kind} {}={value} {}{required}", taken.name, lines.first)
        };
        let of =
            |kind: &'static str, all: &[Taken]| all.iter().map(|one| line(kind, one)).collect::<Vec<_>>();
        [of("arg", &outline.arguments), of("secret", &outline.secrets), of("ssh", &outline.agents)].concat()
    }

    #[test]
    fn arguments_before_the_first_from_are_those_that_a_from_on_the_way_uses() {
        let text = "ARG TAG=1\nARG BASE=x:$TAG\nARG OTHER=o\nARG ARCH=amd64\nFROM --platform=linux/$ARCH $BASE AS a\n\
            FROM $OTHER AS b\nFROM a AS c\nARG OTHER\nARG TAG=9\n";
        assert_eq!(told(text, "a", &[]), ["arg TAG=1 1", "arg BASE=x:1 2", "arg ARCH=amd64 4"]);
        assert_eq!(told(text, "b", &[]), ["arg OTHER=o 3"]);
        // One that is declared again is the first, unless it has a default of its own.
        assert_eq!(
            told(text, "c", &[]),
            ["arg BASE=x:1 2", "arg OTHER=o 3", "arg ARCH=amd64 4", "arg TAG=9 9"]
        );
        assert_eq!(told(text, "b", &[("OTHER", "7")]), ["arg OTHER=7 3"]);
        // What a given value would have used is not asked for.
        assert_eq!(told(text, "a", &[("BASE", "y")]), ["arg BASE=y 2", "arg ARCH=amd64 4"]);
    }

    #[test]
    fn values_follow_from_the_environment_and_from_what_a_stage_is_built_on() {
        let text = "FROM scratch AS a\nENV V=1 W=$V\nARG X=x$V\nFROM a\nARG Y=$X-$V-$TARGETOS-$NONE\nARG TARGETOS\nARG NONE\n";
        assert_eq!(told(text, "", &[]), ["arg X=x1 3", "arg Y=x1-1-- 5", "arg NONE=- 7"]);
    }

    #[test]
    fn secrets_and_agents_are_told_with_where_they_come_first() {
        let text = "ARG BASE=b\nFROM scratch AS b\nRUN --mount=type=secret,id=s,required=true x\nFROM $BASE AS c\nARG N=n\n\
            RUN --mount=type=secret,target=/x/s-$N --mount=type=ssh,required x\nFROM scratch\nCOPY --from=c / /\n\
            RUN --mount=type=secret,id=s x\n";
        assert_eq!(
            told(text, "", &[]),
            ["arg BASE=b 1", "arg N=n 5", "secret s-n=- 6", "secret s=- 9", "ssh default=- 6 required"]
        );
        assert!(
            outline(
                &crate::parse("Dockerfile", text.as_bytes()).unwrap(),
                &Options { target: Some("z".into()), ..Options::on(Platform::host()) }
            )
            .is_err()
        );
    }
}
