//! Which services of a project are meant: profiles, names on the command line, and what those need.

use std::collections::{BTreeMap, BTreeSet};

use super::{Project, Service};

/// Whether the services that are needed come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// What they depend on as well, and what that depends on.
    WithDependencies,
    /// What depends on them as well.
    WithDependents,
    /// Only they.
    Alone,
}

/// A service was named that there is none of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such service: {0}")]
pub struct NoSuchService(pub String);

impl Project {
    /// Makes those services active that have no profiles or one of these; `*` is all.
    pub fn enable_profiles(&mut self, profiles: &[String]) {
        let all =
            std::mem::take(&mut self.services).into_iter().chain(std::mem::take(&mut self.disabled_services));
        (self.services, self.disabled_services) = all.partition(|(_, service)| service.has_profile(profiles));
        self.profiles = profiles.to_vec();
    }

    /// Makes the profiles of these services active, since naming a service is asking for it.
    pub fn enable(&mut self, names: &[String]) {
        let mut profiles = self.profiles.clone();
        for name in names.iter().filter(|name| !self.services.contains_key(*name)) {
            profiles.extend(
                self.disabled_services.get(name).into_iter().flat_map(|service| service.profiles.clone()),
            );
        }
        if profiles.len() > self.profiles.len() {
            self.enable_profiles(&profiles);
        }
    }

    /// Leaves only these services and, as asked, what they need; none named is all.
    ///
    /// # Errors
    /// The first name that no active service has.
    pub fn select(&mut self, names: &[String], with: Select) -> Result<(), NoSuchService> {
        if names.is_empty() {
            return Ok(());
        }
        let wanted = self.closure(names, with)?;
        let all = std::mem::take(&mut self.services).into_iter();
        let (mut kept, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(name, _)| wanted.contains(name));
        for service in kept.values_mut() {
            service.depends_on.retain(|name, _| wanted.contains(name));
        }
        self.services = kept;
        self.disabled_services.extend(dropped);
        Ok(())
    }

    fn closure(&self, names: &[String], with: Select) -> Result<BTreeSet<String>, NoSuchService> {
        let mut wanted = BTreeSet::new();
        let mut open: Vec<(String, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
        while let Some((name, required)) = open.pop() {
            let Some(service) = self.services.get(&name) else {
                if required {
                    return Err(NoSuchService(name));
                }
                continue;
            };
            if !wanted.insert(name.clone()) {
                continue;
            }
            match with {
                Select::Alone => {}
                Select::WithDependencies => {
                    open.extend(
                        service.depends_on.iter().map(|(name, needed)| (name.clone(), needed.required)),
                    );
                }
                Select::WithDependents => {
                    open.extend(self.dependents(&name).map(|name| (name.to_owned(), true)));
                }
            }
        }
        Ok(wanted)
    }

    /// The active services that depend on this one directly.
    pub fn dependents<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let services = self.services.values();
        services
            .filter(move |service| service.depends_on.contains_key(name))
            .map(|service| service.name.as_str())
    }

    /// Leaves out networks, volumes, secrets, configs and models that no active service uses.
    pub fn drop_unused(&mut self) {
        let mut used: [BTreeSet<String>; 5] = Default::default();
        let [networks, volumes, secrets, configs, models] = &mut used;
        for service in self.services.values() {
            networks.extend(service.networks.keys().cloned());
            let named =
                service.volumes.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty());
            volumes.extend(named.map(|mount| mount.source.clone()));
            let built = service.build.iter().flat_map(|build| &build.secrets);
            secrets.extend(service.secrets.iter().chain(built).map(|secret| secret.source.clone()));
            configs.extend(service.configs.iter().map(|config| config.source.clone()));
            models.extend(service.models.keys().cloned());
        }
        self.networks.retain(|name, _| networks.contains(name));
        self.volumes.retain(|name, _| volumes.contains(name));
        self.secrets.retain(|name, _| secrets.contains(name));
        self.configs.retain(|name, _| configs.contains(name));
        self.models.retain(|name, _| models.contains(name));
    }

    /// An active service.
    ///
    /// # Errors
    /// There is none of the name, or its profiles are not active.
    pub fn service(&self, name: &str) -> Result<&Service, NoSuchService> {
        self.services.get(name).ok_or_else(|| NoSuchService(name.to_owned()))
    }
}

impl Service {
    fn has_profile(&self, active: &[String]) -> bool {
        self.profiles.is_empty() || active.iter().any(|name| name == "*" || self.profiles.contains(name))
    }

    /// How many containers it has.
    #[must_use]
    pub fn scale(&self) -> i64 {
        self.scale.or(self.deploy.as_ref().and_then(|deploy| deploy.replicas)).unwrap_or(1)
    }

    /// Gives it another number of containers.
    pub fn set_scale(&mut self, scale: i64) {
        self.scale = Some(scale);
        if let Some(deploy) = &mut self.deploy {
            deploy.replicas = Some(scale);
        }
    }

    /// The keys of its networks, those of the highest priority first.
    #[must_use]
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let priority =
            |name: &str| self.networks.get(name).and_then(Option::as_ref).map_or(0, |own| own.priority);
        let mut names: Vec<&str> = self.networks.keys().map(String::as_str).collect();
        names.sort_by_key(|name| std::cmp::Reverse(priority(name)));
        names
    }

    /// Its image, or the name that what is built for it gets.
    #[must_use]
    pub fn image_or_default(&self, project: &str) -> String {
        if self.image.is_empty() { format!("{project}-{}", self.name) } else { self.image.clone() }
    }
}
