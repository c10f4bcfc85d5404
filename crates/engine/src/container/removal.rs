//! Removing a container: forgotten durably at once, its files deleted afterwards and off the async threads.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError},
    time::Instant,
};

use minke_kernel::tree;

use super::{actor::Actor, machine::Event, waits::Outcome};
use crate::{Error, engine::Inner, metrics::ContainerAction};

/// What names of directories that wait to be deleted begin with.
pub(crate) const TRASH: &str = ".trash-";

impl Actor {
    pub(super) async fn remove(&mut self, inner: &Arc<Inner>) -> Result<(), Error> {
        let began = Instant::now();
        self.publish();
        let record = self.container.record();
        let with_volumes = self.remove_options.volumes || record.host.auto_remove == Some(true);
        let forgetting = {
            let (inner, container) = (Arc::clone(inner), Arc::clone(&self.container));
            tokio::task::spawn_blocking(move || forget(&inner, &container, with_volumes)).await
        };
        let forgotten = forgetting
            .map_err(|error| Error::internal("remove a container", &error))
            .and_then(|result| result);
        let volumes = match forgotten {
            Ok(volumes) => volumes,
            Err(error) => {
                let _ = self.machine.handle(Event::RemoveFailed);
                self.publish();
                for reply in self.removes.drain(..) {
                    let _ = reply.send(Err(error.clone()));
                }
                return Err(error);
            }
        };
        for name in &volumes {
            inner.volume_event("destroy", name);
        }
        inner.container_event(&self.container, "destroy", []);
        inner.counts.container(ContainerAction::Delete).since(began);
        self.gone = true;
        for reply in self.removes.drain(..) {
            let _ = reply.send(Ok(()));
        }
        // That it could not be started is told by the start; a removal that succeeds has no error.
        let outcome = Outcome { error: None, ..self.outcome() };
        self.waits.removed(&outcome, self.container.sessions.subscribe());
        Ok(())
    }
}

/// Takes it out of the database and the registry; its anonymous volumes too if nobody else has them.
fn forget(
    inner: &Arc<Inner>,
    container: &super::Container,
    with_volumes: bool,
) -> Result<Vec<String>, Error> {
    let record = container.record();
    let mut doomed: Vec<String> = Vec::new();
    if with_volumes {
        let unnamed = record.mounts.iter().filter(|mount| !mount.is_named);
        let names = unnamed.filter_map(|mount| mount.name.clone());
        doomed.extend(names.filter(|name| {
            let anonymous = inner.volumes.lock().get(name).is_some_and(|volume| volume.anonymous);
            anonymous && inner.volume_users(name).iter().all(|user| *user == record.id.as_str())
        }));
    }
    inner.store.remove_container(record.id.as_str(), &doomed)?;
    inner.unregister(record.id.as_str());
    for name in &doomed {
        inner.volumes.lock().remove(name);
    }
    let places = inner.places(&record.id);
    let trash = places.directory.with_file_name(format!("{TRASH}{}", record.id));
    let renamed = fs::rename(&places.directory, &trash);
    let retired: Vec<_> = doomed.iter().map(|name| inner.volumes.retire(name, &record.id)).collect();
    let files = Arc::clone(&container.files);
    // Deleting what a container wrote may take long; nobody waits for it, and a crash leaves it to the next
    // engine's sweep.
    tokio::task::spawn_blocking(move || {
        let _nobody_reads = files.write().unwrap_or_else(PoisonError::into_inner);
        // A supervisor that was killed leaves its socket behind.
        let _ = fs::remove_file(&places.socket);
        for result in [renamed, delete(&trash), delete(&places.state)] {
            if let Err(error) = result {
                tracing::warn!(%error, container = %trash.display(), "delete a container's files");
            }
        }
        for volume in retired {
            let deleted = volume.and_then(|trash| {
                delete(&trash).map_err(|error| Error::internal("delete its files", &error))
            });
            if let Err(error) = deleted {
                tracing::warn!(%error, "delete an anonymous volume");
            }
        }
    });
    Ok(doomed)
}

/// Deletes a directory with all that is in it; a missing one is no error.
pub(crate) fn delete(directory: &Path) -> std::io::Result<()> {
    match tree::remove_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
