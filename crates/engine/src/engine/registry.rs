//! Which containers there are, and what they are called.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard},
};

use minke_model::ContainerId;

use super::Inner;
use crate::{
    Error,
    container::{Container, links, names},
    random,
};

/// Ids and names of containers. A name is taken before its container is there, so that two can't get it.
#[derive(Default)]
pub(super) struct Registry {
    by_id: BTreeMap<String, Arc<Container>>,
    by_name: HashMap<String, ContainerId>,
    /// Who has links to a container, by its id: every start asks, and few containers have any.
    linked_from: HashMap<String, BTreeSet<String>>,
}

impl Inner {
    fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every container.
    pub(crate) fn containers(&self) -> Vec<Arc<Container>> {
        self.registry().by_id.values().cloned().collect()
    }

    /// The container of this id, name, or unambiguous beginning of an id.
    ///
    /// # Errors
    /// `NotFound`, `InvalidParameter` for an ambiguous beginning.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Container>, Error> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let registry = self.registry();
        if let Some(container) = registry.by_id.get(bare) {
            return Ok(Arc::clone(container));
        }
        if let Some(container) = registry.by_name.get(bare).and_then(|id| registry.by_id.get(id.as_str())) {
            return Ok(Arc::clone(container));
        }
        if let Some((holder, alias)) = bare.rsplit_once('/') {
            let holder = registry.by_name.get(holder).and_then(|id| registry.by_id.get(id.as_str()));
            let target = holder.and_then(|holder| links::target_id(&holder.record(), alias));
            let target = target.and_then(|id| registry.by_id.get(&id));
            return target.cloned().ok_or_else(|| Error::no_such_container(name));
        }
        let is_prefix = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut matches =
            registry.by_id.range(bare.to_owned()..).take_while(|(id, _)| is_prefix && id.starts_with(bare));
        match (matches.next(), matches.next()) {
            (Some((_, container)), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("Multiple IDs found with provided prefix: {bare}")))
            }
            (None, _) => Err(Error::no_such_container(name)),
        }
    }

    /// Takes a name for a container, a random one if none is given.
    ///
    /// # Errors
    /// `Conflict` when it is taken.
    pub(crate) fn reserve_name(&self, name: Option<String>, id: &ContainerId) -> Result<String, Error> {
        let mut registry = self.registry_mut();
        if let Some(name) = name {
            if let Some(owner) = registry.by_name.get(&name) {
                return Err(Error::conflict(format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". \
                     You have to remove (or rename) that container to be able to reuse that name."
                )));
            }
            registry.by_name.insert(name.clone(), id.clone());
            return Ok(name);
        }
        for attempt in 0.. {
            let name = names::random(u64::from_le_bytes(random::bytes()?), attempt);
            if !registry.by_name.contains_key(&name) {
                registry.by_name.insert(name.clone(), id.clone());
                return Ok(name);
            }
        }
        Err(Error::conflict("no random name is free"))
    }

    /// Gives a name back.
    pub(crate) fn release_name(&self, name: &str) {
        self.registry_mut().by_name.remove(name);
    }

    /// Makes a container known.
    pub(crate) fn register(&self, container: &Arc<Container>) {
        let record = container.record();
        let mut registry = self.registry_mut();
        registry.by_name.insert(record.name.clone(), container.id.clone());
        for target in links::target_ids(&record) {
            registry.linked_from.entry(target.to_owned()).or_default().insert(container.id.to_string());
        }
        registry.by_id.insert(container.id.to_string(), Arc::clone(container));
    }

    /// The containers that have a link to this one.
    pub(crate) fn linked_from(&self, id: &ContainerId) -> Vec<Arc<Container>> {
        let registry = self.registry();
        let linking = registry.linked_from.get(id.as_str()).into_iter().flatten();
        linking.filter_map(|id| registry.by_id.get(id).cloned()).collect()
    }

    /// Forgets a container and its name. One that it is about to have is given back by the renaming, which finds it gone.
    pub(crate) fn unregister(&self, id: &str) {
        let mut registry = self.registry_mut();
        if let Some(container) = registry.by_id.remove(id) {
            let record = container.record();
            if registry.by_name.get(&record.name).is_some_and(|owner| owner.as_str() == id) {
                registry.by_name.remove(&record.name);
            }
            for target in links::target_ids(&record) {
                if let Some(linking) = registry.linked_from.get_mut(target) {
                    linking.remove(id);
                    if linking.is_empty() {
                        registry.linked_from.remove(target);
                    }
                }
            }
        }
        drop(registry);
        self.execs.container_removed(id);
    }
}
