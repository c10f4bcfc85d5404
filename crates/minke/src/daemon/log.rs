//! What a server says goes to standard error, as much as its level lets through; the level can change while it runs.

use tracing_subscriber::{EnvFilter, reload};

use crate::failure::Failure;

/// The running log.
pub(crate) struct Log(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>);

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// When there is no such level.
    pub(crate) fn start(level: Option<&str>) -> Result<Self, Failure> {
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter(level)?)
            .with_writer(std::io::stderr)
            .with_ansi(crate::terminal::stderr_is_terminal())
            .with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Ok(Self(Box::new(move |filter| handle.reload(filter))))
    }

    /// Changes how much is said.
    ///
    /// # Errors
    /// When there is no such level.
    pub(super) fn set(&self, level: Option<&str>) -> Result<(), Failure> {
        (self.0)(filter(level)?).map_err(|error| Failure::doing("change the log level", error))
    }
}

fn filter(level: Option<&str>) -> Result<EnvFilter, Failure> {
    let level = if level == Some("fatal") { "error" } else { level.unwrap_or("info") };
    EnvFilter::try_new(level).map_err(|error| Failure::doing("--log-level", error))
}
