//! A default address pool: as a flag, as the configuration file has it, and as the engine is told.

use minke_engine::AddressPool;
use serde::Deserialize;

use super::net;

/// A default address pool, as the configuration file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::daemon) struct Pool {
    base: String,
    size: u8,
}

/// Reads `base=172.80.0.0/16,size=24`
pub(super) fn parse(text: &str) -> Result<Pool, String> {
    let (mut base, mut size) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("base", value)) => base = Some(net(value)?),
            Some(("size", value)) => {
                size = Some(value.parse().map_err(|_| "size: want a number of bits".to_owned())?);
            }
            _ => return Err("want base=NETWORK,size=BITS".to_owned()),
        }
    }
    let pool = base.zip(size).map(|(base, size)| Pool { base: base.to_string(), size });
    pool.ok_or_else(|| "want base=NETWORK,size=BITS".to_owned())
}

impl Pool {
    /// What the engine is told.
    pub(super) fn read(&self) -> Result<AddressPool, String> {
        let Self { base, size } = self;
        let told = |problem: &str| format!("default-address-pools: base {base:?}, size {size}: {problem}");
        let base = net(base).map_err(|problem| told(&problem))?;
        let longest = if base.is_ipv4() { 30 } else { 126 };
        match (base.prefix_len()..=longest).contains(size) {
            true => Ok(AddressPool { base: base.subnet(), size: *size }),
            false => Err(told(&format!("want a size from {} to {longest}", base.prefix_len()))),
        }
    }
}
