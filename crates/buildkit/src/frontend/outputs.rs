//! `--output`, as a solve names it.

use std::collections::BTreeMap;
use std::sync::Arc;

use minke_build::{Output, OutputKind};

use crate::grpc::Status;
use crate::pb::control::{Exporter, SolveRequest};
use crate::progress::Feed;
use crate::session::Session;
use crate::session::output::ClientDisk;

/// What a solve asks for. Without anything, only the cache is filled.
///
/// # Errors
/// For kinds of outputs that there aren't.
pub(crate) fn read(
    request: &SolveRequest,
    session: &Arc<Session>,
    feed: &Feed,
) -> Result<Vec<Output>, Status> {
    let exporters = exporters(request);
    if exporters.is_empty() {
        return Ok(vec![cache_only()]);
    }
    let output = |(number, exporter): (usize, Exporter)| {
        let kind = kind(&exporter.kind)?;
        let to_client = !matches!(kind, OutputKind::Image | OutputKind::CacheOnly);
        let disk = || Arc::new(ClientDisk { session: session.clone(), number, feed: feed.clone() });
        Ok(Output { kind, attributes: exporter.attrs, destination: to_client.then(|| disk() as _) })
    };
    exporters.into_iter().enumerate().map(output).collect()
}

/// No output at all.
pub(crate) fn cache_only() -> Output {
    Output { kind: OutputKind::CacheOnly, attributes: BTreeMap::new(), destination: None }
}

/// All of them, also of clients that know of one only.
pub(crate) fn exporters(request: &SolveRequest) -> Vec<Exporter> {
    if request.exporters.is_empty() && !request.exporter.is_empty() {
        return vec![Exporter { kind: request.exporter.clone(), attrs: request.exporter_attrs.clone() }];
    }
    request.exporters.clone()
}

fn kind(name: &str) -> Result<OutputKind, Status> {
    Ok(match name {
        "moby" | "image" => OutputKind::Image,
        "local" => OutputKind::Local,
        "tar" => OutputKind::Tar,
        "oci" => OutputKind::Oci,
        "docker" => OutputKind::Docker,
        other => return Err(Status::invalid(format!("exporter {other:?} could not be found"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_name_one_output() {
        let mut request = SolveRequest { exporter: "moby".into(), ..SolveRequest::default() };
        assert_eq!(exporters(&request)[0].kind, "moby");
        request.exporters = vec![Exporter::default(), Exporter::default()];
        assert_eq!(exporters(&request).len(), 2);
        assert!(exporters(&SolveRequest::default()).is_empty());
        assert_eq!(kind("moby").unwrap(), OutputKind::Image);
        assert!(kind("s3").is_err());
    }
}
