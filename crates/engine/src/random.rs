//! Random bytes from the kernel, and ids made of them.

use crate::Error;

/// Bytes from getrandom(2).
///
/// # Errors
/// `Internal`, on a kernel without randomness.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let got = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Error::internal("read random bytes", &std::io::Error::from(errno)))?;
        filled += got;
    }
    Ok(bytes)
}

/// 64 random hexadecimal digits.
///
/// # Errors
/// As [`bytes`].
pub(crate) fn hex_id() -> Result<String, Error> {
    Ok(minke_model::ContainerId::from_random(bytes()?).to_string())
}
