//! Receiving a terminal from a runtime.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use minke_kernel::socket;

use super::internal;
use crate::supervise::protocol::Failure;

/// How long a runtime that has ended with success may take to have sent its terminal.
const TERMINAL_PATIENCE: Duration = Duration::from_secs(2);

/// The socket on which a runtime hands over a terminal (runc's documentation, "terminals").
pub(super) struct Console {
    listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Console {
    /// Beside the supervisor's own socket, whose path is known to be short enough.
    pub(super) fn listen(beside: &Path) -> Result<Self, Failure> {
        let path = beside.with_extension("tty");
        let _ = fs::remove_file(&path); // of a supervisor that was killed
        let listener = UnixListener::bind(&path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| internal(&format!("listen for the terminal on {}", path.display()), &error))?;
        Ok(Self { listener, path })
    }

    /// The terminal's master side; the runtime has sent it before it ended.
    pub(super) fn receive(&self) -> Result<OwnedFd, Failure> {
        let received = self.accept().and_then(|connection| {
            connection.set_read_timeout(Some(TERMINAL_PATIENCE))?;
            let message = socket::receive(&connection)?;
            message
                .and_then(|message| message.descriptors.into_iter().next())
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        });
        received.map_err(|error| internal("receive the terminal from the OCI runtime", &error))
    }

    fn accept(&self) -> io::Result<UnixStream> {
        let deadline = Instant::now() + TERMINAL_PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((connection, _)) => {
                    connection.set_nonblocking(false)?;
                    return Ok(connection);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
