//! `DiskUsage` and `Prune`: the build cache, and the files of clients that are kept for their next build.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use minke_build::CacheFilter;

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
    let filter = filter(&request.filter)?;
    let mut records = shared.builder.usage().await;
    records.extend(shared.slots.usage().into_iter().map(files));
    let records = records.into_iter().filter(|record| filter.takes(&record.facts()));
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
    let filter = filter(&request.filter)?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let options = PruneOptions {
        all: request.all,
        unused_for: Duration::from_nanos(unsigned(request.keep_duration)),
        keep: unsigned(request.reserved_space).max(unsigned(request.max_used_space)),
        filter: filter.clone(),
    };
    // What limits the time or the size is about the cache; clients' files are few and small beside it.
    let is_unlimited = options.unused_for.is_zero() && options.keep == 0;
    let pruned = shared.builder.prune(options).await;
    let mut records = pruned.map_err(|error| Status::unknown(error.to_string()))?;
    if is_unlimited {
        let slots = shared.slots.clone();
        let is_meant = move |name: &str| filter.takes(&files((name.to_owned(), 0)).facts());
        let removed = tokio::task::spawn_blocking(move || slots.clear(is_meant)).await.unwrap_or_default();
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

fn filter(texts: &[String]) -> Result<CacheFilter, Status> {
    CacheFilter::read(texts).map_err(|error| Status::invalid(error.to_string()))
}
