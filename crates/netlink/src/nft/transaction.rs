//! Changes that take effect together.
//!
//! Adding what is there already is no error (the kernel compares), so a transaction may be
//! repeated; to replace a whole table, add it, delete it and add it again in one transaction.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REQUEST};

use super::{Chain, Element, Rule, SUBSYSTEM, Set, Table, expression::RULE_FLAGS, set};
use crate::{attribute::Message, socket::Request};

// linux/netfilter/nfnetlink.h
const NO_SUBSYSTEM: u8 = 0;
const BATCH_BEGIN: u8 = 0x10;
const BATCH_END: u8 = 0x11;

// NFT_MSG_*
const NEW_TABLE: u8 = 0;
const DELETE_TABLE: u8 = 2;
const NEW_CHAIN: u8 = 3;
const NEW_RULE: u8 = 6;
const NEW_SET: u8 = 9;
const NEW_ELEMENTS: u8 = 12;
const DELETE_ELEMENTS: u8 = 14;

/// NFTA_TABLE_NAME.
const TABLE_NAME: u16 = 1;
/// An attribute's length has 16 bits, and an element takes at most about 100 bytes.
const ELEMENTS_PER_MESSAGE: usize = 500;

/// Changes to tables that the kernel makes all at once or not at all.
#[derive(Debug)]
pub struct Transaction {
    table: Table,
    requests: Vec<Request>,
    sets: u32,
}

impl Transaction {
    /// An empty transaction on `table`.
    pub fn new(table: &Table) -> Self {
        Self { table: table.clone(), requests: Vec::new(), sets: 0 }
    }

    /// What follows is about another table.
    pub fn on(mut self, table: &Table) -> Self {
        self.table = table.clone();
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds the table itself.
    pub fn add_table(self) -> Self {
        let (what, name) = (format!("add table {}", self.table.name), self.table.name.clone());
        self.push(what, NEW_TABLE, NLM_F_CREATE, |message| {
            message.text(TABLE_NAME, &name);
        })
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(self) -> Self {
        let (what, name) = (format!("delete table {}", self.table.name), self.table.name.clone());
        self.push(what, DELETE_TABLE, 0, |message| {
            message.text(TABLE_NAME, &name);
        })
    }

    /// Adds a chain.
    pub fn add_chain(self, chain: &Chain) -> Self {
        let table = self.table.name.clone();
        self.push(format!("add chain {}", chain.name), NEW_CHAIN, NLM_F_CREATE, |message| {
            chain.write(&table, message);
        })
    }

    /// Appends a rule to a chain.
    pub fn add_rule(self, chain: &str, rule: &Rule) -> Self {
        let table = self.table.name.clone();
        let what = format!("add rule to chain {chain}: {}", rule.comment);
        self.push(what, NEW_RULE, NLM_F_CREATE | RULE_FLAGS, |message| rule.write(&table, chain, message))
    }

    /// Adds a set or map.
    pub fn add_set(mut self, set: &Set) -> Self {
        self.sets += 1;
        let (table, id) = (self.table.name.clone(), self.sets);
        self.push(format!("add set {}", set.name), NEW_SET, NLM_F_CREATE, |message| {
            set.write(&table, id, message);
        })
    }

    /// Adds elements to a set or map.
    pub fn add_elements(self, set: &str, elements: &[Element]) -> Self {
        self.change_elements(set, elements, "add elements to", NEW_ELEMENTS, NLM_F_CREATE)
    }

    /// Deletes elements from a set or map; one that isn't there refuses the whole transaction.
    pub fn delete_elements(self, set: &str, elements: &[Element]) -> Self {
        self.change_elements(set, elements, "delete elements from", DELETE_ELEMENTS, 0)
    }

    /// The messages between their begin and end markers.
    pub(super) fn into_requests(self) -> Vec<Request> {
        let mut requests = Vec::with_capacity(self.requests.len() + 2);
        requests.push(marker("begin a transaction", BATCH_BEGIN));
        requests.extend(self.requests);
        requests.push(marker("commit a transaction", BATCH_END));
        requests
    }

    fn change_elements(mut self, set: &str, elements: &[Element], verb: &str, kind: u8, flags: u16) -> Self {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let table = self.table.name.clone();
            self = self.push(format!("{verb} {set}"), kind, flags, |message| {
                message.text(set::LIST_TABLE, &table).text(set::LIST_SET, set);
                message.nested(set::LIST_ELEMENTS, |list| {
                    for element in chunk {
                        list.nested(set::LIST_ELEMENT, |message| element.write(message));
                    }
                });
            });
        }
        self
    }

    fn push(mut self, what: String, kind: u8, flags: u16, fill: impl FnOnce(&mut Message)) -> Self {
        let family = self.table.family as u8;
        let mut message = Message::netfilter((SUBSYSTEM, kind), NLM_F_REQUEST | flags, family, 0, 0);
        fill(&mut message);
        self.requests.push(Request { what, bytes: message.into_bytes(), tolerated: &[] });
        self
    }
}

/// Begin and end carry the subsystem that the transaction is for.
fn marker(what: &str, kind: u8) -> Request {
    let message = Message::netfilter((NO_SUBSYSTEM, kind), NLM_F_REQUEST, 0, 0, u16::from(SUBSYSTEM));
    Request { what: what.to_owned(), bytes: message.into_bytes(), tolerated: &[] }
}
