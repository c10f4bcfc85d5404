//! `ports` of a service.

use super::attribute::attributes;

attributes! {
    /// One published port of a service's containers. A range of the short form is one of these for each port.
    pub struct Port {
        /// What it is for.
        name: String,
        /// `ingress` or `host`.
        mode: String,
        /// The host's address.
        host_ip: String,
        /// The container's port.
        target: u32,
        /// The host's port or range (`8000-8010`); empty for any.
        published: String,
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
        /// The protocol above it, such as `http`.
        app_protocol: String,
    }
}
