//! A connection to a D-Bus peer over a unix socket: the bus daemon, or systemd's own socket, which needs no
//! daemon.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStringExt,
            net::{SocketAddr, UnixStream},
        },
    },
    time::Duration,
};

use super::wire::{self, Call, Incoming, Kind};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest message that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// A refusal by the other side.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `org.freedesktop.systemd1.UnitExists` and the like.
    pub(super) name: String,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<UnixStream>,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: VecDeque<Incoming>,
}

impl Connection {
    /// Connects to the first of `addresses` (D-Bus specification, "Server Addresses") that answers.
    pub(super) fn open(addresses: &str) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no unix socket in the address");
        for address in addresses.split(';') {
            match socket_address(address).map(|address| UnixStream::connect_addr(&address?)) {
                None => {}
                Some(Err(error)) => last = error,
                Some(Ok(stream)) => return Self::authenticate(stream),
            }
        }
        Err(last)
    }

    /// With an empty identity the other side takes the one that the kernel tells, which is right in user
    /// namespaces too.
    ///
    /// All is said at once, as systemd's own clients do: a `BEGIN` that reaches systemd together with the
    /// first message makes it overlook that message until another comes.
    fn authenticate(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for wanted in ["DATA", "OK"] {
            let mut line = String::new();
            (&mut stream).take(1024).read_line(&mut line)?;
            if !line.starts_with(wanted) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the bus refuses this user"));
            }
        }
        Ok(Self { stream, serial: 0, signals: VecDeque::new() })
    }

    /// Calls a method and waits for the body of its answer.
    pub(super) fn call(&mut self, call: &Call<'_>, body: &[u8]) -> io::Result<Result<Vec<u8>, Refusal>> {
        self.serial += 1;
        let bytes = wire::method_call(call, self.serial, body);
        self.stream.get_mut().write_all(&bytes)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                Kind::Return if message.reply_serial == Some(self.serial) => return Ok(Ok(message.body)),
                Kind::Error if message.reply_serial == Some(self.serial) => {
                    let text = wire::Decoder::new(&message.body).text().unwrap_or_default();
                    return Ok(Err(Refusal { name: message.error, message: text }));
                }
                Kind::Signal => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(super) fn signal(&mut self) -> io::Result<Incoming> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.receive()?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    fn receive(&mut self) -> io::Result<Incoming> {
        let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "the bus answered nonsense");
        let mut header = [0; wire::FIXED_HEADER];
        self.stream.read_exact(&mut header).map_err(late)?;
        let length = wire::rest_length(&header).filter(|length| *length <= LONGEST).ok_or_else(nonsense)?;
        let mut rest = vec![0; length];
        self.stream.read_exact(&mut rest).map_err(late)?;
        wire::parse(&header, &rest).ok_or_else(nonsense)
    }
}

/// A read that took too long says so.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s"),
        _ => error,
    }
}

/// `unix:path=/run/x` or `unix:abstract=x`; None for other transports.
fn socket_address(address: &str) -> Option<io::Result<SocketAddr>> {
    let keys = address.strip_prefix("unix:")?;
    keys.split(',').filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| match key {
        "path" => Some(SocketAddr::from_pathname(OsString::from_vec(unescape(value)))),
        "abstract" => Some(SocketAddr::from_abstract_name(unescape(value))),
        _ => None,
    })
}

/// Bytes that an address can't hold are written `%2f`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn addresses_name_unix_sockets() {
        let path = |text: &str| socket_address(text).unwrap().unwrap();
        assert_eq!(path("unix:path=/run/a%20b,guid=7").as_pathname(), Some(Path::new("/run/a b")));
        assert_eq!(path("unix:abstract=x").as_abstract_name(), Some(&b"x"[..]));
        assert!(socket_address("tcp:host=x").is_none());
        assert!(Connection::open("tcp:host=x").is_err());
    }
}
