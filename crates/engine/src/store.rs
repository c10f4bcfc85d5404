//! engine.db: the tables of containers, networks and volumes. Every change is one transaction and durable when it
//! returns; blocking, so it is called
//! off the async threads.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{
    Error, ErrorKind,
    container::{Record, record::VERSION},
    networks::{NetworkRecord, record},
    volumes::VolumeRecord,
};

/// Container id → [`Record`] as JSON.
const CONTAINERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("containers");
/// Network id → [`NetworkRecord`] as JSON.
const NETWORKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
/// Volume name → [`VolumeRecord`] as JSON.
const VOLUMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("volumes");

/// The engine's part of engine.db.
#[derive(Clone)]
pub(crate) struct Store(Arc<Database>);

impl Store {
    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn open(database: Arc<Database>) -> Result<Self, Error> {
        let store = Self(database);
        store.write("create tables", |_, _| Ok(()))?;
        store.write_networks("create tables", |_| Ok(()))?;
        Ok(store)
    }

    /// Every container.
    ///
    /// # Errors
    /// `Internal`, also for a record that this version can't read.
    pub(crate) fn containers(&self) -> Result<Vec<Record>, Error> {
        let records: Vec<Record> = self.all(CONTAINERS, "containers")?;
        match records.iter().find(|record| record.version > VERSION) {
            None => Ok(records.into_iter().map(Record::in_this_version).collect()),
            Some(record) => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "container {} was written by a newer engine (record version {})",
                    record.id.short(),
                    record.version
                ),
            )),
        }
    }

    /// Every network.
    ///
    /// # Errors
    /// `Internal`, also for a record that this version can't read.
    pub(crate) fn networks(&self) -> Result<Vec<NetworkRecord>, Error> {
        let records: Vec<NetworkRecord> = self.all(NETWORKS, "networks")?;
        match records.iter().find(|network| network.version > record::VERSION) {
            None => Ok(records),
            Some(network) => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "network {} was written by a newer engine (record version {})",
                    network.name, network.version
                ),
            )),
        }
    }

    /// New or changed networks.
    ///
    /// # Errors
    /// `Internal`; nothing has changed then.
    pub(crate) fn put_networks(&self, networks: &[&NetworkRecord]) -> Result<(), Error> {
        let values = networks.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        self.write_networks("store a network", |table| {
            for (network, value) in networks.iter().zip(&values) {
                table.insert(network.id.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }

    /// Forgets a network.
    ///
    /// # Errors
    /// `Internal`; nothing has changed then.
    pub(crate) fn remove_network(&self, id: &str) -> Result<(), Error> {
        self.write_networks("remove a network", |table| table.remove(id).map(drop))
    }

    /// Every volume.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn volumes(&self) -> Result<Vec<VolumeRecord>, Error> {
        self.all(VOLUMES, "volumes")
    }

    /// A new container together with volumes made for it, or a changed one.
    ///
    /// # Errors
    /// `Internal`; nothing has changed then.
    pub(crate) fn put_container(&self, record: &Record, volumes: &[VolumeRecord]) -> Result<(), Error> {
        let value = json(record)?;
        let volumes =
            volumes.iter().map(|volume| Ok((volume, json(volume)?))).collect::<Result<Vec<_>, Error>>()?;
        self.write("store a container", |containers, table| {
            containers.insert(record.id.as_str(), value.as_slice())?;
            for (volume, value) in &volumes {
                table.insert(volume.name.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }

    /// Forgets a container together with volumes that go with it.
    ///
    /// # Errors
    /// `Internal`; nothing has changed then.
    pub(crate) fn remove_container(&self, id: &str, volumes: &[String]) -> Result<(), Error> {
        self.write("remove a container", |containers, table| {
            containers.remove(id)?;
            for name in volumes {
                table.remove(name.as_str())?;
            }
            Ok(())
        })
    }

    /// A new volume.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn put_volume(&self, volume: &VolumeRecord) -> Result<(), Error> {
        let value = json(volume)?;
        self.write("store a volume", |_, table| {
            table.insert(volume.name.as_str(), value.as_slice()).map(drop)
        })
    }

    /// Forgets a volume.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.write("remove a volume", |_, table| table.remove(name).map(drop))
    }

    fn write(
        &self,
        action: &str,
        change: impl FnOnce(&mut Table<'_>, &mut Table<'_>) -> Result<(), redb::StorageError>,
    ) -> Result<(), Error> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.0.begin_write()?;
            {
                let mut containers = transaction.open_table(CONTAINERS)?;
                let mut volumes = transaction.open_table(VOLUMES)?;
                change(&mut containers, &mut volumes)?;
            }
            transaction.commit()?;
            Ok(())
        };
        run().map_err(|error| Error::internal(action, &error))
    }

    fn write_networks(
        &self,
        action: &str,
        change: impl FnOnce(&mut Table<'_>) -> Result<(), redb::StorageError>,
    ) -> Result<(), Error> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.0.begin_write()?;
            change(&mut transaction.open_table(NETWORKS)?)?;
            transaction.commit()?;
            Ok(())
        };
        run().map_err(|error| Error::internal(action, &error))
    }

    fn all<T: serde::de::DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        what: &str,
    ) -> Result<Vec<T>, Error> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let transaction = self.0.begin_read()?;
            let table = transaction.open_table(table)?;
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (key, value) = entry?;
                all.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(all)
        };
        let entries = read().map_err(|error| Error::internal(format!("read {what}"), &error))?;
        let parse = |(key, value): (String, Vec<u8>)| {
            serde_json::from_slice(&value)
                .map_err(|error| Error::internal(format!("read {what} {key}"), &error))
        };
        entries.into_iter().map(parse).collect()
    }
}

type Table<'t> = redb::Table<'t, &'static str, &'static [u8]>;

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::internal("write a record", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_survive_the_database_being_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.db");
        let store = Store::open(Arc::new(Database::create(&path).unwrap())).unwrap();
        store.put_volume(&VolumeRecord { name: "data".into(), ..VolumeRecord::default() }).unwrap();
        store.put_volume(&VolumeRecord { name: "gone".into(), ..VolumeRecord::default() }).unwrap();
        store.remove_volume("gone").unwrap();
        drop(store);
        let store = Store::open(Arc::new(Database::create(&path).unwrap())).unwrap();
        let names: Vec<_> = store.volumes().unwrap().into_iter().map(|volume| volume.name).collect();
        assert_eq!(names, ["data"]);
        assert!(store.containers().unwrap().is_empty());
    }
}
