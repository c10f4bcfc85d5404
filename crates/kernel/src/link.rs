//! The one thing about networks that the runtime itself does: bring `lo` up in a new namespace.

use std::io;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys;

/// Brings the loopback interface of the caller's network namespace up.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the namespace's user namespace.
pub fn bring_loopback_up() -> io::Result<()> {
    use std::os::fd::AsFd;
    // A unix socket will do: the request goes to the namespace, and a kernel without IPv4 has it too.
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::add_interface_flags(socket.as_fd(), c"lo", libc::IFF_UP as i16)
}
