//! The readiness protocol of systemd services, sd_notify(3), for the container's program: it gets a socket
//! of the runtime's, and what it says there is passed on to the caller's `NOTIFY_SOCKET`, as far as it may
//! say it.
//!
//! ```text
//!   program ──READY=1──▶ <state>/notify/notify.sock ──READY=1, MAINPID=…, BARRIER=1──▶ $NOTIFY_SOCKET
//! ```
//!
//! Only readiness is passed on: everything else (the main process, descriptors to keep) is the host's to
//! decide.

use std::{
    env, fs,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use minke_kernel::socket;
use minke_model::runtime_spec::{Mount, Spec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::Global;

/// Where the socket's directory is in the container.
const INSIDE: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// How long the host's manager may take to take note.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// The caller's socket, if it wants to be notified.
fn wanted() -> Option<SocketAddr> {
    let path = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => SocketAddr::from_pathname(&path).ok(),
    }
}

fn directory(global: &Global, id: &str) -> PathBuf {
    global.root.join(id).join("notify")
}

/// Gives the container the socket's directory, where the caller wants to be notified; says whether it does.
pub(super) fn prepare(global: &Global, id: &str, spec: &mut Spec) -> anyhow::Result<bool> {
    if wanted().is_none() {
        return Ok(false);
    }
    let Some(process) = &mut spec.process else { return Ok(false) };
    process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{NAME}"));
    let source = std::path::absolute(directory(global, id)).context("find the state's directory")?;
    spec.mounts.push(Mount {
        destination: INSIDE.into(),
        source: Some(source.display().to_string()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    Ok(true)
}

/// The runtime's end, before the program starts.
pub(super) struct Notify {
    socket: UnixDatagram,
    host: SocketAddr,
}

impl Notify {
    /// Opens the socket of a container that was made with one, where the caller wants to be notified.
    pub(super) fn open(global: &Global, id: &str) -> anyhow::Result<Option<Self>> {
        let path = directory(global, id);
        let Some(host) = wanted().filter(|_| path.is_dir()) else { return Ok(None) };
        let socket = bind(&path).with_context(|| format!("make the socket {}", path.join(NAME).display()))?;
        Ok(Some(Self { socket, host }))
    }

    /// Waits until the program is ready, or `process` has ended, and passes that on with `main` as the
    /// service's main process.
    pub(super) fn attend(&self, process: impl AsFd, main: i32) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let (said, ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if said && let Some(ready) = self.hear()? {
                return self.tell(&ready, main);
            }
            if ended && !said {
                return Ok(());
            }
        }
    }

    /// The line about readiness, if this is what is said.
    fn hear(&self) -> io::Result<Option<String>> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Ok(text.lines().find(|line| line.starts_with("READY=")).map(str::to_owned))
    }

    fn tell(&self, ready: &str, main: i32) -> io::Result<()> {
        let host = UnixDatagram::unbound()?;
        host.connect_addr(&self.host)?;
        // Datagrams of their own, in runc's order.
        host.send(format!("{ready}\n").as_bytes())?;
        host.send(format!("MAINPID={main}\n").as_bytes())?;
        barrier(&host)
    }
}

fn bind(directory: &Path) -> io::Result<UnixDatagram> {
    // A socket's path may have 107 bytes; by a descriptor it always fits.
    let opened = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(&path)?;
    // The program may be any user.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    // Whoever is ready has time; this is only against a poll that was wrong.
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

/// Waits until the host's manager has taken note (sd_notify_barrier(3)): it closes what it is sent.
fn barrier(host: &UnixDatagram) -> io::Result<()> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    socket::send(host, b"BARRIER=1", &[write.as_fd()])?;
    drop(write);
    poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&PATIENCE))?;
    Ok(())
}
