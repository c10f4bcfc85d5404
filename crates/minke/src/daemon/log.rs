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
    let level = match level {
        Some("fatal") => "error",
        // Of the libraries, HTTP/2's alone would say more than everybody else together: each frame.
        Some("debug") => "info,minke=debug",
        level => level.unwrap_or("info"),
    };
    EnvFilter::try_new(level).map_err(|error| Failure::doing("--log-level", error))
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, level_filters::LevelFilter, subscriber::with_default};

    use super::*;

    #[test]
    fn debug_is_what_minke_says_and_not_its_libraries() {
        let log = tracing_subscriber::fmt().with_env_filter(filter(Some("debug")).unwrap()).finish();
        with_default(log, || {
            assert!(enabled!(target: "minke_network::firewall", Level::DEBUG));
            assert!(enabled!(target: "h2::codec", Level::INFO));
            assert!(!enabled!(target: "h2::codec", Level::DEBUG));
        });
        assert_eq!(filter(None).unwrap().max_level_hint(), Some(LevelFilter::INFO));
        assert!(filter(Some("minke=loud")).is_err());
    }
}
