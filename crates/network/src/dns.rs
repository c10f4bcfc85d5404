//! The embedded name server's sockets in a sandbox, and how port 53 of 127.0.0.11 leads to them.
//!
//! The sockets have ports of the kernel's choice, so that a container's own name server finds port 53
//! free. A table in the sandbox's namespace rewrites ports on their way out of a socket, both ways; being
//! stateless, it spares the container connection tracking.
//!
//! ```text
//! client ─▶ 127.0.0.11:53 ─▶ output: dport 53 → P ─▶ lo ─▶ server at P
//! client ◀─ from port 53 ◀─ lo ◀─ output: sport P → 53 ◀─ server
//! ```

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::BorrowedFd,
};

use minke_netlink::{
    Error, namespace,
    nft::{
        Base, Chain,
        Expression::{
            self, Equal, Load, NetworkHeader, SetTransportHeader, TransportHeader, TransportProtocol,
        },
        Family, Hook, Kind, NftSocket, Policy, Register, Rule, Table, Transaction,
    },
};

use crate::{AttachError, DnsSockets};

/// Where Docker's embedded name server answers.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const PORT: u16 = 53;
/// The table in the sandbox's own namespace.
const TABLE: &str = "minke-dns";
const OUTPUT: &str = "output";
const TCP: u8 = 6;
const UDP: u8 = 17;
const R0: Register = Register(0);

/// Opens the sockets and has port 53 lead to them.
///
/// # Errors
/// [`AttachError::Dns`].
pub(crate) fn open(netns: BorrowedFd<'_>) -> Result<DnsSockets, AttachError> {
    namespace::run_in(netns, open_here).and_then(|sockets| sockets).map_err(AttachError::Dns)
}

fn open_here() -> io::Result<DnsSockets> {
    let udp = UdpSocket::bind((ADDRESS, 0))?;
    let tcp = TcpListener::bind((ADDRESS, 0))?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let (udp_port, tcp_port) = (udp.local_addr()?.port(), tcp.local_addr()?.port());
    redirect(udp_port, tcp_port).map_err(io::Error::other)?;
    Ok(DnsSockets { udp, tcp })
}

fn redirect(udp: u16, tcp: u16) -> Result<(), Error> {
    let table = Table { family: Family::Ipv4, name: TABLE.to_owned() };
    let base = Base { kind: Kind::Filter, hook: Hook::Output, priority: -300, policy: Policy::Accept };
    let mut transaction = Transaction::new(&table)
        .add_table()
        .delete_table()
        .add_table()
        .add_chain(&Chain { name: OUTPUT.to_owned(), base: Some(base) });
    for (protocol, port) in [(UDP, udp), (TCP, tcp)] {
        transaction = transaction.add_rule(OUTPUT, &question(protocol, port));
        transaction = transaction.add_rule(OUTPUT, &answer(protocol, port));
    }
    NftSocket::open()?.commit(transaction)
}

fn question(protocol: u8, port: u16) -> Rule {
    let expressions = [at(16), is(protocol, 2, PORT), set(protocol, 2, port)].concat();
    Rule { expressions, comment: "to the name server".to_owned() }
}

fn answer(protocol: u8, port: u16) -> Rule {
    let expressions = [at(12), is(protocol, 0, port), set(protocol, 0, PORT)].concat();
    Rule { expressions, comment: "from the name server".to_owned() }
}

/// The source (12) or destination (16) is the name server's address.
fn at(offset: u32) -> Vec<Expression> {
    vec![NetworkHeader { offset, length: 4, to: R0 }, Equal(R0, ADDRESS.octets().to_vec())]
}

/// The source (0) or destination (2) port.
fn is(protocol: u8, offset: u32, port: u16) -> Vec<Expression> {
    vec![
        TransportProtocol(R0),
        Equal(R0, vec![protocol]),
        TransportHeader { offset, length: 2, to: R0 },
        Equal(R0, port.to_be_bytes().to_vec()),
    ]
}

fn set(protocol: u8, offset: u32, port: u16) -> Vec<Expression> {
    let checksum = if protocol == TCP { 16 } else { 6 };
    vec![Load(R0, port.to_be_bytes().to_vec()), SetTransportHeader { offset, length: 2, from: R0, checksum }]
}
