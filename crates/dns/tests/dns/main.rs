//! The server as containers and name servers see it: real `dig` and dnsmasq in network namespaces that the tests make.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod cost;
mod forwarding;
mod hostile;
mod liars;
mod load;
mod local;
mod world;
