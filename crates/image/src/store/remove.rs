//! Removing names and images, by Docker's rules.
//!
//! A name given: that name goes, and with the last name the image. An id given: all names and the image go, unless
//! they are names of several repositories. Containers and child images stand in the way (Docker Engine API,
//! `DELETE /images/{name}`; the messages are Docker's, since scripts match them).

use std::collections::BTreeSet;

use minke_model::{Digest, ImageId, Reference};

use super::{Change, ImageStore, Index, RemoveError, StoreError, find::find};
use crate::{Removed, User};

/// Who needs an image outside the store.
type UsedBy<'a> = &'a dyn Fn(&ImageId) -> Option<User>;

impl ImageStore {
    /// Removes a name or an image. `used_by` tells a container that needs an image, a running one first.
    ///
    /// An image that a stopped container needs is never deleted, even by force: it only loses its names.
    ///
    /// # Errors
    /// [`RemoveError`]; then nothing was removed.
    pub fn remove(
        &self,
        name_or_id: &str,
        force: bool,
        used_by: UsedBy<'_>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let turn = self.write();
        let plan = plan(&self.index(), name_or_id, force, used_by)?;
        let candidates = self.candidates(&plan.change);
        self.apply(plan.change)?;
        self.collect(&candidates);
        drop(turn);
        self.0.content.empty_trash();
        Ok(plan.removed)
    }

    /// Everything that the removed images needed.
    fn candidates(&self, change: &Change) -> BTreeSet<Digest> {
        let index = self.index();
        let records = change.remove_images.iter().filter_map(|id| Some((*id, index.record(id)?)));
        let needed = |(id, record): (ImageId, &super::ImageRecord)| {
            record.blobs(id).chain(record.layers.iter().copied()).collect::<Vec<_>>()
        };
        records.flat_map(needed).collect()
    }

    /// Removes what stayed only for the sake of an operation that has ended; `released` is what it held.
    pub(super) fn collect_released(&self, released: &BTreeSet<Digest>) -> Result<(), StoreError> {
        let turn = self.write();
        let unused = self.index().unused_layers(released);
        if !unused.is_empty() {
            self.apply(Change { remove_layers: unused, ..Change::default() })?;
        }
        self.collect(released);
        drop(turn);
        self.0.content.empty_trash();
        Ok(())
    }
}

/// What a removal does.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    change: Change,
    removed: Vec<Removed>,
}

fn plan(index: &Index, text: &str, force: bool, used_by: UsedBy<'_>) -> Result<Plan, RemoveError> {
    let (id, name) = find(index, text)?;
    let names: Vec<&Reference> = index.names_of(&id).collect();
    let mut plan = Plan::default();
    match name {
        Some(name) => {
            let last = index.named(&name).is_none() || is_last(&names, &name);
            if let Some(user) = used_by(&id).filter(|_| last && !force) {
                return Err(RemoveError::Conflict(format!(
                    "conflict: unable to remove repository reference {text:?} (must force) - container {} is using \
                     its referenced image {}",
                    user.container,
                    short(&id)
                )));
            }
            let untagged = |other: &&&Reference| last || **other == &name || goes_with(&names, &name, other);
            plan.untag(names.iter().filter(untagged).map(|name| (*name).clone()).collect());
            if last && conflict(index, &id, force, used_by).is_none() {
                plan.delete(index, id, used_by);
            }
        }
        None => {
            // What can't be forced comes first.
            if let Some(error) = conflict(index, &id, true, used_by) {
                return Err(error);
            }
            if !one_repository(&names) && !force {
                return Err(in_the_way(&id, false, "image is referenced in multiple repositories"));
            }
            if let Some(error) = conflict(index, &id, force, used_by) {
                return Err(error);
            }
            plan.untag(names.into_iter().cloned().collect());
            plan.delete(index, id, used_by);
        }
    }
    Ok(plan)
}

/// Whether nothing but `name`, and digests of its repository, names the image.
fn is_last(names: &[&Reference], name: &Reference) -> bool {
    names.iter().all(|other| *other == name || (other.name() == name.name() && other.digest().is_some()))
}

/// Whether `other` is a digest of the repository that `name` is the last tag of: with it nobody would know what it was.
fn goes_with(names: &[&Reference], name: &Reference, other: &Reference) -> bool {
    let same = |reference: &Reference| reference.name() == name.name();
    let is_tag = |reference: &Reference| reference.digest().is_none();
    let has_another_tag = names.iter().any(|tag| *tag != name && is_tag(tag) && same(tag));
    is_tag(name) && !is_tag(other) && same(other) && !has_another_tag
}

/// At most one tag, and all names in one repository.
fn one_repository(names: &[&Reference]) -> bool {
    names.iter().filter(|name| name.digest().is_none()).count() <= 1
        && names.windows(2).all(|pair| pair[0].name() == pair[1].name())
}

/// What stands in the way of deleting an image that has no names left.
fn conflict(index: &Index, id: &ImageId, force: bool, used_by: UsedBy<'_>) -> Option<RemoveError> {
    if index.children(id).next().is_some() {
        return Some(in_the_way(id, true, "image has dependent child images"));
    }
    match used_by(id) {
        Some(User { container, running: true }) => {
            Some(in_the_way(id, true, &format!("image is being used by running container {container}")))
        }
        Some(User { container, running: false }) if !force => {
            Some(in_the_way(id, false, &format!("image is being used by stopped container {container}")))
        }
        _ => None,
    }
}

fn in_the_way(id: &ImageId, hard: bool, reason: &str) -> RemoveError {
    let force = if hard { "cannot be forced" } else { "must be forced" };
    RemoveError::Conflict(format!("conflict: unable to delete {} ({force}) - {reason}", short(id)))
}

fn short(id: &ImageId) -> String {
    id.hex()[..12].to_owned()
}

impl Plan {
    fn untag(&mut self, names: Vec<Reference>) {
        self.removed.extend(names.iter().map(|name| Removed::Untagged(name.familiar())));
        self.change.remove_names.extend(names);
    }

    /// Deletes an image and then those of its parents that nothing else holds.
    fn delete(&mut self, index: &Index, id: ImageId, used_by: UsedBy<'_>) {
        let mut next = Some(id).filter(|id| used_by(id).is_none());
        while let Some(id) = next {
            let before = index.freed_layers(&self.change.remove_images).len();
            self.change.remove_images.push(id);
            let freed = index.freed_layers(&self.change.remove_images);
            self.removed.push(Removed::Deleted(id));
            self.removed.extend(freed[before..].iter().map(|layer| Removed::Deleted(*layer)));
            next = index
                .record(&id)
                .and_then(|record| record.parent)
                .filter(|parent| self.is_free(index, parent, used_by));
        }
        let freed = index.freed_layers(&self.change.remove_images);
        self.change.remove_layers = freed.into_iter().filter(|layer| !index.is_leased(layer)).collect();
    }

    fn is_free(&self, index: &Index, parent: &ImageId, used_by: UsedBy<'_>) -> bool {
        index.image(parent).is_some()
            && index.names_of(parent).next().is_none()
            && index.children(parent).all(|child| self.change.remove_images.contains(&child))
            && used_by(parent).is_none()
    }
}

#[cfg(test)]
mod tests;
