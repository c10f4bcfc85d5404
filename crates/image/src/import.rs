//! `import`: a root file system's tar becomes an image of one layer.

use std::io::Read;

use minke_model::{Descriptor, ImageId, Platform};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    HistoryRecord, ImageConfig, ImageStore, LoadError, RootFs, changes,
    compression::{Compression, decompress},
    content::WriteError,
    load::Plan,
    store::checked_name,
};

/// What an imported image is to be called and to run.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The name to tag it with.
    pub name: Option<String>,
    /// The comment in its history; empty for Docker's "Imported from -".
    pub message: String,
    /// Dockerfile instructions that set its configuration.
    pub changes: Vec<String>,
    /// `os/architecture[/variant]`; the host's where absent.
    pub platform: Option<String>,
    /// When it was made; the caller owns the clock.
    pub created: OffsetDateTime,
}

impl ImageStore {
    /// Makes an image of one layer from a root file system's tar (plain, gzip or zstd). The layer is kept
    /// uncompressed.
    ///
    /// # Errors
    /// [`LoadError`] as for [`ImageStore::load`], and for a name, platform or change that is none: that before
    /// anything is read.
    pub fn import(&self, rootfs: impl Read + Send, options: ImportOptions) -> Result<ImageId, LoadError> {
        let name = options.name.as_deref().map(checked_name).transpose()?;
        let platform = match &options.platform {
            Some(text) => text.parse().map_err(|error| LoadError::Invalid(format!("{error}")))?,
            None => Platform::host(),
        };
        if platform.os != Platform::host().os {
            return Err(LoadError::Invalid(format!("{}: operating system is not supported", platform.os)));
        }
        let mut config = ImageConfig::default();
        changes::apply(&mut config.config, &options.changes)?;

        let mut staging = self.stage()?;
        let limit = self.options().layer_limits.bytes.saturating_mul(2).saturating_add(64 << 20);
        let rootfs = decompress(rootfs).map_err(LoadError::Read)?.take(limit);
        let (digest, size) = staging.write_blob(rootfs).map_err(|error| match error {
            WriteError::Read(error) => LoadError::Read(error),
            WriteError::Store(error) => LoadError::Store(error),
        })?;
        describe(&mut config, platform, &options);
        config.rootfs = RootFs { diff_ids: vec![digest], ..RootFs::default() };
        let json = serde_json::to_vec(&config)
            .map_err(|source| LoadError::Json { entry: "the new configuration".to_owned(), source })?;
        let (id, _) = staging.write_bytes(&json)?;
        let layer = Descriptor::new(Compression::None.layer_media_type(), digest, size);
        let mut plan = Plan::without_manifest("the new image", vec![layer], id, json, &mut staging)?;
        plan.names.extend(name);
        self.finish(&mut staging, vec![plan], &mut |_| {})?;
        Ok(id)
    }
}

fn describe(config: &mut ImageConfig, platform: Platform, options: &ImportOptions) {
    let created = options.created.format(&Rfc3339).ok();
    let comment = match options.message.is_empty() {
        true => "Imported from -".to_owned(),
        false => options.message.clone(),
    };
    (config.os, config.architecture, config.variant) = (platform.os, platform.architecture, platform.variant);
    config.created = created.clone();
    config.comment = Some(comment.clone());
    config.history = vec![HistoryRecord { created, comment: Some(comment), ..HistoryRecord::default() }];
}
