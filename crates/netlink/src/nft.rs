//! nftables: tables, chains, rules, sets and maps, changed in transactions.
//!
//! A typed layer of our own on the wire format of linux/netfilter/nf_tables.h. The
//! netlink-packet-netfilter crate describes tables, chains and six expressions, but no NAT, no
//! connection tracking state, no FIB look-up and no map data, which is most of what a container
//! network says; two writers for one protocol would be worse than one.
//!
//! ```text
//!  Transaction: begin ─ table ─ set ─ chain ─ rule ─ elements ─ end     all or nothing
//! ```

mod chain;
mod expression;
mod inspect;
mod read;
mod set;
mod transaction;

pub use chain::{Base, Chain, Hook, Kind, Policy};
pub use expression::{Expression, Register, Rule, Verdict};
pub use inspect::{BaseChain, RuleSteps, Step};
pub use set::{Element, Set, SetKind, Type};
pub use transaction::Transaction;

use std::{collections::HashSet, thread, time::Duration};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::{
    attribute::Message,
    error::Error,
    socket::{Request, Socket},
};

const SUBSYSTEM: u8 = 10;
/// How often a set is listed that the kernel is making roomier, and how long that takes about.
const LISTINGS: usize = 10;
const ROOMIER_WITHIN: Duration = Duration::from_millis(2);

/// Which packets a table sees (`NFPROTO_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4 alone.
    Ipv4 = 2,
    /// Frames that a bridge takes in, of any protocol.
    Bridge = 7,
    /// IPv6 alone.
    Ipv6 = 10,
}

/// A table's name; every other object lives in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which packets it sees.
    pub family: Family,
    /// Its name.
    pub name: String,
}

/// A socket that changes and reads the nftables of the namespace it was opened in.
#[derive(Debug)]
pub struct NftSocket(Socket);

impl NftSocket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// When no descriptor is left or the kernel has no netfilter.
    pub fn open() -> Result<Self, Error> {
        Socket::open(NETLINK_NETFILTER).map(Self)
    }

    /// Applies the whole transaction or nothing of it.
    ///
    /// # Errors
    /// The first change that the kernel refused.
    pub fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        self.0.transaction(transaction.into_requests())
    }

    /// How many rules (and jumps to it) a chain has; `None` when there is no such chain or table.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn chain_uses(&mut self, table: &Table, chain: &str) -> Result<Option<u32>, Error> {
        let request = query(table, read::GET_CHAIN, 0, format!("look up chain {chain}"), |message| {
            message.text(read::CHAIN_TABLE, &table.name).text(read::CHAIN_NAME, chain);
        });
        match self.0.dump(&request, read::collect_chain_uses) {
            Ok(uses) => Ok(uses.into_iter().next()),
            Err(error) if error.is_not_there() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of the ruleset's present generation: each transaction of anybody's in this namespace
    /// makes a new one.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn generation(&mut self) -> Result<u32, Error> {
        let any = Table { family: Family::Inet, name: String::new() };
        let request = query(&any, read::GET_GENERATION, 0, "look up the generation".to_owned(), |_| {});
        let found = self.0.dump(&request, read::collect_generation)?;
        found.into_iter().next().ok_or_else(|| Error::missing("look up the generation"))
    }

    /// All elements of a set or map; none when there is no such set or table.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn elements(&mut self, table: &Table, set: &str) -> Result<Vec<Element>, Error> {
        let request = query(table, read::GET_ELEMENTS, NLM_F_DUMP, format!("list set {set}"), |message| {
            message.text(set::LIST_TABLE, &table.name).text(set::LIST_SET, set);
        });
        for attempt in 1.. {
            let elements = match self.0.dump(&request, read::collect_elements) {
                Ok(elements) => elements,
                Err(error) if error.is_not_there() => break,
                Err(error) => return Err(error),
            };
            let (listed, elements) = (elements.len(), distinct(elements));
            if elements.len() == listed || attempt == LISTINGS {
                return Ok(elements);
            }
            thread::sleep(ROOMIER_WITHIN);
        }
        Ok(Vec::new())
    }

    /// The names of all tables of a family.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn tables(&mut self, family: Family) -> Result<Vec<String>, Error> {
        let any = Table { family, name: String::new() };
        let request = query(&any, read::GET_TABLE, NLM_F_DUMP, "list tables".to_owned(), |_| {});
        self.0.dump(&request, read::collect_tables)
    }

    /// The base chains of all tables that see IPv4 or IPv6, whoever made them.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn base_chains(&mut self) -> Result<Vec<BaseChain>, Error> {
        let message = Message::netfilter((SUBSYSTEM, read::GET_CHAIN), NLM_F_REQUEST | NLM_F_DUMP, 0, 0, 0);
        let request = Request { what: "list chains".to_owned(), bytes: message.into_bytes(), tolerated: &[] };
        self.0.dump(&request, inspect::collect_base_chains)
    }

    /// All rules of a table, in the order that each chain has; none when there is no such table.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn rules(&mut self, table: &Table) -> Result<Vec<RuleSteps>, Error> {
        let what = format!("list the rules of table {}", table.name);
        let request = query(table, inspect::GET_RULES, NLM_F_DUMP, what, |message| {
            message.text(inspect::RULE_TABLE, &table.name);
        });
        match self.0.dump(&request, inspect::collect_rules) {
            Ok(rules) => Ok(rules),
            Err(error) if error.is_not_there() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A set that the kernel makes roomier while it lists it shows some elements twice, and others not at all.
fn distinct(elements: Vec<Element>) -> Vec<Element> {
    let mut seen = HashSet::with_capacity(elements.len());
    let mut is_new = |element: &Element| seen.insert((element.key.clone(), element.interval_end));
    elements.into_iter().filter(|element| is_new(element)).collect()
}

fn query(table: &Table, kind: u8, flags: u16, what: String, fill: impl FnOnce(&mut Message)) -> Request {
    let mut message = Message::netfilter((SUBSYSTEM, kind), NLM_F_REQUEST | flags, table.family as u8, 0, 0);
    fill(&mut message);
    Request { what, bytes: message.into_bytes(), tolerated: &[] }
}
