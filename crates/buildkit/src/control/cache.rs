//! `DiskUsage` and `Prune`: the build cache, and the files of clients that are kept for their next build.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};

use crate::Shared;
use crate::builder::{CacheRecord, PruneOptions};
use crate::grpc::Status;
use crate::pb::control::{DiskUsageRequest, DiskUsageResponse, PruneRequest, UsageRecord};

/// The kind of the records of clients' files.
const FILES: &str = "source.local";

/// `DiskUsage`
///
/// # Errors
/// For filters that there aren't.
pub(crate) async fn usage(
    shared: &Arc<Shared>,
    request: &DiskUsageRequest,
) -> Result<DiskUsageResponse, Status> {
    let filter = Filter::read(&request.filter)?;
    let mut records = shared.builder.usage().await;
    records.extend(shared.slots.usage().into_iter().map(files));
    let records = records.into_iter().filter(|record| filter.takes(record));
    Ok(DiskUsageResponse { record: records.map(message).collect() })
}

/// `Prune`: tells what was removed.
///
/// # Errors
/// For filters that there aren't, and when the store fails.
pub(crate) async fn prune(
    shared: &Arc<Shared>,
    request: PruneRequest,
) -> Result<impl Stream<Item = Result<UsageRecord, Status>> + Send + use<>, Status> {
    let filter = Filter::read(&request.filter)?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let options = PruneOptions {
        all: request.all,
        unused_for: Duration::from_nanos(unsigned(request.keep_duration)),
        keep: unsigned(request.reserved_space).max(unsigned(request.max_used_space)),
        ids: filter.ids.clone(),
        kinds: filter.kinds.clone(),
    };
    // What limits the time or the size is about the cache; clients' files are few and small beside it.
    let takes_files = options.unused_for.is_zero() && options.keep == 0 && options.ids.is_empty();
    let pruned = shared.builder.prune(options).await;
    let mut records = pruned.map_err(|error| Status::unknown(error.to_string()))?;
    if takes_files && filter.takes_kind(FILES) {
        let slots = shared.slots.clone();
        let removed = tokio::task::spawn_blocking(move || slots.clear()).await.unwrap_or_default();
        records.extend(removed.into_iter().map(files));
    }
    Ok(stream::iter(records.into_iter().map(|record| Ok(message(record)))))
}

fn files((id, size): (String, u64)) -> CacheRecord {
    CacheRecord {
        id,
        size,
        kind: FILES.to_owned(),
        description: "files of a client".to_owned(),
        mutable: true,
        ..CacheRecord::default()
    }
}

fn message(record: CacheRecord) -> UsageRecord {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    UsageRecord {
        id: record.id,
        mutable: record.mutable,
        in_use: record.in_use,
        size: signed(record.size),
        created_at: record.created.map(Into::into),
        last_used_at: record.last_used.map(Into::into),
        usage_count: signed(record.uses),
        description: record.description,
        record_type: record.kind,
        shared: record.shared,
        parents: record.parents,
    }
}

/// containerd's filters, as far as `docker buildx` sends them: each a list of conditions that all hold, any of them enough.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    ids: Vec<String>,
    kinds: Vec<String>,
}

impl Filter {
    fn read(texts: &[String]) -> Result<Self, Status> {
        let mut filter = Self::default();
        for condition in texts.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()) {
            let (key, value) =
                condition.split_once("==").or_else(|| condition.split_once('=')).unwrap_or((condition, ""));
            let value = value.trim_matches('"').to_owned();
            match key {
                "id" => filter.ids.push(value),
                "type" => filter.kinds.push(value),
                other => {
                    return Err(Status::invalid(format!(
                        "filter {other:?} of the build cache: there are id and type"
                    )));
                }
            }
        }
        Ok(filter)
    }

    fn takes(&self, record: &CacheRecord) -> bool {
        (self.ids.is_empty() || self.ids.contains(&record.id)) && self.takes_kind(&record.kind)
    }

    fn takes_kind(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_ids_and_kinds() {
        let filter = Filter::read(&["type==regular".to_owned(), "id=abc".to_owned()]).unwrap();
        assert_eq!((filter.ids[0].as_str(), filter.kinds[0].as_str()), ("abc", "regular"));
        assert!(filter.takes(&CacheRecord {
            id: "abc".into(),
            kind: "regular".into(),
            ..CacheRecord::default()
        }));
        assert!(!filter.takes(&CacheRecord {
            id: "abd".into(),
            kind: "regular".into(),
            ..CacheRecord::default()
        }));
        assert!(Filter::read(&["colour==red".to_owned()]).is_err());
    }
}
