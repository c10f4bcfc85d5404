//! How an image came about, as `docker history` shows it.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{FindError, ImageStore};
use crate::HistoryEntry;

impl ImageStore {
    /// The image's history, newest step first, with the size of each step's layer (Docker Engine API,
    /// `GET /images/{name}/history`).
    ///
    /// # Errors
    /// [`FindError`].
    pub fn history(&self, name_or_id: &str) -> Result<Vec<HistoryEntry>, FindError> {
        let image = self.find(name_or_id)?;
        let index = self.index();
        let mut layers = image.layers.iter();
        let mut entries: Vec<HistoryEntry> = Vec::with_capacity(image.config.history.len());
        for record in &image.config.history {
            let layer = if record.empty_layer { None } else { layers.next() };
            entries.push(HistoryEntry {
                id: "<missing>".to_owned(),
                created: record.created.as_deref().map_or(0, seconds),
                created_by: record.created_by.clone().unwrap_or_default(),
                tags: None,
                size: layer.and_then(|layer| index.layer(layer)).map_or(0, |layer| layer.size),
                comment: record.comment.clone().unwrap_or_default(),
            });
        }
        entries.reverse();
        if let Some(top) = entries.first_mut() {
            top.id = image.id.to_string();
            top.tags = (!image.names.is_empty()).then(|| image.names.clone());
        }
        Ok(entries)
    }
}

/// Seconds since 1970; 0 for what is no date.
pub(crate) fn seconds(rfc3339: &str) -> i64 {
    OffsetDateTime::parse(rfc3339, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp)
}
