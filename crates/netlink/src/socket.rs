//! One netlink socket: batches out, acknowledgements and dumps in.
//!
//! The kernel handles a request inside `sendmsg`, so all acknowledgements are queued when it
//! returns and reading never blocks; a missing one is an error, not a wait.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
};
use netlink_sys::{Socket as RawSocket, SocketAddr};
use rustix::net::sockopt;

use crate::{
    attribute::{self, HEADER_LEN},
    error::Error,
};

/// The kernel fills replies of at most 32 KiB when the reader offers room for them.
const RECEIVE_LEN: usize = 32 * 1024;
/// A batch longer than this needs a bigger send buffer than the system's default of 208 KiB.
const DEFAULT_SEND_LEN: usize = 128 * 1024;
/// `NLMSGERR_ATTR_MSG`: the kernel's explanation in words.
const EXTENDED_ACK_MESSAGE: u16 = 1;
/// How often a dump is begun again because the table changed under it.
const DUMP_ATTEMPTS: usize = 8;

/// A request that is ready but for its sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What it does, for errors: `add address 172.17.0.1/16 to interface 7`.
    pub(crate) what: String,
    /// The whole message.
    pub(crate) bytes: Vec<u8>,
    /// Error numbers that mean that the wish is fulfilled already.
    pub(crate) tolerated: &'static [i32],
}

/// A socket bound to an address of the kernel's choice.
#[derive(Debug)]
pub(crate) struct Socket {
    raw: RawSocket,
    sequence: u32,
    incoming: Vec<u8>,
}

/// One message from the kernel.
struct Incoming<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Socket {
    /// A socket of `protocol` in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> Result<Self, Error> {
        Self::try_open(protocol).map_err(|source| Error::new("open a netlink socket", source))
    }

    fn try_open(protocol: isize) -> io::Result<Self> {
        let mut raw = RawSocket::new(protocol)?;
        raw.bind(&SocketAddr::new(0, 0))?;
        // Without the request's copy in every answer, all answers of a big batch fit the buffer.
        raw.set_cap_ack(true)?;
        raw.set_ext_ack(true)?;
        raw.set_netlink_get_strict_chk(true)?;
        Ok(Self { raw, sequence: 0, incoming: Vec::with_capacity(RECEIVE_LEN) })
    }

    /// Sends all requests in one system call and reads an answer to each. The kernel goes on after
    /// a refusal; the first one that its request doesn't tolerate is returned.
    pub(crate) fn batch(&mut self, mut requests: Vec<Request>) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        for request in &mut requests {
            acknowledge(&mut request.bytes);
        }
        let first = self.send(&mut requests)?;
        let mut refusals: Vec<Option<Error>> = Vec::new();
        let mut answered = 0;
        let count = requests.len();
        self.receive_queued(|message| {
            let index = message.sequence.wrapping_sub(first) as usize;
            if message.kind == NLMSG_ERROR && index < count {
                answered += 1;
                refusals.push(refusal(&message, &requests[index]));
            }
        })?;
        match refusals.into_iter().flatten().next() {
            Some(error) => Err(error),
            None if answered < count => Err(unanswered(&requests[answered].what)),
            None => Ok(()),
        }
    }

    /// Sends requests that take effect all or not at all, between a `begin` and an `end` message.
    /// Only the last is acknowledged (refusals always are), so that thousands fit the buffer.
    pub(crate) fn transaction(&mut self, mut requests: Vec<Request>) -> Result<(), Error> {
        // The first and the last are the markers that nfnetlink puts around a transaction.
        let count = requests.len();
        let last = count.saturating_sub(2);
        if last == 0 {
            return Ok(());
        }
        acknowledge(&mut requests[last].bytes);
        let first = self.send(&mut requests)?;
        let mut error = None;
        let mut acknowledged = false;
        self.receive_queued(|message| {
            let index = message.sequence.wrapping_sub(first) as usize;
            if message.kind != NLMSG_ERROR || index >= count {
                return;
            }
            match refusal(&message, &requests[index]) {
                Some(refused) => error = error.take().or(Some(refused)),
                None => acknowledged |= index == last,
            }
        })?;
        match error {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(unanswered(&requests[last].what)),
        }
    }

    /// Sends one request that is answered with messages, and calls `each` with the type and body
    /// of each. A dump that the kernel reports as torn is begun again; `restart` is called first.
    pub(crate) fn dump<T>(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&mut Vec<T>, u16, &[u8]) -> Result<(), Error>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = Vec::new();
            if self.dump_once(request, |kind, body| each(&mut found, kind, body))? {
                return Ok(found);
            }
        }
        Err(Error::new(request.what.clone(), io::Error::from_raw_os_error(libc::EINTR)))
    }

    /// Whether the dump is whole.
    fn dump_once(
        &mut self,
        request: &Request,
        mut each: impl FnMut(u16, &[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let first = self.send(&mut [request.clone()])?;
        let mut outcome = Ok(());
        let mut whole = true;
        self.receive_queued(|message| {
            if message.sequence != first || outcome.is_err() {
                return;
            }
            whole &= message.flags & NLM_F_DUMP_INTR == 0;
            outcome = match message.kind {
                NLMSG_ERROR | NLMSG_DONE => refusal(&message, request).map_or(Ok(()), Err),
                kind => each(kind, message.payload),
            };
        })?;
        outcome.map(|()| whole)
    }

    /// Numbers the requests and sends them in one datagram; returns the first number.
    fn send(&mut self, requests: &mut [Request]) -> Result<u32, Error> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.iter().map(|request| request.bytes.len()).sum());
        for request in requests.iter_mut() {
            self.sequence = self.sequence.wrapping_add(1);
            request.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
            datagram.extend_from_slice(&request.bytes);
        }
        let failed = |source| Error::new(requests[0].what.clone(), source);
        if datagram.len() > DEFAULT_SEND_LEN {
            sockopt::set_socket_send_buffer_size_force(&self.raw, 2 * datagram.len())
                .map_err(|errno| failed(errno.into()))?;
        }
        self.raw.send_to(&datagram, &SocketAddr::new(0, 0), 0).map_err(failed)?;
        Ok(first)
    }

    /// Reads all that is queued. A dump goes on as long as its parts are read.
    fn receive_queued(&mut self, mut each: impl FnMut(Incoming<'_>)) -> Result<(), Error> {
        const WHAT: &str = "read the kernel's netlink answers";
        loop {
            self.incoming.clear();
            match self.raw.recv(&mut self.incoming, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::new(WHAT, error)),
            }
            let mut rest = self.incoming.as_slice();
            while !rest.is_empty() {
                let message =
                    NetlinkBuffer::new_checked(rest).map_err(|error| Error::malformed(WHAT, error))?;
                let length = message.length() as usize;
                each(Incoming {
                    kind: message.message_type(),
                    flags: message.flags(),
                    sequence: message.sequence_number(),
                    payload: message.payload(),
                });
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn acknowledge(bytes: &mut [u8]) {
    let flags = u16::from_ne_bytes([bytes[6], bytes[7]]) | NLM_F_ACK;
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
}

fn unanswered(what: &str) -> Error {
    Error::new(what, io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel gave no answer"))
}

/// The refusal in an NLMSG_ERROR or NLMSG_DONE, unless it is none or tolerated.
fn refusal(message: &Incoming<'_>, request: &Request) -> Option<Error> {
    let code: [u8; 4] = message.payload.get(..4)?.try_into().ok()?;
    let errno = i32::from_ne_bytes(code).checked_neg()?;
    if errno <= 0 || request.tolerated.contains(&errno) {
        return None;
    }
    Some(Error::refused(&request.what, errno, explanation(message, &request.what)))
}

/// The kernel's words, which follow the code and the refused request's header.
fn explanation(message: &Incoming<'_>, what: &str) -> Option<String> {
    if message.kind != NLMSG_ERROR || message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let mut text = None;
    attribute::read(what, message.payload.get(4 + HEADER_LEN..)?, |kind, value| {
        if kind == EXTENDED_ACK_MESSAGE {
            text = Some(attribute::read_text(value));
        }
        Ok(())
    })
    .ok()?;
    text
}
