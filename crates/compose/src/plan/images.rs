//! Which images are pulled or built before containers are made of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Command, Image, Observed, Plan, StepId, names};
use crate::model::{self, Project, Service};

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// As each service says, else when they are missing.
    Policy,
    /// Always.
    Always,
    /// Only when they are missing.
    Missing,
    /// Never.
    Never,
}

/// When images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// When they are missing.
    Missing,
    /// Always (`--build`).
    Always,
    /// Never (`--no-build`).
    Never,
}

/// Plans what `up`, `create` and `run` do for images.
pub fn needed(project: &Project, observed: &Observed, pull: Pull, build: Build) -> Plan {
    let mut plan = Plan::default();
    let mut pulled = BTreeSet::new();
    let services = project.services.values().filter(|service| service.provider.is_none());
    for service in services.filter(|service| names::scale(service) > 0) {
        let image = names::image(&project.name, service);
        let decision = decide(service, observed.images.get(&image), pull, build);
        let mut after: Vec<StepId> = Vec::new();
        if decision.pull && pulled.insert((image.clone(), service.platform.clone())) {
            let may_fail = decision.build;
            after.push(plan.push(self::pull(service, image.clone(), may_fail), []));
        }
        let before = service.pre_start.iter().filter(|hook| !hook.image.is_empty());
        for hook in before.filter(|hook| pull != Pull::Never && !observed.images.contains_key(&hook.image)) {
            if pulled.insert((hook.image.clone(), service.platform.clone())) {
                plan.push(self::pull(service, hook.image.clone(), false), []);
            }
        }
        if decision.build {
            plan.push(Command::BuildImage { service: service.name.clone(), image }, after);
        }
    }
    order_builds(project, &mut plan);
    plan
}

struct Decision {
    pull: bool,
    build: bool,
}

fn decide(service: &Service, there: Option<&Image>, pull: Pull, build: Build) -> Decision {
    let missing = there.is_none();
    let policy = match pull {
        Pull::Policy => service.pull_policy.as_str(),
        Pull::Always => "always",
        Pull::Missing => "missing",
        Pull::Never => "never",
    };
    let buildable = service.build.is_some() && build != Build::Never;
    if buildable && (build == Build::Always || policy == "build") {
        return Decision { pull: false, build: true };
    }
    if buildable && missing {
        // One with a name of its own might be in a registry, but its build is here.
        return Decision { pull: false, build: true };
    }
    let named = !service.image.is_empty();
    let wanted = match policy {
        "always" => service.build.is_none() || build == Build::Never,
        "never" => false,
        // `build` without a build section, `if_not_present`, and images that are got again after a while.
        policy => missing || !buildable && there.is_some_and(|image| is_due(policy, image)),
    };
    Decision { pull: named && wanted, build: false }
}

/// Whether an image was pulled longer ago than the policy allows; where the engine can't say when, it was.
fn is_due(policy: &str, image: &Image) -> bool {
    let day = Duration::from_secs(24 * 60 * 60);
    let allowed = match policy {
        "daily" => Some(day),
        "weekly" => Some(7 * day),
        policy => {
            let every = policy.strip_prefix("every_");
            every.and_then(model::Duration::parse).map(model::Duration::as_std)
        }
    };
    allowed.is_some_and(|allowed| image.age.is_none_or(|age| age > allowed))
}

fn pull(service: &Service, image: String, may_fail: bool) -> Command {
    let platform = (!service.platform.is_empty()).then(|| service.platform.clone());
    Command::PullImage { service: service.name.clone(), image, platform, may_fail }
}

/// Plans `pull`. With `missing_only`, images that are here are left alone; with `buildable` false, those that can be built too.
pub fn pulls(project: &Project, observed: &Observed, missing_only: bool, buildable: bool) -> Plan {
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    for service in project.services.values().filter(|service| !service.image.is_empty()) {
        let built = service.build.is_some();
        let there = observed.images.contains_key(&service.image);
        let skip = built && !buildable
            || there
                && (missing_only
                    || service.pull_policy == "missing"
                    || service.pull_policy == "if_not_present");
        if skip || service.pull_policy == "never" || !seen.insert((&service.image, &service.platform)) {
            continue;
        }
        plan.push(pull(service, service.image.clone(), built), []);
    }
    plan
}

/// Plans `build`.
pub fn builds(project: &Project) -> Plan {
    let mut plan = Plan::default();
    for service in project.services.values().filter(|service| service.build.is_some()) {
        let image = names::image(&project.name, service);
        plan.push(Command::BuildImage { service: service.name.clone(), image }, []);
    }
    order_builds(project, &mut plan);
    plan
}

/// A build whose context or base is another service's image comes after that one's.
fn order_builds(project: &Project, plan: &mut Plan) {
    let mut order: Vec<usize> = Vec::new();
    let built = |command: &Command| match command {
        Command::BuildImage { service, .. } => Some(service.clone()),
        _ => None,
    };
    let needs = |service: &str| -> Vec<String> {
        let build = project.services.get(service).and_then(|service| service.build.as_ref());
        let contexts = build.into_iter().flat_map(|build| build.additional_contexts.values());
        contexts.filter_map(|context| context.strip_prefix("service:")).map(str::to_owned).collect()
    };
    let at = |plan: &Plan, service: &str| {
        plan.steps.iter().position(|step| built(&step.command).as_deref() == Some(service))
    };
    // Depth first; a service that is met again on its own way is a cycle, which the engine will tell by the missing image.
    fn visit(
        step: usize,
        seen: &mut BTreeSet<usize>,
        order: &mut Vec<usize>,
        before: &dyn Fn(usize) -> Vec<usize>,
    ) {
        if seen.insert(step) {
            for earlier in before(step) {
                visit(earlier, seen, order, before);
            }
            order.push(step);
        }
    }
    let before = |step: usize| -> Vec<usize> {
        let own = plan.steps[step].after.clone();
        let needed = built(&plan.steps[step].command).map(|service| needs(&service)).unwrap_or_default();
        own.into_iter().chain(needed.iter().filter_map(|service| at(plan, service))).collect()
    };
    let mut seen = BTreeSet::new();
    for step in 0..plan.steps.len() {
        visit(step, &mut seen, &mut order, &before);
    }
    let place = |old: usize| order.iter().position(|step| *step == old).unwrap_or(old);
    let mut sorted = Plan { warnings: plan.warnings.clone(), ..Plan::default() };
    for old in &order {
        let here = sorted.steps.len();
        let after: Vec<_> = before(*old).into_iter().map(place).filter(|step| *step < here).collect();
        sorted.push(plan.steps[*old].command.clone(), after);
    }
    *plan = sorted;
}
