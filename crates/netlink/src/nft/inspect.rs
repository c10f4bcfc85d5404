//! Reading what others wrote: base chains and the rules in them, as far as they can be understood.
//!
//! Everything here is somebody else's ruleset, so nothing is an error: an expression that isn't
//! known is [`Step::Unknown`], and the reader decides what that means.

use super::{
    Family, Verdict,
    read::{CHAIN_NAME, CHAIN_TABLE, attributes, verdict},
};
use crate::{
    attribute::{read, read_be32, read_text},
    error::Error,
};

// NFT_MSG_*
pub(super) const GET_RULES: u8 = 7;
// NFTA_RULE_*
pub(super) const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
// NFTA_CHAIN_*, NFTA_HOOK_*
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
// NFTA_EXPR_*, NFTA_DATA_*
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// A chain that the kernel calls from a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// Which packets its table sees.
    pub family: Family,
    /// Its table's name.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// The number of its hook, as in [`super::Hook`].
    pub hook: u32,
    /// Whether a packet that no rule decided on is dropped.
    pub drops: bool,
}

/// A rule with the chain it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSteps {
    /// The chain.
    pub chain: String,
    /// What the rule does, in order.
    pub steps: Vec<Step>,
}

/// One instruction of a rule. Registers are given as offsets into their 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Loads the packet's meta data `key` (`NFT_META_…`).
    Meta {
        /// Which.
        key: u32,
        /// Where to.
        to: usize,
    },
    /// Loads the connection's `key` (`NFT_CT_…`).
    Connection {
        /// Which.
        key: u32,
        /// Where to.
        to: usize,
    },
    /// Loads part of the network header.
    NetworkHeader {
        /// The first byte.
        offset: usize,
        /// How many.
        length: usize,
        /// Where to.
        to: usize,
    },
    /// Loads something that only a real packet has; at most 16 bytes.
    Load(usize),
    /// Keeps the bits of `mask`, then flips those of `flip`.
    Mask {
        /// Where from.
        from: usize,
        /// Where to.
        to: usize,
        /// What is kept.
        mask: Vec<u8>,
        /// What is flipped.
        flip: Vec<u8>,
    },
    /// Ends the rule unless what is there is (or is not) this value.
    Compare {
        /// Where.
        from: usize,
        /// Whether it must be equal.
        equal: bool,
        /// To what.
        value: Vec<u8>,
    },
    /// Ends the rule unless the set has (or has not) this key.
    InSet {
        /// Where the key is.
        from: usize,
        /// The set.
        set: String,
        /// Whether the key must be absent.
        inverted: bool,
    },
    /// Does what a verdict map has for this key.
    VerdictMap {
        /// Where the key is.
        from: usize,
        /// The map.
        map: String,
    },
    /// Decides.
    Verdict(Verdict),
    /// Drops and tells the sender.
    Reject,
    /// Counts, logs or explains, and decides nothing.
    Nothing,
    /// A condition or an action that isn't understood.
    Unknown,
}

pub(super) fn collect_base_chains(found: &mut Vec<BaseChain>, _: u16, body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "list chains";
    let Some(family) = body.first().copied().and_then(family) else { return Ok(()) };
    let (mut table, mut name, mut kind, mut hook) = (String::new(), String::new(), String::new(), None);
    let mut drops = false;
    read(WHAT, attributes(body), |attribute, value| {
        match attribute {
            CHAIN_TABLE => table = read_text(value),
            CHAIN_NAME => name = read_text(value),
            CHAIN_TYPE => kind = read_text(value),
            CHAIN_POLICY => drops = read_be32(WHAT, value)? == 0,
            CHAIN_HOOK => read(WHAT, value, |attribute, value| {
                if attribute == HOOK_NUMBER {
                    hook = Some(read_be32(WHAT, value)?);
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    found.extend(hook.map(|hook| BaseChain { family, table, name, kind, hook, drops }));
    Ok(())
}

pub(super) fn collect_rules(found: &mut Vec<RuleSteps>, _: u16, body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "list rules";
    let mut rule = RuleSteps { chain: String::new(), steps: Vec::new() };
    read(WHAT, attributes(body), |attribute, value| {
        match attribute {
            RULE_CHAIN => rule.chain = read_text(value),
            RULE_EXPRESSIONS => read(WHAT, value, |_, expression| {
                rule.steps.push(step(WHAT, expression)?);
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    found.push(rule);
    Ok(())
}

fn family(number: u8) -> Option<Family> {
    [Family::Inet, Family::Ipv4, Family::Ipv6].into_iter().find(|family| *family as u8 == number)
}

fn step(what: &str, expression: &[u8]) -> Result<Step, Error> {
    let (mut name, mut data) = (String::new(), Attributes::default());
    read(what, expression, |attribute, value| {
        match attribute {
            EXPRESSION_NAME => name = read_text(value),
            EXPRESSION_DATA => data = Attributes::of(what, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(data.understand(what, &name)?.unwrap_or(Step::Unknown))
}

/// The attributes of one expression. Their numbers are those that `expression` writes.
#[derive(Default)]
struct Attributes(Vec<(u16, Vec<u8>)>);

impl Attributes {
    fn of(what: &str, bytes: &[u8]) -> Result<Self, Error> {
        let mut found = Vec::new();
        read(what, bytes, |attribute, value| {
            found.push((attribute, value.to_vec()));
            Ok(())
        })?;
        Ok(Self(found))
    }

    fn understand(&self, what: &str, name: &str) -> Result<Option<Step>, Error> {
        Ok(match name {
            "meta" => self.register(1).zip(self.number(2)).map(|(to, key)| Step::Meta { key, to }),
            "ct" => self.register(1).zip(self.number(2)).map(|(to, key)| Step::Connection { key, to }),
            "payload" => self.header(),
            "bitwise" => self.mask(what)?,
            "cmp" => self.compare(what)?,
            "lookup" => self.lookup(),
            "immediate" => self.immediate(what)?,
            "reject" => Some(Step::Reject),
            "counter" | "log" | "notrack" => Some(Step::Nothing),
            "fib" | "rt" | "socket" | "osf" | "numgen" => self.register(1).map(Step::Load),
            // What iptables(8) has no nftables expression for. A comment is such a match.
            "match" => (self.text(1) == "comment").then_some(Step::Nothing),
            "target" => match self.text(1).as_str() {
                "REJECT" => Some(Step::Reject),
                "LOG" | "NFLOG" => Some(Step::Nothing),
                _ => None,
            },
            _ => None,
        })
    }

    fn get(&self, attribute: u16) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| *found == attribute).map(|(_, value)| value.as_slice())
    }

    fn text(&self, attribute: u16) -> String {
        self.get(attribute).map(read_text).unwrap_or_default()
    }

    fn number(&self, attribute: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(attribute)?.try_into().ok()?))
    }

    /// Registers 1 to 4 have sixteen bytes, those from 8 on have four, in the same memory.
    fn register(&self, attribute: u16) -> Option<usize> {
        match self.number(attribute)? as usize {
            number @ 1..=4 => Some((number - 1) * 16),
            number @ 8..=23 => Some((number - 8) * 4),
            _ => None,
        }
    }

    /// The plain value in a nested NFTA_DATA.
    fn value(&self, what: &str, attribute: u16) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        read(what, self.get(attribute).unwrap_or_default(), |attribute, value| {
            if attribute == DATA_VALUE {
                found = Some(value.to_vec());
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn header(&self) -> Option<Step> {
        const NETWORK: u32 = 1;
        let to = self.register(1)?;
        if self.number(2)? != NETWORK {
            return Some(Step::Load(to));
        }
        let (offset, length) = (self.number(3)? as usize, self.number(4)? as usize);
        Some(Step::NetworkHeader { offset, length, to })
    }

    fn mask(&self, what: &str) -> Result<Option<Step>, Error> {
        let (Some(from), Some(to)) = (self.register(1), self.register(2)) else { return Ok(None) };
        // A shift has neither mask nor bits to flip.
        let parts = self.value(what, 4)?.zip(self.value(what, 5)?);
        Ok(Some(parts.map_or(Step::Load(to), |(mask, flip)| Step::Mask { from, to, mask, flip })))
    }

    fn compare(&self, what: &str) -> Result<Option<Step>, Error> {
        let equal = match self.number(2) {
            Some(0) => true,
            Some(1) => false,
            _ => return Ok(None),
        };
        let value = self.value(what, 3)?;
        Ok(self.register(1).zip(value).map(|(from, value)| Step::Compare { from, equal, value }))
    }

    fn lookup(&self) -> Option<Step> {
        let (set, from) = (self.text(1), self.register(2)?);
        match self.number(3) {
            Some(0) => Some(Step::VerdictMap { from, map: set }),
            Some(_) => self.register(3).map(Step::Load),
            None => {
                Some(Step::InSet { from, set, inverted: self.number(5).is_some_and(|flags| flags & 1 == 1) })
            }
        }
    }

    fn immediate(&self, what: &str) -> Result<Option<Step>, Error> {
        if self.number(1) != Some(0) {
            return Ok(self.register(1).map(Step::Load));
        }
        let mut found = None;
        read(what, self.get(2).unwrap_or_default(), |attribute, value| {
            if attribute == DATA_VERDICT {
                found = verdict(what, value)?;
            }
            Ok(())
        })?;
        Ok(found.map(Step::Verdict))
    }
}
