//! Moving a network device into another network namespace (rtnetlink(7)), for `linux.netDevices`.
//!
//! The kernel takes a device's addresses away when it moves, and the specification wants the lasting ones back. A socket
//! belongs to the namespace that it was opened in, so one [`Socket`] of each namespace does it all and nothing is
//! executed there. Messages are written here by hand: the few that are needed are far smaller than a library of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `IFNAMSIZ` without the zero byte.
const LONGEST_NAME: usize = 15;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct ifinfomsg`.
const LINK: usize = 16;
/// Length of `struct ifaddrmsg`.
const ADDRESS: usize = 8;

/// A netlink socket of the namespace that it was opened in.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// One address of a device, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    /// `IFA_LOCAL`, `IFA_ADDRESS`, `IFA_BROADCAST`: what identifies it.
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Whether the kernel takes `name` for a device; a last `%d` asks it for a number.
pub fn is_valid_name(name: &str) -> bool {
    let plain = |c: char| !matches!(c, '/' | ':') && !c.is_ascii_whitespace() && c != '\0';
    !matches!(name, "" | "." | "..") && name.len() <= LONGEST_NAME && name.chars().all(plain)
}

impl Socket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn open() -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let flags = SocketFlags::CLOEXEC;
        Ok(Self(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?))
    }

    /// The index of the device that is called `name`.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn index(&self, name: &str) -> io::Result<i32> {
        let mut request = Request::link(libc::RTM_GETLINK, 0, 0);
        request.attribute(libc::IFLA_IFNAME, &terminated(name));
        let answers = self.ask(request, 0)?;
        let link = answers.first().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        let index = link.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        index.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The device's addresses that last and that hold everywhere: what somebody gave it.
    ///
    /// # Errors
    /// `ENOBUFS`.
    pub fn lasting_addresses(&self, index: i32) -> io::Result<Vec<Address>> {
        let request = Request::new(libc::RTM_GETADDR, &[0; ADDRESS]);
        let answers = self.ask(request, libc::NLM_F_DUMP)?;
        Ok(answers.iter().filter_map(|answer| lasting_address(answer, index)).collect())
    }

    /// Moves the device into `namespace`, where it is called `name`, in one step.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken there, `EINVAL` for a device that can't move (`lo`), `EPERM`.
    pub fn move_to(&self, index: i32, namespace: impl AsFd, name: &str) -> io::Result<()> {
        let mut request = Request::link(libc::RTM_NEWLINK, index, 0);
        request.attribute(libc::IFLA_NET_NS_FD, &namespace.as_fd().as_raw_fd().to_ne_bytes());
        request.attribute(libc::IFLA_IFNAME, &terminated(name));
        self.ask(request, libc::NLM_F_ACK).map(drop)
    }

    /// Gives an address to a device.
    ///
    /// # Errors
    /// `EEXIST`, `EPERM`.
    pub fn add_address(&self, index: i32, address: &Address) -> io::Result<()> {
        let mut body = [0; ADDRESS];
        (body[0], body[1]) = (address.family, address.prefix);
        body[4..].copy_from_slice(&index.to_ne_bytes());
        let mut request = Request::new(libc::RTM_NEWADDR, &body);
        address.attributes.iter().for_each(|(kind, value)| request.attribute(*kind, value));
        self.ask(request, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL).map(drop)
    }

    /// Brings the device up.
    ///
    /// # Errors
    /// What its driver says.
    pub fn bring_up(&self, index: i32) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.ask(Request::link(libc::RTM_NEWLINK, index, up), libc::NLM_F_ACK).map(drop)
    }

    /// The indices of all devices.
    ///
    /// # Errors
    /// `ENOBUFS`.
    pub fn indices(&self) -> io::Result<Vec<i32>> {
        let answers = self.ask(Request::link(libc::RTM_GETLINK, 0, 0), libc::NLM_F_DUMP)?;
        let index = |answer: &Vec<u8>| Some(i32::from_ne_bytes(answer.get(4..8)?.try_into().ok()?));
        Ok(answers.iter().filter_map(index).collect())
    }

    /// Sends a request and returns the bodies of what is answered.
    fn ask(&self, request: Request, flags: i32) -> io::Result<Vec<Vec<u8>>> {
        let bytes = request.finish(flags | libc::NLM_F_REQUEST);
        rustix::net::send(&self.0, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        // The kernel fills at most so much of one message of a dump.
        let mut buffer = vec![0u8; 32 * 1024];
        loop {
            let length = match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for (kind, body) in messages(&buffer[..length]) {
                match i32::from(kind) {
                    libc::NLMSG_ERROR => return acknowledged(body).map(|()| answers),
                    libc::NLMSG_DONE => return Ok(answers),
                    _ => answers.push(body.to_vec()),
                }
            }
            if flags & (libc::NLM_F_DUMP | libc::NLM_F_ACK) == 0 && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }
}

/// An error of 0 is none.
fn acknowledged(body: &[u8]) -> io::Result<()> {
    match body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn lasting_address(message: &[u8], index: i32) -> Option<Address> {
    let (family, prefix, scope) = (*message.first()?, *message.get(1)?, *message.get(3)?);
    let of = i32::from_ne_bytes(message.get(4..ADDRESS)?.try_into().ok()?);
    let mut flags = u32::from(*message.get(2)?);
    let mut kept = Vec::new();
    for (kind, value) in attributes(message.get(ADDRESS..)?) {
        match kind {
            // The whole field; the header has room for its first eight bits.
            libc::IFA_FLAGS => flags = u32::from_ne_bytes(value.try_into().ok()?),
            libc::IFA_LOCAL | libc::IFA_ADDRESS | libc::IFA_BROADCAST => kept.push((kind, value.to_vec())),
            _ => {}
        }
    }
    let lasts = flags & libc::IFA_F_PERMANENT != 0 && scope == libc::RT_SCOPE_UNIVERSE;
    (of == index && lasts).then_some(Address { family, prefix, attributes: kept })
}

/// Type and body of each message in what was received.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Type and value of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// A message on its way: its header is written last, when the length is known.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// About a link: with `flags` to be set.
    fn link(kind: u16, index: i32, flags: u32) -> Self {
        let mut body = [0; LINK];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body[12..].copy_from_slice(&flags.to_ne_bytes());
        Self::new(kind, &body)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, flags: i32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse_are_told() {
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a-name-of-16-ch."] {
            assert!(!is_valid_name(bad), "{bad}");
        }
        assert!(is_valid_name("eth0") && is_valid_name("ctr%d"));
    }

    #[test]
    fn this_namespaces_loopback_is_found_and_a_missing_device_is_told() {
        let socket = Socket::open().unwrap();
        let index = socket.index("lo").unwrap();
        assert!(socket.indices().unwrap().contains(&index));
        assert_eq!(socket.index("no-such-dev").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // Its addresses hold for this host only.
        assert_eq!(socket.lasting_addresses(index).unwrap(), []);
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let whole = Request::link(libc::RTM_GETLINK, 7, 0).finish(0);
        assert_eq!(messages(&whole).count(), 1);
        assert_eq!(messages(&whole[..20]).count(), 0);
        assert_eq!(attributes(&[8, 0, 1, 0, 1]).count(), 0);
    }
}
