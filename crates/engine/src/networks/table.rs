//! Which networks there are, and what they are called.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use minke_model::NetworkId;

use super::NetworkRecord;
use crate::Error;

/// Every network of the engine, by its id and its name.
#[derive(Debug, Default)]
pub(crate) struct NetworkTable {
    known: RwLock<Known>,
    /// Held while networks are made or removed, which wait for the disk anyway: so a name is never given twice.
    changing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<String, Arc<NetworkRecord>>,
    by_name: HashMap<String, NetworkId>,
}

impl NetworkTable {
    pub(super) fn new(records: impl IntoIterator<Item = NetworkRecord>) -> Self {
        let table = Self::default();
        records.into_iter().for_each(|record| table.insert(record));
        table
    }

    /// Keeps others from making or removing networks.
    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a network known, or replaces what is known of it.
    pub(super) fn insert(&self, record: NetworkRecord) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_name.insert(record.name.clone(), record.id.clone());
        known.by_id.insert(record.id.to_string(), Arc::new(record));
    }

    pub(super) fn remove(&self, record: &NetworkRecord) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_name.remove(&record.name);
        known.by_id.remove(record.id.as_str());
    }

    /// Every network.
    pub(crate) fn all(&self) -> Vec<Arc<NetworkRecord>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).by_id.values().cloned().collect()
    }

    /// The network of this very name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<NetworkRecord>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(known.by_name.get(name)?.as_str()).cloned()
    }

    /// The network of this very id.
    pub(crate) fn with_id(&self, id: &NetworkId) -> Option<Arc<NetworkRecord>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id.as_str()).cloned()
    }

    /// The network of this id, name, or unambiguous beginning of an id.
    ///
    /// # Errors
    /// `NotFound`; `InvalidParameter` for an ambiguous beginning.
    pub(crate) fn find(&self, term: &str) -> Result<Arc<NetworkRecord>, Error> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = known.by_id.get(term) {
            return Ok(Arc::clone(network));
        }
        let name = if term == "default" { "bridge" } else { term };
        if let Some(network) = known.by_name.get(name).and_then(|id| known.by_id.get(id.as_str())) {
            return Ok(Arc::clone(network));
        }
        let is_prefix = !term.is_empty() && term.bytes().all(|byte| byte.is_ascii_hexdigit());
        let matches = known.by_id.range(term.to_owned()..);
        let matches = matches.take_while(|(id, _)| is_prefix && id.starts_with(term));
        let matches: Vec<_> = matches.map(|(_, network)| network).collect();
        match matches.as_slice() {
            [] => Err(Error::not_found(format!("network {term} not found"))),
            [network] => Ok(Arc::clone(network)),
            several => Err(Error::invalid(format!(
                "network {term} is ambiguous ({} matches found based on ID prefix)",
                several.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::Ipam;

    use super::*;
    use crate::networks::{Kind, record::VERSION};

    fn record(byte: u8, name: &str) -> NetworkRecord {
        NetworkRecord {
            version: VERSION,
            id: NetworkId::from_random([byte; 32]),
            name: name.to_owned(),
            created: String::new(),
            kind: Kind::None,
            enable_ipv4: true,
            enable_ipv6: false,
            attachable: false,
            config_from: String::new(),
            ipam: Ipam::default(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn a_network_is_found_by_id_name_and_beginning_and_ambiguity_is_told() {
        let table = NetworkTable::new([record(0xab, "blue"), record(0xac, "a"), record(1, "bridge")]);
        assert_eq!(table.find("blue").unwrap().name, "blue");
        assert_eq!(table.find(&"ab".repeat(32)).unwrap().name, "blue");
        assert_eq!(table.find("abab").unwrap().name, "blue");
        // A name goes before the beginning of an id.
        assert_eq!(table.find("a").unwrap().name, "a");
        assert_eq!(table.find("default").unwrap().name, "bridge");
        table.remove(&record(0xac, "a"));
        table.insert(record(0xac, "green"));
        assert_eq!(
            table.find("a").unwrap_err().to_string(),
            "network a is ambiguous (2 matches found based on ID prefix)"
        );
        assert_eq!(table.find("").unwrap_err().to_string(), "network  not found");
    }
}
