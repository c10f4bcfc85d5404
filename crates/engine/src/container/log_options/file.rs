//! The options of the drivers that keep the log in files of this host.
//!
//! Writing to them does not wait for anybody, so `mode=non-blocking` asks for what they do anyway.

use std::path::Path;

use minke_supervisor::LogConfig;

use super::{LOCAL_FILES, LOCAL_SIZE, Options, size};
use crate::Error;

pub(super) fn parse(options: &mut Options<'_>, path: &Path) -> Result<LogConfig, Error> {
    let mut log = LogConfig { path: Some(path.to_owned()), ..LogConfig::default() };
    let is_local = options.driver == "local";
    if is_local {
        // Its format is its own business; what it promises is that the log is bounded.
        (log.max_size, log.max_files) = (Some(LOCAL_SIZE), Some(LOCAL_FILES));
    } else {
        options.skip_attributes();
    }
    let unlimited = |text: &str| if text == "-1" { Some(None) } else { Some(Some(size(text)?)) };
    if let Some(size) = options.take_as("max-size", unlimited)?.flatten() {
        log.max_size = Some(size);
    }
    if let Some(files) = options.take_count("max-file")? {
        log.max_files = Some(files);
    }
    if options.take_bool("compress")? == Some(true) && !is_local {
        return Err(Error::not_implemented("log option compress=true can't be honoured"));
    }
    Ok(log)
}
