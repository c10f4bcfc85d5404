//! `attach`: checks, wiring (also before the start, so that no byte is missed), and the log so far if it is
//! wanted.

use std::sync::Arc;

use minke_supervisor::Streams;

use crate::{
    AttachOptions, AttachSession, Engine, Error, LogsOptions, container::Phase, detach_keys::DetachKeys,
    logs, session::OutputForm,
};

impl Engine {
    /// Connects a client to a container's streams. When this returns, everything has been checked and is
    /// wired: the container
    /// may be started without losing its first output.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it is paused or restarting,
    /// [`crate::ErrorKind::InvalidParameter`] for bad keys.
    pub async fn attach(&self, name: &str, options: AttachOptions) -> Result<AttachSession, Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        let keys = DetachKeys::parse(options.detach_keys.as_deref())?;
        let record = container.record();
        match container.phase() {
            Phase::Paused => {
                return Err(Error::conflict(format!(
                    "container {} is paused, unpause the container before attach",
                    container.id
                )));
            }
            Phase::Restarting => {
                return Err(Error::conflict(format!(
                    "container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            _ => {}
        }
        let guard = (container.session(), self.busy());
        let logs = LogsOptions {
            stdout: options.streams.stdout,
            stderr: options.streams.stderr,
            ..LogsOptions::default()
        };
        if options.logs {
            logs::check(&logs, &record)?;
        }
        let stdin = options.streams.stdin && record.config.open_stdin.unwrap_or(false);
        let (wire, place) = match options.stream {
            true => {
                let (wire, place) = container.attach(Streams { stdin, ..options.streams }).await?;
                (Some(wire), place)
            }
            false => (None, None),
        };
        let before = options.logs.then(|| self.logs_before(&container, logs, place).stream);
        inner.container_event(&container, "attach", []);
        let (engine, detached) = (Arc::downgrade(inner), Arc::clone(&container));
        let attached = Arc::clone(&container);
        let on_detach = move || {
            if let Some(inner) = engine.upgrade() {
                inner.container_event(&detached, "detach", []);
            }
        };
        Ok(AttachSession {
            tty: record.tty(),
            form: OutputForm::Same,
            before,
            wire,
            stdin,
            // Only a terminal has keys: other input is data, whatever bytes there are in it.
            keys: if record.tty() { keys } else { DetachKeys::none() },
            // No wait of its own: waits are answered when the sessions have ended.
            settled: Some(Box::pin(async move { attached.settled().await })),
            on_detach: Some(Box::new(on_detach)),
            guard,
        })
    }
}
