//! The calls about volumes.

use std::collections::BTreeSet;

use bollard_stubs::models::{
    Volume, VolumeCreateRequest, VolumeListResponse, VolumePruneResponse, VolumeScopeEnum, VolumeUsageData,
};

use super::{VolumeRecord, local, parse};
use crate::{Engine, Error, Filters, events::About, random, time_text};

impl Engine {
    /// Makes a volume; one that exists is given back as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for a bad name, [`crate::ErrorKind::NotFound`] for another
    /// driver.
    pub async fn volume_create(&self, request: VolumeCreateRequest) -> Result<Volume, Error> {
        let driver = request.driver.as_deref().filter(|driver| !driver.is_empty()).unwrap_or("local");
        if driver != "local" {
            return Err(Error::not_found(format!(
                "error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        let options = request.driver_opts.unwrap_or_default().into_iter().collect();
        local::check(&options)?;
        let name = request.name.filter(|name| !name.is_empty());
        let anonymous = name.is_none();
        let name = match name {
            Some(name) => parse::volume_name(&name)?,
            None => random::hex_id()?,
        };
        if let Some(existing) = self.inner().volumes.lock().get(&name) {
            return Ok(self.inner().volume_of(existing));
        }
        let record = VolumeRecord {
            version: 1,
            name: name.clone(),
            created: time_text::now(),
            labels: request.labels.unwrap_or_default().into_iter().collect(),
            options,
            anonymous,
        };
        self.blocking(move |inner| {
            inner.volumes.make(&record.name)?;
            inner.store.put_volume(&record)?;
            let volume = inner.volume_of(&record);
            inner.volumes.lock().insert(record.name.clone(), record);
            inner.volume_event("create", &name);
            Ok(volume)
        })
        .await
    }

    /// All volumes that match: `name` (a part of it), `label`, `driver`, `dangling`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn volume_list(&self, filters: &Filters) -> Result<VolumeListResponse, Error> {
        filters.expect(&["name", "label", "label!", "driver", "dangling"])?;
        let dangling = filters.boolean("dangling")?;
        let used = self.inner().used_volumes();
        let matches = |record: &&VolumeRecord| {
            filters.any("name", |part| record.name.contains(part))
                && filters.any("driver", |driver| driver == "local")
                && filters.labels(|key| record.labels.get(key).map(String::as_str))
                && dangling.is_none_or(|dangling| dangling != used.contains(&record.name))
        };
        let all = self.inner().volumes.lock();
        let volumes = all.values().filter(matches).map(|record| self.inner().volume_of(record)).collect();
        Ok(VolumeListResponse { volumes: Some(volumes), warnings: Some(Vec::new()) })
    }

    /// One volume.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn volume_inspect(&self, name: &str) -> Result<Volume, Error> {
        let all = self.inner().volumes.lock();
        let record = all.get(name).ok_or_else(|| no_such_volume(name))?;
        Ok(self.inner().volume_of(record))
    }

    /// Removes a volume that no container uses; with `force` a missing one is no error.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] while a container has it.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            if !inner.volumes.lock().contains_key(&name) {
                return if force { Ok(()) } else { Err(no_such_volume(&name)) };
            }
            let users = inner.volume_users(&name);
            if !users.is_empty() {
                return Err(Error::conflict(format!(
                    "remove {name}: volume is in use - [{}]",
                    users.join(", ")
                )));
            }
            inner.remove_volume(&name)
        })
        .await
    }

    /// Removes what no container uses: anonymous volumes, with the filter `all=true` named ones too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn volume_prune(&self, filters: &Filters) -> Result<VolumePruneResponse, Error> {
        filters.expect(&["all", "label", "label!"])?;
        let all = filters.boolean("all")?.unwrap_or(false);
        let filters = filters.clone();
        self.blocking(move |inner| {
            let used = inner.used_volumes();
            let doomed: Vec<String> = inner
                .volumes
                .lock()
                .values()
                .filter(|record| (all || record.anonymous) && !used.contains(&record.name))
                .filter(|record| filters.labels(|key| record.labels.get(key).map(String::as_str)))
                .map(|record| record.name.clone())
                .collect();
            let mut response =
                VolumePruneResponse { volumes_deleted: Some(Vec::new()), space_reclaimed: Some(0) };
            for name in doomed {
                let is_local =
                    inner.volumes.lock().get(&name).is_some_and(|volume| volume.options.is_empty());
                let size = if is_local { crate::disk::usage(&inner.volumes.data(&name)) } else { 0 };
                inner.remove_volume(&name)?;
                response.space_reclaimed = response.space_reclaimed.map(|sum| sum + size);
                response.volumes_deleted.get_or_insert_default().push(name);
            }
            let reclaimed = response.space_reclaimed.unwrap_or(0).to_string();
            inner.events.emit(About::Volume, "prune", "", [("reclaimed".to_owned(), reclaimed)]);
            Ok(response)
        })
        .await
    }
}

impl crate::engine::Inner {
    pub(crate) fn volume_of(&self, record: &VolumeRecord) -> Volume {
        let mut labels: std::collections::HashMap<_, _> = record.labels.clone().into_iter().collect();
        if record.anonymous {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        Volume {
            name: record.name.clone(),
            driver: "local".to_owned(),
            mountpoint: self.volumes.data(&record.name).to_string_lossy().into_owned(),
            created_at: Some(record.created.clone()),
            labels,
            scope: Some(VolumeScopeEnum::LOCAL),
            options: record.options.clone().into_iter().collect(),
            ..Volume::default()
        }
    }

    /// With its size and how many containers have it, for `system df`.
    pub(crate) fn volume_with_usage(&self, record: &VolumeRecord) -> Volume {
        let users = i64::try_from(self.volume_users(&record.name).len()).unwrap_or(i64::MAX);
        // What is elsewhere is not measured, as in Docker.
        let size = match record.options.is_empty() {
            true => crate::disk::usage(&self.volumes.data(&record.name)),
            false => -1,
        };
        Volume { usage_data: Some(VolumeUsageData { size, ref_count: users }), ..self.volume_of(record) }
    }

    pub(crate) fn volume_event(&self, action: &str, name: &str) {
        self.events.emit(About::Volume, action, name, [("driver".to_owned(), "local".to_owned())]);
    }

    /// The ids of containers that have the volume.
    pub(crate) fn volume_users(&self, name: &str) -> Vec<String> {
        let uses = |record: &crate::container::Record| {
            record.mounts.iter().any(|mount| mount.name.as_deref() == Some(name))
        };
        let records = self.containers().into_iter().map(|container| container.record());
        records.filter(|record| uses(record)).map(|record| record.id.to_string()).collect()
    }

    fn used_volumes(&self) -> BTreeSet<String> {
        let records = self.containers().into_iter().map(|container| container.record());
        records
            .flat_map(|record| {
                record.mounts.iter().filter_map(|mount| mount.name.clone()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.store.remove_volume(name)?;
        self.volumes.lock().remove(name);
        self.volumes.destroy(name)?;
        self.volume_event("destroy", name);
        Ok(())
    }
}

fn no_such_volume(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}
