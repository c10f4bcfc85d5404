//! What no single attribute shows: references to what isn't there, contradictions, cycles.

use std::collections::BTreeMap;

use super::error::{Fault, did_you_mean};
use crate::{
    model::{Project, Service},
    tree::{
        Node,
        path::{Path, Step},
    },
};

/// The first contradiction of a project; `tree` is what it was read from and shows where.
pub(crate) fn check(project: &Project, tree: &Node) -> Result<(), Fault> {
    let checker = Checker { project, tree };
    for service in project.services.values() {
        checker.image_or_build(service)?;
        checker.references(service)?;
        checker.dependencies(service)?;
        checker.resources(service)?;
        checker.replicas(service)?;
        checker.ports(service)?;
        checker.mounts(service)?;
    }
    checker.secrets()?;
    checker.container_names()?;
    checker.cycles()
}

struct Checker<'a> {
    project: &'a Project,
    tree: &'a Node,
}

impl Checker<'_> {
    /// A fault at the nearest place in the tree that the path leads to.
    fn fault(&self, names: &[&str], message: String) -> Fault {
        let path = Path::of(names);
        Fault::new(nearest(self.tree, &path), &path, message)
    }

    fn refuse(&self, service: &Service, names: &[&str], message: String) -> Result<(), Fault> {
        let path: Vec<&str> = ["services", &service.name].into_iter().chain(names.iter().copied()).collect();
        Err(self.fault(&path, message))
    }

    fn image_or_build(&self, service: &Service) -> Result<(), Fault> {
        let name = &service.name;
        if service.build.is_none() && service.image.is_empty() && service.provider.is_none() {
            let message = format!("service {name:?} has neither an image nor a build context specified");
            return self.refuse(service, &[], message);
        }
        let Some(build) = &service.build else { return Ok(()) };
        if !build.dockerfile_inline.is_empty() && !build.dockerfile.is_empty() {
            let message =
                format!("service {name:?} declares mutualy exclusive dockerfile and dockerfile_inline");
            return self.refuse(service, &["build", "dockerfile_inline"], message);
        }
        for (context, source) in &build.additional_contexts {
            let Some(other) = source.strip_prefix("service:") else { continue };
            let wrong = match self.project.services.get(other) {
                None => "unknown",
                Some(other) if other.build.is_none() => "non-buildable",
                Some(_) => continue,
            };
            let message = format!(
                "service {name:?} declares {wrong} service {other:?} as additional contexts {context}"
            );
            return self.refuse(service, &["build", "additional_contexts", context], message);
        }
        if !build.platforms.is_empty()
            && !service.platform.is_empty()
            && !build.platforms.contains(&service.platform)
        {
            let message =
                format!("service.build.platforms MUST include service.platform {:?}", service.platform);
            return self.refuse(service, &["build", "platforms"], message);
        }
        Ok(())
    }

    fn references(&self, service: &Service) -> Result<(), Fault> {
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message =
                format!("service {} declares mutually exclusive `network_mode` and `networks`", service.name);
            return self.refuse(service, &["network_mode"], message);
        }
        let project = self.project;
        for network in service.networks.keys() {
            self.known(service, "network", network, &project.networks, &["networks", network])?;
        }
        for mount in service.volumes.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty())
        {
            self.known(service, "volume", &mount.source, &project.volumes, &["volumes"])?;
        }
        for secret in service.build.iter().flat_map(|build| &build.secrets) {
            self.known(service, "build secret", &secret.source, &project.secrets, &["build", "secrets"])?;
        }
        for config in &service.configs {
            self.known(service, "config", &config.source, &project.configs, &["configs"])?;
        }
        for secret in &service.secrets {
            self.known(service, "secret", &secret.source, &project.secrets, &["secrets"])?;
        }
        for model in service.models.keys() {
            self.known(service, "model", model, &project.models, &["models", model])?;
        }
        Ok(())
    }

    fn known<T>(
        &self,
        service: &Service,
        kind: &str,
        name: &str,
        all: &BTreeMap<String, T>,
        at: &[&str],
    ) -> Result<(), Fault> {
        if all.contains_key(name) {
            return Ok(());
        }
        let message = format!("service {:?} refers to undefined {kind} {name}", service.name);
        let hint = did_you_mean(name, all.keys().map(String::as_str));
        let fault = self.refuse(service, at, message).map_err(|fault| self.item(fault, service, at, name));
        fault.map_err(|fault| fault.hint(hint))
    }

    /// Points to the item of a list that says the name.
    fn item(&self, fault: Fault, service: &Service, at: &[&str], name: &str) -> Fault {
        let path: Vec<&str> = ["services", &service.name].into_iter().chain(at.iter().copied()).collect();
        let Some(items) = find(self.tree, &Path::of(&path)).and_then(Node::as_seq) else { return fault };
        match items.iter().find(|item| item.text_of("source") == Some(name)) {
            Some(item) => Fault { at: item.at, ..fault },
            None => fault,
        }
    }

    fn dependencies(&self, service: &Service) -> Result<(), Fault> {
        for (other, dependency) in &service.depends_on {
            let is_disabled = self.project.disabled_services.contains_key(other);
            if self.project.services.contains_key(other) || !dependency.required {
                continue;
            }
            let message = format!("service {:?} depends on undefined service {other:?}", service.name);
            let hint = if is_disabled {
                Some("its profiles are not enabled".to_owned())
            } else {
                did_you_mean(other, self.project.services.keys().map(String::as_str))
            };
            return self.refuse(service, &["depends_on", other], message).map_err(|fault| fault.hint(hint));
        }
        Ok(())
    }

    fn resources(&self, service: &Service) -> Result<(), Fault> {
        if let Some(first) = service.healthcheck.as_ref().and_then(|check| check.test.first())
            && !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")
        {
            let message = r#"healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE""#.to_owned();
            return self.refuse(service, &["healthcheck", "test"], message);
        }
        let Some(deploy) = &service.deploy else { return Ok(()) };
        let (limits, reservations) = (&deploy.resources.limits, &deploy.resources.reservations);
        let differs = |own: bool, other: Option<bool>| own && other.unwrap_or(false);
        let pairs = [
            (
                "cpus",
                "limits.cpus",
                differs(service.cpus != 0.0, limits.as_ref().map(|limits| limits.cpus != service.cpus)),
            ),
            (
                "mem_limit",
                "limits.memory",
                differs(
                    service.mem_limit.0 != 0,
                    limits.as_ref().map(|limits| limits.memory != service.mem_limit),
                ),
            ),
            (
                "mem_reservation",
                "reservations.memory",
                differs(
                    service.mem_reservation.0 != 0,
                    reservations.as_ref().map(|reservations| reservations.memory != service.mem_reservation),
                ),
            ),
            (
                "pids_limit",
                "limits.pids",
                differs(
                    service.pids_limit != 0,
                    limits.as_ref().map(|limits| limits.pids != service.pids_limit),
                ),
            ),
        ];
        match pairs.iter().find(|(_, _, differs)| *differs) {
            Some((own, other, _)) => {
                let message = format!("can't set distinct values on '{own}' and 'deploy.resources.{other}'");
                self.refuse(service, &[own], message)
            }
            None => Ok(()),
        }
    }

    fn replicas(&self, service: &Service) -> Result<(), Fault> {
        let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (service.scale, replicas)
            && scale != replicas
        {
            let message = "can't set distinct values on 'scale' and 'deploy.replicas'".to_owned();
            return self.refuse(service, &["scale"], message);
        }
        for (count, names) in [(service.scale, &["scale"][..]), (replicas, &["deploy", "replicas"])] {
            if count.is_some_and(|count| count < 0) {
                return self.refuse(service, names, "must be greater than or equal to 0".to_owned());
            }
        }
        if service.scale() > 1 && !service.container_name.is_empty() {
            let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
            let message =
                format!("can't set container_name and {attribute} as container name must be unique");
            return self.refuse(service, &["container_name"], message);
        }
        Ok(())
    }

    /// What a short form can't be: ports of a long one that are none.
    fn ports(&self, service: &Service) -> Result<(), Fault> {
        let is_port = |text: &str| text.parse::<u16>().is_ok();
        for port in &service.ports {
            let published = port.published.split_once('-').unwrap_or((&port.published, &port.published));
            let message = if !(1..=65_535).contains(&port.target) {
                format!("invalid target port {}", port.target)
            } else if !(port.published.is_empty() || (is_port(published.0) && is_port(published.1))) {
                format!("invalid published port {:?}", port.published)
            } else {
                continue;
            };
            return self.refuse(service, &["ports"], message);
        }
        Ok(())
    }

    fn mounts(&self, service: &Service) -> Result<(), Fault> {
        for trigger in service.develop.iter().flat_map(|develop| &develop.watch) {
            if trigger.path.is_empty() {
                return self.refuse(service, &["develop", "watch"], "path: value can't be blank".to_owned());
            }
            if trigger.target.is_empty() && !matches!(trigger.action.as_str(), "rebuild" | "restart") {
                let message = "target is required for non-rebuild actions".to_owned();
                return self.refuse(service, &["develop", "watch"], message);
            }
        }
        for (kind, hooks) in [("post_start", &service.post_start), ("pre_stop", &service.pre_stop)] {
            if let Some(index) = hooks.iter().position(|hook| hook.command.as_ref().is_none_or(Vec::is_empty))
            {
                return self.refuse(service, &[kind], format!("{kind}[{index}]: missing a command"));
            }
        }
        if let Some(index) = service.devices.iter().position(|device| device.source.is_empty()) {
            return self.refuse(service, &["devices"], format!("devices[{index}]: missing a source"));
        }
        if let Some(index) = service.volumes.iter().position(|mount| mount.target.is_empty()) {
            return self.refuse(service, &["volumes"], format!("volumes[{index}]: missing a mount target"));
        }
        let mut mounted: BTreeMap<&str, String> = BTreeMap::new();
        let tmpfs = service.tmpfs.iter().map(|line| line.split(':').next().unwrap_or_default());
        let targets = tmpfs.enumerate().map(|(index, target)| ("tmpfs", index, target));
        let volumes = service
            .volumes
            .iter()
            .enumerate()
            .map(|(index, mount)| ("volumes", index, mount.target.as_str()));
        for (kind, index, target) in targets.chain(volumes) {
            let place = format!("services.{}.{kind}[{index}]", service.name);
            if let Some(earlier) = mounted.get(target) {
                let message = format!("{kind}[{index}]: target {target} already mounted as {earlier}");
                return self.refuse(service, &[kind], message);
            }
            mounted.insert(target, place);
        }
        Ok(())
    }

    fn secrets(&self) -> Result<(), Fault> {
        let wanting = self.project.secrets.iter().find(|(_, secret)| {
            !secret.external
                && secret.driver.is_empty()
                && secret.file.is_empty()
                && secret.environment.is_empty()
        });
        match wanting {
            Some((name, _)) => {
                let message = format!("secret {name:?} must declare either `file` or `environment`");
                Err(self.fault(&["secrets", name], message))
            }
            None => Ok(()),
        }
    }

    fn container_names(&self) -> Result<(), Fault> {
        let mut named: BTreeMap<&str, &str> = BTreeMap::new();
        for service in self.project.services.values().filter(|service| !service.container_name.is_empty()) {
            if let Some(other) = named.insert(&service.container_name, &service.name) {
                let message = format!(
                    "container name {:?} is already in use by service {other}",
                    service.container_name
                );
                return self.refuse(service, &["container_name"], message);
            }
        }
        Ok(())
    }

    /// No service may need itself, by however many others.
    fn cycles(&self) -> Result<(), Fault> {
        let mut done: BTreeMap<&str, bool> = BTreeMap::new();
        for start in self.project.services.keys() {
            self.search(start, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    fn search<'a>(
        &'a self,
        name: &'a str,
        trail: &mut Vec<&'a str>,
        done: &mut BTreeMap<&'a str, bool>,
    ) -> Result<(), Fault> {
        if let Some(first) = trail.iter().position(|earlier| *earlier == name) {
            let mut cycle = trail[first..].to_vec();
            cycle.push(name);
            let message = format!("dependency cycle detected: {}", cycle.join(" -> "));
            let last = trail.last().copied().unwrap_or(name);
            return Err(self.fault(&["services", last, "depends_on", name], message));
        }
        if done.insert(name, true).is_some() {
            return Ok(());
        }
        trail.push(name);
        for other in self.project.services.get(name).into_iter().flat_map(|service| service.depends_on.keys())
        {
            self.search(other, trail, done)?;
        }
        trail.pop();
        Ok(())
    }
}

/// The node at a path.
fn find<'a>(tree: &'a Node, path: &Path) -> Option<&'a Node> {
    path.steps().iter().try_fold(tree, |node, step| match step {
        Step::Name(name) => node.get(name),
        Step::Item(index) => node.as_seq()?.get(*index),
    })
}

/// The place of the deepest node on a path that stands in a file.
fn nearest(tree: &Node, path: &Path) -> crate::tree::Position {
    let mut place = crate::tree::Position::default();
    let mut node = tree;
    for step in path.steps() {
        let next = match step {
            Step::Name(name) => node.get(name),
            Step::Item(index) => node.as_seq().and_then(|items| items.get(*index)),
        };
        let Some(next) = next else { break };
        node = next;
        if node.place().line > 0 {
            place = node.place();
        }
    }
    place
}
