//! One message of an engine's progress (Docker Engine API, "JSONMessage"), and what it reads as.

use minke_model::quantity;
use serde::Deserialize;
use serde_json::Value;

use crate::format::text::or_default;

/// A message; every field may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Message {
    #[serde(deserialize_with = "or_default")]
    stream: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) status: String,
    #[serde(deserialize_with = "or_default")]
    id: String,
    progress_detail: Option<Detail>,
    #[serde(deserialize_with = "or_default")]
    error: String,
    error_detail: Option<ErrorDetail>,
    aux: Option<Value>,
}

/// How far a layer is.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(deserialize_with = "or_default")]
    current: i64,
    #[serde(deserialize_with = "or_default")]
    total: i64,
    /// Of what there are so many, where these are no bytes.
    #[serde(deserialize_with = "or_default")]
    units: String,
    #[serde(rename = "hidecounts", deserialize_with = "or_default")]
    hide_counts: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    #[serde(deserialize_with = "or_default")]
    message: String,
}

/// How far a layer is, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// Only that something goes on.
    Unknown,
    /// So much of what nobody knows the end of.
    Counted(String),
    /// So many bytes of a whole.
    Bytes { current: u64, total: u64 },
    /// So many of a whole of something else, or of what is not to be counted in public.
    Part { current: u64, total: u64, text: String },
}

impl Message {
    /// Why the engine gave up.
    pub(super) fn failure(&self) -> Option<&str> {
        let detail = self.error_detail.as_ref().map_or("", |detail| detail.message.as_str());
        [detail, &self.error].into_iter().find(|text| !text.is_empty())
    }

    /// What is meant for programs; such a message is not shown.
    pub(super) fn aux(&self) -> Option<&Value> {
        self.aux.as_ref()
    }

    /// The layer whose line this is about.
    pub(super) fn layer(&self) -> Option<&str> {
        (!self.id.is_empty() && self.progress_detail.is_some() && self.aux.is_none()).then_some(&self.id)
    }

    /// The text where nothing can be updated in place; counts of bytes are left out there, as they come many times a second.
    pub(super) fn line(&self) -> Option<String> {
        if self.aux.is_some() || self.share() != Share::Unknown {
            return None;
        }
        if !self.stream.is_empty() {
            return Some(self.stream.clone());
        }
        match (self.id.as_str(), self.status.as_str()) {
            ("", "") => None,
            ("", status) => Some(format!("{status}\n")),
            (id, status) => Some(format!("{id}: {status}\n")),
        }
    }

    /// How far the layer is.
    pub(super) fn share(&self) -> Share {
        let Some(Detail { current, total, units, hide_counts }) = &self.progress_detail else {
            return Share::Unknown;
        };
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        let (current, total) = (positive(*current), positive(*total));
        match (units.as_str(), total) {
            (_, 0) if current == 0 => Share::Unknown,
            // Of a whole that is too small the engine has counted wrong.
            ("", total) if total < current && !hide_counts => {
                Share::Counted(quantity::decimal_size(current as f64, 4))
            }
            (units, 0) => Share::Counted(format!("{current} {units}")),
            (_, total) if *hide_counts => Share::Part { current, total, text: String::new() },
            ("", total) => Share::Bytes { current, total },
            (units, total) => Share::Part { current, total, text: format!("{current}/{total} {units}") },
        }
    }
}
