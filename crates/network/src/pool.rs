//! Which subnet a network gets: the first of the default pools that the host doesn't use. Pure.

use std::net::Ipv4Addr;

use crate::Ipv4Net;

/// Docker's default address pools, cut into networks: 172.17.0.0/16 to 172.31.0.0/16, then
/// 192.168.0.0/16 in pieces of /20.
fn default_pools() -> impl Iterator<Item = Ipv4Net> {
    let class_b = (17..=31).map(|b| Ipv4Net::new(Ipv4Addr::new(172, b, 0, 0), 16));
    let class_c = (0..=15).map(|c| Ipv4Net::new(Ipv4Addr::new(192, 168, c << 4, 0), 20));
    class_b.chain(class_c)
}

/// The first default pool that overlaps none of `taken`; `preferred` goes first if it is free.
/// A default route (/0) takes nothing.
pub(crate) fn choose(preferred: Option<Ipv4Net>, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let free = |pool: &Ipv4Net| !taken.iter().any(|net| net.prefix_len() > 0 && net.overlaps(*pool));
    preferred.into_iter().chain(default_pools()).find(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn an_idle_host_gets_docker_s_first_pool() {
        assert_eq!(choose(None, &[]), Some(net("172.17.0.0/16")));
        assert_eq!(choose(None, &[net("0.0.0.0/0"), net("10.0.0.0/8")]), Some(net("172.17.0.0/16")));
    }

    #[test]
    fn what_the_host_uses_is_passed_over() {
        let docker_and_lan = [net("172.17.0.0/16"), net("172.18.4.9/32"), net("192.168.1.0/24")];
        assert_eq!(choose(None, &docker_and_lan), Some(net("172.19.0.0/16")));
        assert_eq!(choose(None, &[net("172.16.0.0/12")]), Some(net("192.168.0.0/20")));
        assert_eq!(choose(None, &[net("172.16.0.0/12"), net("192.168.0.0/16")]), None);
    }

    #[test]
    fn an_earlier_choice_is_kept_while_it_is_free() {
        let earlier = Some(net("172.20.0.0/16"));
        assert_eq!(choose(earlier, &[]), earlier);
        assert_eq!(choose(earlier, &[net("172.20.1.0/24")]), Some(net("172.17.0.0/16")));
    }
}
