//! TLS as a client: whom to trust, and whom to say one is.

use std::{collections::HashSet, fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

/// Whom to trust beside the authorities of this host that are given with it, and who this client is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trust {
    /// Authorities, or the very certificates of servers.
    pub roots: Vec<CertificateDer<'static>>,
    /// This client's own certificate.
    pub identity: Option<Identity>,
    /// Whether a server has to prove who it is.
    pub verify: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { roots: Vec::new(), identity: None, verify: true }
    }
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The certificate, then those that lead to a known authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, in PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates, …)", self.chain.len())
    }
}

/// The configuration for connections to servers of this trust. `system` are the authorities of this host, `protocols`
/// what is spoken inside (ALPN), best first.
///
/// # Errors
/// When a certificate or the key can't be used.
pub fn client_config(
    trust: &Trust,
    system: &[CertificateDer<'static>],
    protocols: &[&str],
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(trust, system, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &trust.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|error| Error::General(error.to_string()))?;
            builder.with_client_auth_cert(identity.chain.clone(), key)?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Verifies servers. It differs from rustls's own in two ways: it can be told to accept everybody, and a
/// server's certificate that was itself put among the authorities is accepted for its names.
///
/// The second is what `openssl req -x509` makes and what users copy to `certs.d`: a certificate that is both
/// a server's and an authority's, which webpki refuses as a server's. Its dates are not looked at.
#[derive(Debug)]
struct Verifier {
    chains: Option<Arc<WebPkiServerVerifier>>,
    pinned: HashSet<CertificateDer<'static>>,
    verify: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(
        trust: &Trust,
        system: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for root in &trust.roots {
            roots.add(root.clone())?;
        }
        // A host's bundle has oddities in it; one of them must not keep everybody away.
        roots.add_parsable_certificates(system.iter().cloned());
        let chains = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?,
            ),
        };
        let pinned = trust.roots.iter().cloned().collect();
        Ok(Self { chains, pinned, verify: trust.verify, provider: provider.clone() })
    }
}

/// There is no authority to verify anybody by.
#[derive(Debug, thiserror::Error)]
#[error("this host trusts no certificate authority: install ca-certificates")]
struct NoRoots;

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.verify {
            return Ok(ServerCertVerified::assertion());
        }
        if self.pinned.contains(end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chains {
            Some(chains) => {
                chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(CertificateError::Other(OtherError(Arc::new(NoRoots))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
