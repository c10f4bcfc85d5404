//! Chains: lists of rules, of which the base chains are called by the kernel's hooks.

use crate::attribute::Message;

// NFTA_CHAIN_*
const TABLE: u16 = 1;
const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const TYPE: u16 = 7;
// NFTA_HOOK_*
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

/// A chain to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name in its table.
    pub name: String,
    /// The hook that calls it; without one, only rules do.
    pub base: Option<Base>,
}

/// Where and when the kernel calls a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// What its rules may do.
    pub kind: Kind,
    /// Where in a packet's path.
    pub hook: Hook,
    /// The order among chains of the same hook, lowest first: raw -300, destination NAT -100,
    /// filter 0, source NAT 100.
    pub priority: i32,
    /// What happens to a packet that no rule decided on.
    pub policy: Policy,
}

/// What the rules of a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Accept and drop.
    Filter,
    /// Rewrite addresses, once per connection.
    Nat,
}

/// A place in a packet's path through the host (`NF_INET_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before it is decided whether a packet is for the host.
    Prerouting = 0,
    /// For the host.
    Input = 1,
    /// Through the host.
    Forward = 2,
    /// From the host's own processes.
    Output = 3,
    /// On its way out, wherever it is from.
    Postrouting = 4,
}

/// What happens to a packet that no rule decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It is gone.
    Drop = 0,
    /// It goes on.
    Accept = 1,
}

impl Chain {
    pub(super) fn write(&self, table: &str, message: &mut Message) {
        message.text(TABLE, table).text(NAME, &self.name);
        let Some(base) = self.base else { return };
        message.nested(HOOK, |hook| {
            // The priority is signed; its bits travel as they are.
            hook.be32(HOOK_NUMBER, base.hook as u32).be32(HOOK_PRIORITY, base.priority.cast_unsigned());
        });
        message.be32(POLICY, base.policy as u32).text(
            TYPE,
            match base.kind {
                Kind::Filter => "filter",
                Kind::Nat => "nat",
            },
        );
    }
}
