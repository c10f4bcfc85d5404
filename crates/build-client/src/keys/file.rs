//! The key of a file: OpenSSH's form, and the older ones in which openssl writes keys.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING as P256, ECDSA_P384_SHA384_FIXED_SIGNING as P384, Ed25519KeyPair,
    RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

use super::key::{Key, Signer, ecdsa_of_pkcs8};
use super::{KeyFault, openssh};

/// The most bytes of a file; one of an RSA key of 16384 bits has 13000.
const MOST: usize = 100 * 1024;

/// Reads the key of a file.
pub(super) fn read(path: &Path) -> Result<Key, KeyFault> {
    let content = content(path)?;
    let text = std::str::from_utf8(&content).map_err(|_| KeyFault::Form)?.trim();
    let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    match label {
        Some("OPENSSH PRIVATE KEY") => openssh::read(text),
        Some("ENCRYPTED PRIVATE KEY") => Err(KeyFault::Encrypted),
        Some("RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY")
            if text.contains("Proc-Type: 4,ENCRYPTED") =>
        {
            Err(KeyFault::Encrypted)
        }
        Some("RSA PRIVATE KEY" | "PRIVATE KEY") => der(text),
        Some(label) if label.ends_with("PUBLIC KEY") => Err(KeyFault::Public),
        _ if is_public(text) => Err(KeyFault::Public),
        _ => Err(KeyFault::Form),
    }
}

/// What a file holds. It is read into its place at once: a buffer that grows leaves copies behind.
fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    let mut content = Zeroizing::new(vec![0; MOST + 1]);
    let mut file = File::open(path).map_err(KeyFault::Read)?;
    let mut length = 0;
    while length < content.len() {
        match file.read(&mut content[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(KeyFault::Directory),
            Err(error) => return Err(KeyFault::Read(error)),
        }
    }
    if length > MOST {
        return Err(KeyFault::TooLarge);
    }
    content.truncate(length);
    Ok(content)
}

/// A line of `authorized_keys`, as files `.pub` are, or the form of RFC 4716.
fn is_public(text: &str) -> bool {
    let starts = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "---- BEGIN SSH2 PUBLIC KEY"];
    starts.iter().any(|start| text.starts_with(start))
}

/// PKCS#1 and PKCS#8, which have no comments.
fn der(text: &str) -> Result<Key, KeyFault> {
    let mut key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyFault::Damaged)?;
    let der = key.secret_der();
    let signer = match key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der).ok().map(Signer::Rsa),
        _ => pkcs8(der),
    };
    key.zeroize();
    signer.map(|signer| Key::new(signer, String::new())).ok_or(KeyFault::Kind)
}

/// What a key is for stands in it, and whoever reads it looks: it is of the one kind that takes it.
fn pkcs8(der: &[u8]) -> Option<Signer> {
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Signer::Ed25519);
    let ecdsa = || [&P256, &P384].into_iter().find_map(|algorithm| ecdsa_of_pkcs8(algorithm, der).ok());
    let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(Signer::Rsa);
    ed25519().or_else(|| ecdsa().map(Signer::Ecdsa)).or_else(rsa)
}
