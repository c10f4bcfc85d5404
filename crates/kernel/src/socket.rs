//! Unix sockets that carry messages and descriptors (unix(7), `SCM_RIGHTS`).

use std::{
    ffi::OsStr,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The longest message in bytes; longer ones are refused by the sender.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Nearly all messages are shorter than this.
const USUAL_MESSAGE: usize = 1024;

/// At most so many descriptors come with one message.
const MAX_DESCRIPTORS: usize = 32;

/// A message: bytes, and the descriptors that came along.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors.
    pub descriptors: Vec<OwnedFd>,
}

/// Two connected sockets that keep messages apart (`SOCK_SEQPACKET`).
///
/// # Errors
/// `EMFILE`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message with descriptors.
///
/// # Errors
/// `EPIPE` when the other side is gone (without SIGPIPE), `EMSGSIZE`.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    loop {
        match net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            // The other side is gone, and left unread what it was sent before. That is told once, then it is gone only.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message (of a stream: what is there); `None` when the other side has closed.
///
/// # Errors
/// `EMFILE`.
pub fn receive(socket: impl AsFd) -> io::Result<Option<Message>> {
    let mut bytes = vec![0; next_length(&socket)?.clamp(USUAL_MESSAGE, MAX_MESSAGE)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length =
        again(|| net::recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags))?.bytes;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    bytes.truncate(length);
    // A message of no bytes at all is what the end of the stream looks like.
    Ok(if length == 0 && descriptors.is_empty() { None } else { Some(Message { bytes, descriptors }) })
}

/// Waits for a message; returns its length (of a stream: that there is something). Room for the longest one would be 16 pages of
/// memory to touch, each of which costs more than this call.
fn next_length(socket: impl AsFd) -> io::Result<usize> {
    again(|| net::recv(&socket, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::TRUNC)).map(|(_, length)| length)
}

fn again<T>(mut receive: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            // The other side closed without reading all it was sent. That is told once, ahead of what it said before.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            result => return Ok(result?),
        }
    }
}

/// Binds a listening stream socket to `name` in the directory `dir`, however long that directory's path is.
///
/// # Errors
/// `EADDRINUSE` when the name exists.
pub fn listen_in(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let socket = stream(SocketFlags::CLOEXEC)?;
    net::bind(&socket, &SocketAddrUnix::new(by_descriptor(dir.as_fd(), name))?)?;
    net::listen(&socket, 8)?;
    Ok(socket)
}

/// Connects to the stream socket `name` in the directory `dir`.
///
/// # Errors
/// `ENOENT` when there is none, `ECONNREFUSED` when nobody listens any more.
pub fn connect_in(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let socket = stream(SocketFlags::CLOEXEC)?;
    net::connect(&socket, &SocketAddrUnix::new(by_descriptor(dir.as_fd(), name))?)?;
    Ok(socket)
}

/// Connects to the stream socket at `path`.
///
/// # Errors
/// As for [`connect_in`].
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    connect_in(rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?, name)
}

/// Accepts a connection, close-on-exec.
///
/// # Errors
/// What accept4(2) says.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(net::accept_with(listener, SocketFlags::CLOEXEC)?)
}

/// Whether the peer has read all that was sent to it (of TCP: whether it has acknowledged it).
///
/// # Errors
/// `ENOTTY` for what is no socket.
pub fn is_all_read(socket: impl AsFd) -> io::Result<bool> {
    Ok(crate::sys::unread_output(socket.as_fd())? == 0)
}

fn stream(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// An address may have 107 bytes; a path through a descriptor always fits.
fn by_descriptor(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn messages_stay_apart_and_carry_descriptors() {
        let (a, b) = pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(&a, b"first", &[null.as_fd()]).unwrap();
        send(&a, b"second", &[]).unwrap();
        let first = receive(&b).unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.descriptors.len()), (&b"first"[..], 1));
        assert_eq!(receive(&b).unwrap().unwrap().bytes, b"second");
        drop(a);
        assert!(receive(&b).unwrap().is_none());
        assert_eq!(send(&b, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_was_sent_is_unread_until_the_peer_reads_it() {
        let (a, b) = pair().unwrap();
        assert!(is_all_read(&a).unwrap());
        send(&a, b"word", &[]).unwrap();
        assert!(!is_all_read(&a).unwrap());
        receive(&b).unwrap();
        assert!(is_all_read(&a).unwrap());
    }

    #[test]
    fn one_who_is_gone_is_gone_whether_or_not_all_was_read() {
        let (a, b) = pair().unwrap();
        send(&a, b"unheard", &[]).unwrap();
        send(&b, b"last words", &[]).unwrap();
        drop(b);
        assert_eq!(send(&a, b"more", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(receive(&a).unwrap().unwrap().bytes, b"last words");
    }

    #[test]
    fn last_words_arrive_even_from_one_who_did_not_listen() {
        let (a, b) = pair().unwrap();
        send(&a, b"unheard", &[]).unwrap();
        send(&b, b"last words", &[]).unwrap();
        drop(b);
        assert_eq!(receive(&a).unwrap().unwrap().bytes, b"last words");
        assert!(receive(&a).unwrap().is_none());
    }
}
