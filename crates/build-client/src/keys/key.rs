//! One key: how SSH writes its public half, and its signatures (RFC 4253, 6.6; RFC 5656, 3.1; RFC 8332; RFC 8709).

use ring::error::KeyRejected;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RsaEncoding, RsaKeyPair,
};

use super::encoding::Encoder;

/// What an RSA key is asked to hash with (draft-ietf-sshm-ssh-agent, 6.2).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// What a point of nistp256 has of bytes in full; one of nistp384 has 97.
const P256_POINT: usize = 65;

/// A private key.
pub(super) struct Key {
    public: Vec<u8>,
    comment: String,
    signer: Signer,
}

/// What signs.
pub(super) enum Signer {
    Ed25519(Ed25519KeyPair),
    /// Of nistp256 or nistp384, with signatures of two numbers of the same length.
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    pub(super) fn new(signer: Signer, comment: String) -> Self {
        Self { public: signer.public(), comment, signer }
    }

    /// The public half, by which the key is asked for.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn comment(&self) -> &str {
        &self.comment
    }

    /// The signature of `data`; `None` where the key can't make it.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (algorithm, signature) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(pair) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                (curve(pair).0, Encoder::default().integer(r).integer(s).done())
            }
            Signer::Rsa(pair) => {
                let (algorithm, encoding) = rsa_algorithm(flags)?;
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, data, &mut signature).ok()?;
                (algorithm, signature)
            }
        };
        Some(Encoder::default().string(algorithm.as_bytes()).string(&signature).done())
    }
}

impl Signer {
    fn public(&self) -> Vec<u8> {
        let start = Encoder::default();
        match self {
            Self::Ed25519(pair) => start.string(b"ssh-ed25519").string(pair.public_key().as_ref()),
            Self::Ecdsa(pair) => {
                let (algorithm, curve) = curve(pair);
                let point = pair.public_key().as_ref();
                start.string(algorithm.as_bytes()).string(curve.as_bytes()).string(point)
            }
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                start.string(b"ssh-rsa").integer(&public.e).integer(&public.n)
            }
        }
        .done()
    }
}

/// The algorithm's name, and its curve's.
fn curve(pair: &EcdsaKeyPair) -> (&'static str, &'static str) {
    match pair.public_key().as_ref().len() {
        P256_POINT => ("ecdsa-sha2-nistp256", "nistp256"),
        _ => ("ecdsa-sha2-nistp384", "nistp384"),
    }
}

/// Without either flag SHA-1 is meant, which nobody should sign with; OpenSSH takes it no more since 8.8.
fn rsa_algorithm(flags: u32) -> Option<(&'static str, &'static dyn RsaEncoding)> {
    if flags & RSA_SHA2_256 != 0 {
        return Some(("rsa-sha2-256", &RSA_PKCS1_SHA256));
    }
    (flags & RSA_SHA2_512 != 0).then_some(("rsa-sha2-512", &RSA_PKCS1_SHA512))
}

/// An ECDSA key of its two halves.
pub(super) fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    private: &[u8],
    public: &[u8],
) -> Result<EcdsaKeyPair, KeyRejected> {
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &SystemRandom::new())
}

/// An ECDSA key in PKCS#8.
pub(super) fn ecdsa_of_pkcs8(
    algorithm: &'static EcdsaSigningAlgorithm,
    der: &[u8],
) -> Result<EcdsaKeyPair, KeyRejected> {
    EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new())
}
