//! Which repository has what: redb tables, changed by one synced transaction per request.
//!
//! Whatever a transaction decides on it reads inside of itself, so a manifest can't be accepted while the
//! collection of garbage takes a blob that it names.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    Digest, RepositoryName, Tag,
    manifest::{Document, Needed},
};

/// (digest, repository) → when it was linked, in seconds since 1970.
const BLOBS: TableDefinition<'static, (&str, &str), u64> = TableDefinition::new("blobs");
/// (digest, repository) → [`ManifestRecord`] as JSON.
const MANIFESTS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("manifests");
/// (repository, tag) → digest.
const TAGS: TableDefinition<'static, (&str, &str), &str> = TableDefinition::new("tags");
/// (repository, subject, digest) → the descriptor that the referrers API gives, as JSON.
const REFERRERS: TableDefinition<'static, (&str, &str, &str), &str> = TableDefinition::new("referrers");
/// Repository → when it was last pushed to, in seconds since 1970.
const REPOSITORIES: TableDefinition<'static, &str, u64> = TableDefinition::new("repositories");

/// What is kept of a manifest beside its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestRecord {
    pub(super) media_type: String,
    /// What it is made of.
    blobs: Vec<Digest>,
    /// The manifests of an index.
    manifests: Vec<Digest>,
    /// What must be there before it is accepted: not what has URLs of its own, nor a subject.
    #[serde(skip)]
    needed: Vec<Needed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
    #[serde(skip)]
    descriptor: String,
}

impl ManifestRecord {
    pub(super) fn new(document: &Document) -> Self {
        Self {
            media_type: document.media_type.clone(),
            blobs: document.blobs.clone(),
            manifests: document.manifests.clone(),
            needed: document.needed.clone(),
            subject: document.subject.clone(),
            descriptor: document.referrer.clone(),
        }
    }
}

type Result<T, E = redb::Error> = std::result::Result<T, E>;

/// The database of links.
pub(super) struct Links {
    path: PathBuf,
    /// `None` after a write failed: redb then refuses everything until it is opened anew.
    database: RwLock<Option<Database>>,
}

impl Links {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = open(path).map_err(failed("open"))?;
        Ok(Self { path: path.to_owned(), database: RwLock::new(Some(database)) })
    }

    /// Runs `work`, on a database opened anew when the disk had failed.
    fn with<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<T, StoreError> {
        let mut database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            drop(database);
            self.reopen().map_err(failed("open"))?;
            database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        }
        let Some(open) = database.as_ref() else { return Err(failed(action)(redb::Error::PreviousIo)) };
        let result = work(open);
        drop(database);
        if let Err(redb::Error::Io(_) | redb::Error::PreviousIo) = result {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result.map_err(failed(action))
    }

    fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open(&self.path)?);
        }
        Ok(())
    }

    fn change<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T, StoreError> {
        self.with("write", |database| {
            let transaction = database.begin_write()?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    pub(super) fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StoreError> {
        let digest = digest.to_string();
        self.with("read", |database| {
            let blobs = database.begin_read()?.open_table(BLOBS)?;
            Ok(blobs.get((digest.as_str(), repository.as_str()))?.is_some())
        })
    }

    /// Whether any repository has it as a blob or as a manifest.
    pub(super) fn is_linked(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = digest.to_string();
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            Ok(starts(&transaction.open_table(BLOBS)?, &digest)?
                || starts(&transaction.open_table(MANIFESTS)?, &digest)?)
        })
    }

    pub(super) fn link_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        self.change(|transaction| link(transaction, repository, &digest.to_string()))
    }

    pub(super) fn mount(
        &self,
        repository: &RepositoryName,
        from: Option<&RepositoryName>,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let digest = digest.to_string();
        self.change(|transaction| {
            let blobs = transaction.open_table(BLOBS)?;
            let found = match from {
                Some(from) => blobs.get((digest.as_str(), from.as_str()))?.is_some(),
                None => starts(&blobs, &digest)?,
            };
            drop(blobs);
            if found {
                link(transaction, repository, &digest)?;
            }
            Ok(found)
        })
    }

    pub(super) fn unlink_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let digest = digest.to_string();
        self.change(|transaction| {
            let mut blobs = transaction.open_table(BLOBS)?;
            Ok(blobs.remove((digest.as_str(), repository.as_str()))?.is_some())
        })
    }

    pub(super) fn put_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        record: &ManifestRecord,
        complete: bool,
    ) -> Result<Result<(), Vec<Digest>>, StoreError> {
        let (name, text) = (repository.as_str(), digest.to_string());
        let json = serde_json::to_vec(record).unwrap_or_default();
        self.with("write", |database| {
            let transaction = database.begin_write()?;
            if complete {
                let missing = missing(&transaction, name, &record.needed)?;
                if !missing.is_empty() {
                    transaction.abort()?;
                    return Ok(Err(missing));
                }
            }
            transaction.open_table(MANIFESTS)?.insert((text.as_str(), name), json.as_slice())?;
            transaction.open_table(REPOSITORIES)?.insert(name, now())?;
            if let Some(subject) = &record.subject {
                let key = (name, &*subject.to_string(), text.as_str());
                transaction.open_table(REFERRERS)?.insert(key, record.descriptor.as_str())?;
            }
            for tag in tags {
                transaction.open_table(TAGS)?.insert((name, tag.as_str()), text.as_str())?;
            }
            transaction.commit()?;
            Ok(Ok(()))
        })
    }

    pub(super) fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>, StoreError> {
        let digest = digest.to_string();
        self.with("read", |database| {
            let manifests = database.begin_read()?.open_table(MANIFESTS)?;
            let found = manifests.get((digest.as_str(), repository.as_str()))?;
            found.map(|record| parse(record.value())).transpose()
        })
    }

    pub(super) fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StoreError> {
        self.with("read", |database| {
            let tags = database.begin_read()?.open_table(TAGS)?;
            let found = tags.get((repository.as_str(), tag.as_str()))?;
            Ok(found.and_then(|digest| digest.value().parse().ok()))
        })
    }

    pub(super) fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let digest = digest.to_string();
        self.change(|transaction| {
            let mut tags = transaction.open_table(TAGS)?;
            tags.insert((repository.as_str(), tag.as_str()), digest.as_str())?;
            Ok(())
        })
    }

    pub(super) fn remove_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, StoreError> {
        self.change(|transaction| {
            let mut tags = transaction.open_table(TAGS)?;
            Ok(tags.remove((repository.as_str(), tag.as_str()))?.is_some())
        })
    }

    /// Removes a manifest, the tags that point to it, and itself from its subject's referrers.
    pub(super) fn remove_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let (name, digest) = (repository.as_str(), digest.to_string());
        self.change(|transaction| {
            let mut manifests = transaction.open_table(MANIFESTS)?;
            let Some(record) = manifests.remove((digest.as_str(), name))? else { return Ok(false) };
            let record = parse(record.value())?;
            if let Some(subject) = record.subject {
                let mut referrers = transaction.open_table(REFERRERS)?;
                referrers.remove((name, &*subject.to_string(), digest.as_str()))?;
            }
            let mut tags = transaction.open_table(TAGS)?;
            let mut pointing = Vec::new();
            for entry in tags.range((name, "")..)? {
                let (key, value) = entry?;
                if key.value().0 != name {
                    break;
                }
                if value.value() == digest {
                    pointing.push(key.value().1.to_owned());
                }
            }
            for tag in pointing {
                tags.remove((name, tag.as_str()))?;
            }
            Ok(true)
        })
    }

    pub(super) fn knows(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        self.with("read", |database| {
            let repositories = database.begin_read()?.open_table(REPOSITORIES)?;
            Ok(repositories.get(repository.as_str())?.is_some())
        })
    }

    pub(super) fn tags(
        &self,
        repository: &RepositoryName,
        last: &str,
        limit: usize,
    ) -> Result<(Vec<String>, bool), StoreError> {
        let name = repository.as_str();
        self.with("read", |database| {
            let tags = database.begin_read()?.open_table(TAGS)?;
            let mut page = Vec::new();
            for entry in tags.range((name, last)..)? {
                let (key, _) = entry?;
                let (owner, tag) = key.value();
                match owner == name {
                    false => break,
                    true if tag == last => {}
                    true if page.len() == limit => return Ok((page, true)),
                    true => page.push(tag.to_owned()),
                }
            }
            Ok((page, false))
        })
    }

    pub(super) fn repositories(&self, last: &str, limit: usize) -> Result<(Vec<String>, bool), StoreError> {
        self.with("read", |database| {
            let repositories = database.begin_read()?.open_table(REPOSITORIES)?;
            let mut page = Vec::new();
            for entry in repositories.range(last..)? {
                let (name, _) = entry?;
                match name.value() {
                    name if name == last => {}
                    _ if page.len() == limit => return Ok((page, true)),
                    name => page.push(name.to_owned()),
                }
            }
            Ok((page, false))
        })
    }

    /// (digest, descriptor) of each.
    pub(super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        last: &str,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let (name, subject) = (repository.as_str(), subject.to_string());
        self.with("read", |database| {
            let referrers = database.begin_read()?.open_table(REFERRERS)?;
            let mut list = Vec::new();
            for entry in referrers.range((name, subject.as_str(), last)..)? {
                let (key, descriptor) = entry?;
                let (owner, about, digest) = key.value();
                if owner != name || about != subject {
                    break;
                }
                if digest != last {
                    list.push((digest.to_owned(), descriptor.value().to_owned()));
                }
            }
            Ok(list)
        })
    }

    /// Takes from the repositories that are `idle` the blobs that none of their manifests names, and forgets
    /// repositories that have nothing left. Returns how many links went.
    pub(super) fn collect(
        &self,
        grace: Duration,
        idle: impl Fn(&RepositoryName) -> bool,
    ) -> Result<usize, StoreError> {
        self.change(|transaction| {
            let mut repositories = transaction.open_table(REPOSITORIES)?;
            let mut blobs = transaction.open_table(BLOBS)?;
            let manifests = transaction.open_table(MANIFESTS)?;
            let before = now().saturating_sub(grace.as_secs());
            let mut named = HashMap::new();
            for entry in repositories.iter()? {
                let (name, pushed) = entry?;
                if pushed.value() <= before && name.value().parse().is_ok_and(|name| idle(&name)) {
                    named.insert(name.value().to_owned(), HashSet::new());
                }
            }
            let mut kept: BTreeMap<String, usize> = named.keys().map(|name| (name.clone(), 0)).collect();
            for entry in manifests.iter()? {
                let (key, record) = entry?;
                if let Some(digests) = named.get_mut(key.value().1) {
                    digests.extend(parse(record.value())?.blobs.iter().map(Digest::to_string));
                    *kept.entry(key.value().1.to_owned()).or_default() += 1;
                }
            }
            let mut removed = 0;
            blobs.retain(|(digest, repository), _| {
                let Some(digests) = named.get(repository) else { return true };
                let keep = digests.contains(digest);
                match keep {
                    true => *kept.entry(repository.to_owned()).or_default() += 1,
                    false => removed += 1,
                }
                keep
            })?;
            for (name, _) in kept.iter().filter(|(_, things)| **things == 0) {
                repositories.remove(name.as_str())?;
            }
            Ok(removed)
        })
    }
}

fn open(path: &Path) -> Result<Database> {
    let database = Database::create(path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(BLOBS)?;
    transaction.open_table(MANIFESTS)?;
    transaction.open_table(TAGS)?;
    transaction.open_table(REFERRERS)?;
    transaction.open_table(REPOSITORIES)?;
    transaction.commit()?;
    Ok(database)
}

fn failed(action: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
    move |source| StoreError::Database { action, source: Box::new(source) }
}

fn link(transaction: &WriteTransaction, repository: &RepositoryName, digest: &str) -> Result<()> {
    transaction.open_table(BLOBS)?.insert((digest, repository.as_str()), now())?;
    transaction.open_table(REPOSITORIES)?.insert(repository.as_str(), now())?;
    Ok(())
}

/// What of `needed` the repository lacks.
fn missing(transaction: &WriteTransaction, repository: &str, needed: &[Needed]) -> Result<Vec<Digest>> {
    let blobs = transaction.open_table(BLOBS)?;
    let manifests = transaction.open_table(MANIFESTS)?;
    let mut missing = Vec::new();
    for need in needed {
        let (found, digest) = match need {
            Needed::Blob(digest) => (blobs.get((&*digest.to_string(), repository))?.is_some(), digest),
            Needed::Manifest(digest) => {
                (manifests.get((&*digest.to_string(), repository))?.is_some(), digest)
            }
        };
        if !found {
            missing.push(digest.clone());
        }
    }
    Ok(missing)
}

/// Whether some repository has this digest in a table of (digest, repository).
fn starts<V: redb::Value + 'static>(
    table: &impl ReadableTable<(&'static str, &'static str), V>,
    digest: &str,
) -> Result<bool> {
    let Some(first) = table.range((digest, "")..)?.next() else { return Ok(false) };
    Ok(first?.0.value().0 == digest)
}

fn parse(record: &[u8]) -> Result<ManifestRecord> {
    serde_json::from_slice(record)
        .map_err(|error| redb::Error::Corrupted(format!("a manifest's record: {error}")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
