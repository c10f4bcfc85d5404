//! Typed, synchronous netlink: links, addresses and routes, nftables, connection tracking, and the
//! network namespaces that they are seen from.
//!
//! The kernel answers a netlink request before `sendmsg` returns, so nothing here waits and nothing
//! is asynchronous: requests go out in batches (one system call), then every answer is read and the
//! first refusal is returned with the name of the request it belongs to and the kernel's own words.
//!
//! A socket stays in the network namespace it was opened in; [`namespace`] runs code in another.
//!
//! | module | speaks to |
//! |---|---|
//! | [`route`] | rtnetlink(7): links, addresses, routes |
//! | [`nft`] | nf_tables: tables, chains, rules, sets, maps and their elements, in transactions |
//! | [`conntrack`] | connection tracking: forgetting flows |
//! | [`namespace`] | network namespaces: make one, run in one |

mod attribute;
pub mod conntrack;
mod error;
pub mod namespace;
pub mod nft;
pub mod route;
mod socket;

pub use error::Error;
