//! What the kernel says of its tables, chains and elements.

use super::{
    Element, Verdict,
    set::{
        DATA_VALUE, ELEMENT_DATA, ELEMENT_FLAGS, ELEMENT_INTERVAL_END, ELEMENT_KEY, ELEMENT_KEY_END,
        LIST_ELEMENT, LIST_ELEMENTS,
    },
};
use crate::{
    attribute::{NETFILTER_HEADER_LEN, read, read_be32, read_text},
    error::Error,
};

// NFT_MSG_*
pub(super) const GET_TABLE: u8 = 1;
pub(super) const GET_CHAIN: u8 = 4;
pub(super) const GET_ELEMENTS: u8 = 13;
pub(super) const GET_GENERATION: u8 = 16;
/// NFTA_GEN_ID.
const GENERATION: u16 = 1;
// NFTA_CHAIN_*, NFTA_TABLE_NAME
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
const CHAIN_USE: u16 = 6;
const TABLE_NAME: u16 = 1;
// NFTA_DATA_VERDICT, NFTA_VERDICT_*
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

pub(super) fn collect_tables(found: &mut Vec<String>, _: u16, body: &[u8]) -> Result<(), Error> {
    read("list tables", attributes(body), |kind, value| {
        if kind == TABLE_NAME {
            found.push(read_text(value));
        }
        Ok(())
    })
}

pub(super) fn collect_chain_uses(found: &mut Vec<u32>, _: u16, body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "look up a chain";
    read(WHAT, attributes(body), |kind, value| {
        if kind == CHAIN_USE {
            found.push(read_be32(WHAT, value)?);
        }
        Ok(())
    })
}

pub(super) fn collect_generation(found: &mut Vec<u32>, _: u16, body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "look up the generation";
    read(WHAT, attributes(body), |kind, value| {
        if kind == GENERATION {
            found.push(read_be32(WHAT, value)?);
        }
        Ok(())
    })
}

pub(super) fn collect_elements(found: &mut Vec<Element>, _: u16, body: &[u8]) -> Result<(), Error> {
    const WHAT: &str = "list a set";
    read(WHAT, attributes(body), |kind, list| {
        if kind != LIST_ELEMENTS {
            return Ok(());
        }
        read(WHAT, list, |kind, value| {
            if kind == LIST_ELEMENT {
                found.push(element(WHAT, value)?);
            }
            Ok(())
        })
    })
}

pub(super) fn attributes(body: &[u8]) -> &[u8] {
    body.get(NETFILTER_HEADER_LEN..).unwrap_or_default()
}

fn element(what: &str, bytes: &[u8]) -> Result<Element, Error> {
    let mut element = Element::default();
    read(what, bytes, |kind, value| {
        match kind {
            ELEMENT_KEY => read(what, value, |kind, value| {
                if kind == DATA_VALUE {
                    element.key = value.to_vec();
                }
                Ok(())
            })?,
            ELEMENT_KEY_END => read(what, value, |kind, value| {
                if kind == DATA_VALUE {
                    element.end = Some(value.to_vec());
                }
                Ok(())
            })?,
            ELEMENT_DATA => read(what, value, |kind, value| {
                match kind {
                    DATA_VALUE => element.value = Some(value.to_vec()),
                    DATA_VERDICT => element.verdict = verdict(what, value)?,
                    _ => {}
                }
                Ok(())
            })?,
            ELEMENT_FLAGS => element.interval_end = read_be32(what, value)? & ELEMENT_INTERVAL_END != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(element)
}

pub(super) fn verdict(what: &str, bytes: &[u8]) -> Result<Option<Verdict>, Error> {
    let (mut code, mut chain) = (0, String::new());
    read(what, bytes, |kind, value| {
        match kind {
            VERDICT_CODE => code = read_be32(what, value)?.cast_signed(),
            VERDICT_CHAIN => chain = read_text(value),
            _ => {}
        }
        Ok(())
    })?;
    Ok(match code {
        0 => Some(Verdict::Drop),
        1 => Some(Verdict::Accept),
        -3 => Some(Verdict::Jump(chain)),
        -4 => Some(Verdict::Goto(chain)),
        -5 => Some(Verdict::Return),
        _ => None,
    })
}
