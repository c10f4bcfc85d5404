//! SIGHUP: the configuration file is read again, and what may change while the engine runs is changed.
//!
//! Certificates are read again too, whatever becomes of the file.
//!
//! The file as it is then counts, together with the flags of the start: a key that is gone from it has its default again.
//! When it makes no sense, all stays as it was.

use std::convert::Infallible;

use minke_engine::Engine;
use tokio::signal::unix::Signal;

use super::{Command, log::Log, service_manager, settings::FileSettings, transport::Tcp};
use crate::failure::Failure;

/// Reloads at every signal.
pub(super) async fn at_signals(
    mut signals: Signal,
    command: &Command<'_>,
    engine: &Engine,
    log: &Log,
    tcp: &Tcp,
    mut file: FileSettings,
) -> Infallible {
    loop {
        if signals.recv().await.is_none() {
            // The event loop ends, and this with it.
            std::future::pending::<()>().await;
        }
        service_manager::reloading();
        if let Err(failure) = tcp.reload() {
            tracing::error!("the certificates stay as they were: {}", failure.message);
        }
        match reload(command, engine, log) {
            Ok(new) => {
                let late = file.needs_restart(&new);
                if !late.is_empty() {
                    tracing::warn!(
                        keys = late.join(", "),
                        "changed in the configuration file, and without effect until the engine is restarted"
                    );
                }
                tracing::info!(file = %command.args.config_file.display(), "reloaded the configuration");
                file = new;
            }
            Err(failure) => {
                tracing::error!("the configuration stays as it was: {}", failure.message);
            }
        }
        service_manager::ready();
    }
}

fn reload(command: &Command<'_>, engine: &Engine, log: &Log) -> Result<FileSettings, Failure> {
    let (args, file) = command.with_file()?;
    args.check()?;
    engine
        .reload(command.settings(&args)?)
        .map_err(|error| Failure::new(format!("{}: {error}", command.args.config_file.display())))?;
    log.set(command.level(&args).as_deref())?;
    Ok(file)
}
