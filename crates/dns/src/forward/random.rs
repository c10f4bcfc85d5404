//! Numbers that nobody can guess.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// The number of a question (RFC 5452, section 4.3), from the kernel's own generator.
pub(super) fn number() -> io::Result<u16> {
    let mut bytes = [0; 2];
    // So few bytes come whole.
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(bytes))
}
