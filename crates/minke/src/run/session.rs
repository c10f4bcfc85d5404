//! The user's standard streams connected to a container's, over a connection taken over from HTTP.
//!
//! ```text
//!   stdin ──(detach keys)──▶ ┌────────────┐
//!   stdout ◀── demultiplex ──│ connection │    stdin's end shuts the writing half down, output goes on;
//!   stderr ◀─────────────────└────────────┘    the connection's end ends the session
//! ```

use minke_docker_client::{Hijacked, HijackedIo, stdcopy};
use tokio::io::{self, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::detach_keys::DetachKeys;
use crate::{failure::Failure, output, terminal::TerminalMode};

/// What of the user's streams takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    /// The container has a terminal: one raw stream in each direction.
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All output has come.
    Output,
    /// The user pressed the detach keys; the container runs on.
    Detached,
}

/// A connected session.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Hijacked,
    wiring: Wiring,
    keys: DetachKeys,
    raw: Option<TerminalMode>,
}

impl Session {
    /// Takes the terminal into raw mode where the container has one and reads from the user's.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn new(connection: Hijacked, wiring: Wiring, keys: DetachKeys) -> Result<Self, Failure> {
        let raw = match wiring.tty && wiring.stdin {
            true => {
                TerminalMode::raw().map_err(|error| Failure::doing("set the terminal to raw mode", error))?
            }
            false => None,
        };
        Ok(Self { connection, wiring, keys, raw })
    }

    /// Copies until the container's output ends or the user detaches.
    ///
    /// # Errors
    /// When the connection breaks or the output can't be written.
    pub(crate) async fn run(self) -> Result<End, Failure> {
        let Self { connection, wiring, keys, raw } = self;
        let multiplexed = connection.is_multiplexed().unwrap_or(!wiring.tty);
        let (reader, writer) = io::split(connection.io);
        let input = pump_input(writer, wiring, keys);
        let output = copy_output(reader, wiring, multiplexed);
        tokio::pin!(input, output);
        let end = tokio::select! {
            biased;
            done = &mut output => done.map(|()| End::Output),
            Typed::Detached = &mut input => Ok(End::Detached),
        };
        drop(raw);
        if matches!(end, Ok(End::Detached)) {
            output::note("read escape sequence");
        }
        end
    }
}

/// Why input ended.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    /// Standard input's end, or nobody reads any more.
    Ended,
    Detached,
}

async fn pump_input(mut writer: WriteHalf<HijackedIo>, wiring: Wiring, mut keys: DetachKeys) -> Typed {
    if !wiring.stdin {
        // The writing half stays open: shutting it down would say that the user's input has ended.
        std::future::pending::<()>().await;
    }
    let mut stdin = io::stdin();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let (bytes, detached) = match wiring.tty {
            true => keys.filter(&buffer[..count]),
            false => (buffer[..count].to_vec(), false),
        };
        // The container may have closed its input; what it still says is worth reading.
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            break;
        }
        if detached {
            return Typed::Detached;
        }
    }
    // The engine may be gone already, which the other direction reports.
    let _ = writer.shutdown().await;
    if !wiring.stdout && !wiring.stderr {
        return Typed::Ended;
    }
    // Dropping the writer would close nothing more, but its half must outlive the output.
    std::future::pending::<()>().await;
    Typed::Ended
}

async fn copy_output(
    mut reader: ReadHalf<HijackedIo>,
    wiring: Wiring,
    multiplexed: bool,
) -> Result<(), Failure> {
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    if multiplexed {
        return match stdcopy::demultiplex(&mut reader, &mut stdout, &mut stderr).await {
            Ok(_) => Ok(()),
            Err(error) => Err(broken_stream(error)),
        };
    }
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            // The engine closes without ceremony when the user has not read everything.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(Failure::doing("read the container's output", error)),
        };
        if wiring.stdout || wiring.stderr {
            stdout.write_all(&buffer[..count]).await.map_err(output::lost)?;
            stdout.flush().await.map_err(output::lost)?;
        }
    }
}

/// The failure of splitting a stream into the user's two.
pub(crate) fn broken_stream(error: stdcopy::StdcopyError) -> Failure {
    match error {
        stdcopy::StdcopyError::Write(error) => output::lost(error),
        error => Failure::new(crate::failure::chain(&error)),
    }
}
