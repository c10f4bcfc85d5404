//! `logs`: what a container has written, and what it goes on writing.

pub(crate) mod attributes;
mod cursor;
mod entry;
pub(crate) mod tag;

use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use minke_supervisor::LogPlace;
use tokio::{io::AsyncReadExt, net::UnixStream};

use self::{
    cursor::{Cursor, End},
    entry::{Shown, show},
};
use crate::{
    Engine, Error, Logs, LogsOptions,
    container::{Container, Record, log_options::is_readable},
    engine::Busy,
};

/// A log on its way to one client.
struct Reader {
    path: PathBuf,
    options: LogsOptions,
    end: End,
    tty: bool,
    /// What `--details` shows before each line.
    attributes: String,
    /// `None` until the first read.
    cursor: Option<Cursor>,
    /// One byte comes whenever the log has grown; the end when it is complete.
    growth: Option<UnixStream>,
    /// Whose end has to be known before the log of a run ends.
    container: Arc<Container>,
    done: bool,
    _busy: Busy,
}

impl Engine {
    /// A container's log in Docker's stream form. It ends at its end, or with `follow` when the container
    /// ends.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::InvalidParameter`] when no stream is chosen;
    /// [`crate::ErrorKind::NotImplemented`] when it keeps no log.
    pub async fn logs(&self, name: &str, options: LogsOptions) -> Result<Logs, Error> {
        let container = self.inner().find(name)?;
        check(&options, &container.record())?;
        // Asked for before the first read, so that nothing falls between.
        let growth = if options.follow { growth(&container).await } else { None };
        let end = if options.follow { End::Never } else { End::Now };
        Ok(self.logs_until(&container, options, growth, end))
    }

    /// What was logged before a place; before now where that isn't known.
    pub(crate) fn logs_before(
        &self,
        container: &Arc<Container>,
        options: LogsOptions,
        place: Option<LogPlace>,
    ) -> Logs {
        let now = || {
            let path = self.inner().places(&container.id).log(&container.id);
            match std::fs::metadata(path) {
                Ok(metadata) => Some(LogPlace { inode: metadata.ino(), length: metadata.len() }),
                // Whatever will be in it comes later.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Some(LogPlace { inode: 0, length: 0 })
                }
                Err(_) => None,
            }
        };
        let end = place.or_else(now).map_or(End::Now, End::Place);
        self.logs_until(container, options, None, end)
    }

    fn logs_until(
        &self,
        container: &Arc<Container>,
        options: LogsOptions,
        growth: Option<UnixStream>,
        end: End,
    ) -> Logs {
        let record = container.record();
        let reader = Reader {
            path: self.inner().places(&record.id).log(&record.id),
            tty: record.tty(),
            attributes: if options.details { attributes::of(&record) } else { String::new() },
            options,
            end,
            cursor: None,
            growth,
            container: Arc::clone(container),
            done: false,
            _busy: self.busy(),
        };
        let pieces = stream::try_unfold(reader, |reader| async move { reader.next().await });
        Logs { tty: record.tty(), stream: Box::pin(pieces) }
    }
}

/// Whether a log can be shown.
///
/// # Errors
/// As for [`Engine::logs`].
pub(crate) fn check(options: &LogsOptions, record: &Record) -> Result<(), Error> {
    if !options.stdout && !options.stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    match is_readable(record) {
        true => Ok(()),
        false => Err(Error::not_implemented("configured logging driver does not support reading")),
    }
}

/// A container that does not run has no growing log.
async fn growth(container: &Arc<Container>) -> Option<UnixStream> {
    let supervisor = container.run().supervisor?;
    supervisor.follow_log().await.ok()
}

impl Reader {
    async fn next(mut self) -> std::io::Result<Option<(Bytes, Self)>> {
        loop {
            if self.done {
                return Ok(None);
            }
            let (mut reader, out, more) = tokio::task::spawn_blocking(move || {
                let result = self.read();
                result.map(|(out, more)| (self, out, more))
            })
            .await
            .map_err(std::io::Error::other)??;
            if !out.is_empty() {
                return Ok(Some((out.into(), reader)));
            }
            if !more {
                reader.wait_for_growth().await;
            }
            self = reader;
        }
    }

    /// Reads on: what to show, and whether there was anything.
    fn read(&mut self) -> std::io::Result<(Vec<u8>, bool)> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => self.cursor.insert(Cursor::open(&self.path, self.options.tail, self.end)?),
        };
        let (mut out, mut late) = (Vec::new(), false);
        let more = cursor.read(|line| {
            late = late || show(line, &self.options, &self.attributes, self.tty, &mut out) == Shown::TooLate;
        })?;
        self.done |= late;
        Ok((out, more))
    }

    /// After the last piece of growth one more read sees what came just before the end.
    async fn wait_for_growth(&mut self) {
        let Some(growth) = &mut self.growth else {
            self.done = true;
            return;
        };
        let mut many = [0; 256];
        if !matches!(growth.read(&mut many).await, Ok(count) if count > 0) {
            self.growth = None;
            // Clients ask for the exit code, or remove the container, as soon as the log has ended.
            let settled = self.container.settled();
            let _ = tokio::time::timeout(crate::session::SETTLING, settled).await;
        }
    }
}
