//! `state`: where a container is in its life, as JSON.

use std::collections::BTreeMap;

use minke_model::runtime_spec::{Status, VERSION};
use minke_oci_runtime::container::Stored;
use serde::Serialize;

use super::{Command, Global, find, flags::Parsed};

pub(super) const COMMAND: Command = Command {
    name: "state",
    summary: "output the state of a container",
    operands: "<container-id>",
    count: 1..=1,
    flags: &[],
    rest: None,
    sealed: false,
    run: state,
    failure: 1,
};

/// The specification's state with the fields that runc adds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateView<'a> {
    oci_version: &'static str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: String,
    rootfs: String,
    pub(super) created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    pub(super) owner: String,
}

impl<'a> StateView<'a> {
    pub(super) fn new(stored: &'a Stored, owner: String) -> Self {
        let record = &stored.record;
        let status = stored.status();
        Self {
            oci_version: VERSION,
            id: &record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle.display().to_string(),
            rootfs: record.rootfs.display().to_string(),
            created: &record.created,
            annotations: &record.annotations,
            owner,
        }
    }
}

fn state(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    println!("{}", serde_json::to_string_pretty(&StateView::new(&stored, String::new()))?);
    Ok(0)
}
