//! TLS to an engine: what a client brings, and what goes wrong in words for whoever handed out the certificates.

use std::error::Error as StdError;
use std::{fmt, io};

use minke_tls::{Identity, Trust, client_config};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// What a client brings, in PEM as Docker keeps it: `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsMaterial {
    /// The authorities that the engine's certificate is verified by; without any, those of this host.
    pub ca: Option<Vec<u8>>,
    /// This client's certificate, with those that lead to an authority.
    pub certificate: Option<Vec<u8>>,
    /// The certificate's private key.
    pub key: Option<Vec<u8>>,
    /// Whether the engine may be anybody.
    pub skip_verify: bool,
}

impl fmt::Debug for TlsMaterial {
    /// The key stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("skip_verify", &self.skip_verify).finish_non_exhaustive()
    }
}

/// What a client brings can't be used. Trying again doesn't help.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text is no PEM, or has nothing of the kind in it.
    #[error("{what}: no certificates in PEM")]
    Pem {
        /// `ca.pem` or `cert.pem`
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate without its key, or the other way around.
    #[error("a client's certificate and its key need each other: {0} is missing")]
    Half(&'static str),
    /// The certificates, the key or both make no sense.
    #[error("use the certificates")]
    Use(#[source] rustls::Error),
}

/// TLS as one client speaks it.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads what a client brings. Without a CA this host's authorities are read, which takes milliseconds.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(material: &TlsMaterial) -> Result<Self, TlsError> {
        let roots = match &material.ca {
            Some(ca) => certificates("ca.pem", ca)?,
            None => Vec::new(),
        };
        let system = match material.ca.is_none() && !material.skip_verify {
            true => rustls_native_certs::load_native_certs().certs,
            false => Vec::new(),
        };
        let identity = match (&material.certificate, &material.key) {
            (Some(chain), Some(key)) => {
                Some(Identity { chain: certificates("cert.pem", chain)?, key: key.clone() })
            }
            (None, None) => None,
            (Some(_), None) => return Err(TlsError::Half("key.pem")),
            (None, Some(_)) => return Err(TlsError::Half("cert.pem")),
        };
        let trust = Trust { roots, identity, verify: !material.skip_verify };
        let config = client_config(&trust, &system, &["http/1.1"]).map_err(TlsError::Use)?;
        Ok(Self(TlsConnector::from(std::sync::Arc::new(config))))
    }

    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.0.connect(name, stream).await
    }
}

fn certificates(what: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { what, source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// What is wrong between the two, and what to do; `None` where TLS is not to blame.
pub(crate) fn problem(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An io::Error's source is that of the error in it.
        let found = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(found) = found {
            return Some(told(found));
        }
        cause = error.source();
    }
    None
}

fn told(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(error) => their_certificate(error),
        AlertReceived(alert) => own_certificate(*alert),
        InvalidMessage(_) => "it doesn't speak TLS there: leave --tls and --tlsverify (DOCKER_TLS_VERIFY) away, or give the port that does".to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

fn their_certificate(error: &CertificateError) -> String {
    use CertificateError as Wrong;
    match error {
        Wrong::UnknownIssuer => "its certificate is signed by no authority that is trusted here: give the right CA with --tlscacert, or as ca.pem in DOCKER_CERT_PATH or in the context".to_owned(),
        Wrong::Expired | Wrong::ExpiredContext { .. } => {
            format!("its certificate has expired ({error}): the engine needs a new one")
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            format!("its certificate is another host's ({error}): use a name that is in it")
        }
        error => format!("its certificate can't be trusted: {error}"),
    }
}

/// What the engine thinks of this client.
fn own_certificate(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "it wants a certificate of this client: give one with --tlscert and --tlskey, or as cert.pem and key.pem in DOCKER_CERT_PATH or in the context".to_owned(),
        Alert::UnknownCA => {
            "it knows no authority that has signed this client's certificate (cert.pem): get one from the engine's CA"
                .to_owned()
        }
        Alert::CertificateExpired => "this client's certificate (cert.pem) has expired: get a new one".to_owned(),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::AccessDenied => {
            format!("it refuses this client's certificate (cert.pem), or misses one: {alert:?}")
        }
        alert => format!("it ended the TLS handshake: {alert:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_certificates_is_found_below_other_errors_and_others_are_not() {
        let wrapped = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(problem(&wrapped(expired)).unwrap().contains("its certificate has expired"));
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert!(problem(&wrapped(required)).unwrap().contains("--tlscert"));
        assert_eq!(problem(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }

    #[test]
    fn halves_and_what_is_no_pem_are_named() {
        let told = |material| Tls::new(&material).unwrap_err().to_string();
        let ca = |text: &str| TlsMaterial { ca: Some(text.into()), ..TlsMaterial::default() };
        assert!(told(ca("nothing")).contains("ca.pem"));
        let half = TlsMaterial { key: Some(Vec::new()), skip_verify: true, ..TlsMaterial::default() };
        assert!(told(half).contains("cert.pem is missing"));
    }
}
