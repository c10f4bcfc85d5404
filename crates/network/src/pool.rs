//! Which addresses a network gets: what was asked for, checked, or the first of the default pools that
//! neither the host nor another network uses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{AddressPool, CreateError, IpNet, Pool, PoolRequest};

/// How many networks of one default pool are looked at. A pool of IPv6 has more than could ever be used.
const MOST_SUBNETS: u128 = 1 << 16;

/// Docker's default address pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
pub(crate) fn docker_pools() -> Vec<AddressPool> {
    let pool = |base: [u8; 4], prefix_len, size| AddressPool {
        base: IpNet::new(Ipv4Addr::from(base).into(), prefix_len),
        size,
    };
    let class_b = (17..=31).map(|b| pool([172, b, 0, 0], 16, 16));
    class_b.chain([pool([192, 168, 0, 0], 16, 20)]).collect()
}

/// A unique local prefix (RFC 4193) of this engine's own, in networks of /64: its 40 random bits are made
/// of what is the engine's own, so that they stay.
pub(crate) fn unique_local_pool(seed: &str) -> AddressPool {
    // FNV-1a: it only has to differ between engines.
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let bits = 0xfd << 120 | u128::from(hash >> 24) << 80;
    AddressPool { base: IpNet::new(Ipv6Addr::from_bits(bits).into(), 48), size: 64 }
}

/// The first subnet of the pools of this family that overlaps none of `taken`; `preferred` goes first if it
/// is free. A default route (/0) takes nothing.
pub(crate) fn choose(
    ipv4: bool,
    preferred: Option<IpNet>,
    pools: &[AddressPool],
    taken: &[IpNet],
) -> Option<IpNet> {
    let free = |net: &IpNet| !taken.iter().any(|other| other.prefix_len() > 0 && other.overlaps(*net));
    if let Some(preferred) = preferred.filter(free) {
        return Some(preferred);
    }
    let pools = pools.iter().filter(|pool| pool.base.is_ipv4() == ipv4);
    pools.flat_map(subnets).find(free)
}

fn subnets(pool: &AddressPool) -> impl Iterator<Item = IpNet> {
    let (base, size) = (pool.base, pool.size);
    let bits = size.saturating_sub(base.prefix_len());
    let count = 1u128.checked_shl(bits.into()).unwrap_or(u128::MAX).min(MOST_SUBNETS);
    let step = u32::from(base.host_bits().saturating_sub(bits));
    (0..count).filter_map(move |number| Some(IpNet::new(base.nth(number.checked_shl(step)?)?, size)))
}

/// The pool that is asked for on `subnet`.
///
/// # Errors
/// [`CreateError::Pool`] in Docker's words.
pub(crate) fn complete(request: &PoolRequest, subnet: IpNet, gateway: bool) -> Result<Pool, CreateError> {
    check(request, subnet)?;
    let auxiliary = request.auxiliary.clone();
    let mut pool = Pool { subnet, range: request.range, gateway: request.gateway, auxiliary };
    if gateway && pool.gateway.is_none() {
        pool.gateway = Some(first_free(&pool).ok_or_else(|| {
            CreateError::Pool(format!("invalid subnet {subnet}: it has no address for a gateway"))
        })?);
    }
    Ok(pool)
}

/// The gateway takes the first address that nobody else has, as Docker's does.
fn first_free(pool: &Pool) -> Option<IpAddr> {
    let first = u128::from(pool.subnet.host_bits() > 1);
    (first..=first + pool.auxiliary.len() as u128)
        .filter_map(|place| pool.subnet.nth(place))
        .find(|address| !pool.auxiliary.values().any(|other| other == address))
}

/// Whether it is of addresses that stand for several hosts, for none, or for whoever asks.
fn is_nobodys(subnet: IpNet) -> bool {
    let net = |address: IpAddr, prefix_len| IpNet::new(address, prefix_len);
    let v4 = |first| net(IpAddr::V4(Ipv4Addr::new(first, 0, 0, 0)), 8);
    let several = net(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4);
    let v6 = |first: Ipv6Addr| net(first.into(), 128);
    let several6 = net(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8);
    [v4(0), v4(127), several, v6(Ipv6Addr::UNSPECIFIED), v6(Ipv6Addr::LOCALHOST), several6]
        .iter()
        .any(|nobodys| nobodys.covers(subnet) || subnet.covers(*nobodys))
}

fn check(request: &PoolRequest, subnet: IpNet) -> Result<(), CreateError> {
    let refused = |text: String| Err(CreateError::Pool(text));
    if subnet.subnet() != subnet {
        return refused(format!("invalid subnet {subnet}: it should be {}", subnet.subnet()));
    }
    if subnet.prefix_len() == 0 {
        return refused(format!("invalid subnet {subnet}: it is all addresses that there are"));
    }
    if is_nobodys(subnet) {
        return refused(format!("invalid subnet {subnet}: no host has an address of it"));
    }
    if let Some(range) = request.range {
        if range.subnet() != range {
            return refused(format!("invalid ip-range {range}: it should be {}", range.subnet()));
        }
        if range.prefix_len() < subnet.prefix_len() {
            return refused(format!(
                "invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}"
            ));
        }
        if !subnet.covers(range) {
            return refused(format!(
                "invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range"
            ));
        }
    }
    if let Some(gateway) = request.gateway {
        if !subnet.contains(gateway) {
            return refused(format!(
                "invalid gateway {gateway}: parent subnet {subnet} doesn't contain this address"
            ));
        }
        if subnet.host_bits() > 1 && subnet.is_ipv4() && [subnet.first(), subnet.last()].contains(&gateway) {
            return refused(format!(
                "invalid gateway {gateway}: it is the network's or its broadcast address"
            ));
        }
    }
    for (name, address) in &request.auxiliary {
        if !subnet.contains(*address) {
            let name: String = name.chars().take(64).collect();
            return refused(format!(
                "invalid auxiliary address {address} ({name}): parent subnet {subnet} doesn't contain this address"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn first(taken: &[IpNet]) -> Option<IpNet> {
        choose(true, None, &docker_pools(), taken)
    }

    #[test]
    fn an_idle_host_gets_docker_s_first_pool() {
        assert_eq!(first(&[]), Some(net("172.17.0.0/16")));
        assert_eq!(first(&[net("0.0.0.0/0"), net("10.0.0.0/8")]), Some(net("172.17.0.0/16")));
    }

    #[test]
    fn what_the_host_uses_is_passed_over() {
        let docker_and_lan = [net("172.17.0.0/16"), net("172.18.4.9/32"), net("192.168.1.0/24")];
        assert_eq!(first(&docker_and_lan), Some(net("172.19.0.0/16")));
        assert_eq!(first(&[net("172.16.0.0/12")]), Some(net("192.168.0.0/20")));
        assert_eq!(first(&[net("172.16.0.0/12"), net("192.168.0.0/20")]), Some(net("192.168.16.0/20")));
        assert_eq!(first(&[net("172.16.0.0/12"), net("192.168.0.0/16")]), None);
    }

    #[test]
    fn an_earlier_choice_is_kept_while_it_is_free() {
        let earlier = Some(net("172.20.0.0/16"));
        assert_eq!(choose(true, earlier, &docker_pools(), &[]), earlier);
        let taken = [net("172.20.1.0/24")];
        assert_eq!(choose(true, earlier, &docker_pools(), &taken), Some(net("172.17.0.0/16")));
    }

    #[test]
    fn ipv6_pools_are_unique_local_and_stay() {
        let pools = [unique_local_pool("engine")];
        let one = choose(false, None, &pools, &[]).unwrap();
        assert_eq!((one.prefix_len(), net("fd00::/8").covers(one)), (64, true));
        let two = choose(false, None, &pools, &[one]).unwrap();
        assert!(!one.overlaps(two) && unique_local_pool("engine").base.covers(two));
        assert_ne!(unique_local_pool("other").base, pools[0].base);
    }

    #[test]
    fn what_is_asked_for_must_fit_together() {
        let subnet = net("10.1.0.0/16");
        let fine = PoolRequest { range: Some(net("10.1.4.0/24")), ..PoolRequest::default() };
        let pool = complete(&fine, subnet, true).unwrap();
        assert_eq!(pool.gateway, "10.1.0.1".parse().ok());
        assert_eq!(complete(&fine, subnet, false).unwrap().gateway, None);
        let other = |address: &str| PoolRequest {
            auxiliary: [("router".to_owned(), address.parse().unwrap())].into(),
            ..PoolRequest::default()
        };
        assert_eq!(complete(&other("10.1.0.1"), subnet, true).unwrap().gateway, "10.1.0.2".parse().ok());
        for (request, subnet, reason) in [
            (fine.clone(), "10.1.0.1/16", "it should be 10.1.0.0/16"),
            (fine.clone(), "10.2.0.0/16", "doesn't contain ip-range"),
            (fine, "10.1.4.0/25", "bigger than its parent"),
            (other("10.2.0.1"), "10.1.0.0/16", "router"),
            (
                PoolRequest { gateway: "10.2.0.1".parse().ok(), ..PoolRequest::default() },
                "10.1.0.0/16",
                "gateway",
            ),
            (
                PoolRequest { gateway: "10.1.0.0".parse().ok(), ..PoolRequest::default() },
                "10.1.0.0/16",
                "gateway",
            ),
            (PoolRequest::default(), "0.0.0.0/0", "all addresses"),
            (PoolRequest::default(), "127.3.0.0/16", "no host"),
            (PoolRequest::default(), "126.0.0.0/7", "no host"),
            (PoolRequest::default(), "0.1.0.0/16", "no host"),
            (PoolRequest::default(), "f000::/4", "no host"),
            (PoolRequest::default(), "224.0.1.0/24", "no host"),
            (PoolRequest::default(), "::/64", "no host"),
            (PoolRequest::default(), "::1/128", "no host"),
            (PoolRequest::default(), "ff02::/64", "no host"),
        ] {
            let error = complete(&request, net(subnet), true).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
