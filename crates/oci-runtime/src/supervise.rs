//! `minke-oci supervise`: one process per container that holds its stdio or pty, writes its log and
//! its exit record, and answers the engine over a socket. It outlives the engine.
//!
//! One thread, one epoll, no blocking calls while it serves but those of the runtime that nothing in the container can
//! draw out (create, start). Memory does not grow with output, with clients that don't read, or with the container's age.
//!
//! ```text
//!  engine ──frames──▶ connection ──request──▶ requests ──▶ driver (builtin | foreign) ──▶ container
//!    ▲                    │ stdin bytes                                                      │
//!    │                    └────────────────▶ stdin ──pipe/pty──────────────────────────────▶ │
//!    │                                                                                       │
//!    └──── backlog ◀── one copy per attached connection ◀── server ◀──pipe/pty── output ◀────┘
//!         (memory,                                            │
//!          then file)                     line_splitter ──▶ json_line ──▶ log_file
//!                                                     └──▶ collector (syslog, fluentd) ──socket──▶
//!
//!  created ──start──▶ running ──SIGCHLD──▶ draining ──output at its end, or patience──▶ ended ──▶ gone
//!     └──start fails: 126, 127, 128 ───────────┘           cgroup and state removed, exit record
//!                                                          renamed, socket removed, waits answered
//! ```

mod backlog;
mod clock;
mod collector;
mod connection;
mod driver;
mod ending;
pub mod frame;
mod json_line;
mod line_splitter;
mod log_file;
mod newcomers;
mod process;
pub mod protocol;
mod reactor;
mod record;
mod requests;
mod server;
mod setup;
mod stdin;

use std::{io::Write, os::unix::net::UnixStream, path::Path};

pub use setup::SuperviseError;

use self::{
    protocol::{Failure, Reply},
    server::Server,
};

/// Supervises the container that the configuration at `file` describes, from its creation to its end. With `waits`, the file is
/// read when the engine says so, and nothing happens if it goes away without a word.
///
/// # Errors
/// When the container could not be created; the engine has been told why, and nothing is left.
pub fn run(file: &Path, waits: bool) -> Result<(), SuperviseError> {
    let come = match waits {
        true => match setup::wait()? {
            Some(come) => Some(come),
            None => return Ok(()),
        },
        false => None,
    };
    let config = setup::read_config(file)?;
    let inherited = come.map_or_else(|| setup::take_inherited(&config), Ok)?;
    match setup::prepare(&config) {
        Ok(prepared) => Server::new(config, prepared, inherited)?.serve(),
        Err(failure) => {
            tell(&inherited.control, failure.clone());
            Err(SuperviseError::Create(failure))
        }
    }
}

/// Tells the engine why there is no container. If it has gone meanwhile, nobody wants to know.
fn tell(mut control: &UnixStream, failure: Failure) {
    if let Ok(frame) = frame::encode(&Reply::Error(failure)) {
        let _ = control.write_all(&frame);
    }
}
