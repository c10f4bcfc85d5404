//! TLS as a server: its certificate, and the authorities whose clients it lets in.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those that lead to a known authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Whom a server lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// Whoever connects.
    Everybody,
    /// Those whose certificate an authority in this file has signed.
    SignedBy(PathBuf),
}

/// The certificates or the key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or is no PEM.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: pem::Error,
    },
    /// A certificate and its key don't fit together, or an authority is none.
    #[error("use the certificate {path}")]
    Use {
        /// The certificate's file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: rustls::Error,
    },
    /// There is no authority that could let anybody in.
    #[error("use the authorities {path}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// Who a server is and whom it lets in, as its files said when they were last read. Clones share it.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    clients: Clients,
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], as [`server_config`].
    pub fn open(files: TlsFiles, clients: Clients) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(server_config(&files, &clients)?));
        Ok(Self(Arc::new(Inner { files, clients, current })))
    }

    /// What the next handshake is made with.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again; connections that stand are not touched.
    ///
    /// # Errors
    /// [`TlsError`]; then what was read before counts on.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(server_config(&self.0.files, &self.0.clients)?);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// The configuration of a server. Only HTTP/1.1 is offered: nothing here gains by the other.
///
/// # Errors
/// [`TlsError`]; trying again helps once the file that it names was changed.
pub fn server_config(files: &TlsFiles, clients: &Clients) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(read(&files.key))?;
    let used = |source| TlsError::Use { path: files.certificate.clone(), source };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(used)?;
    let builder = match clients {
        Clients::Everybody => builder.with_no_client_auth(),
        Clients::SignedBy(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|source| TlsError::Use { path: path.clone(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|source| TlsError::Authorities { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(used)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(read(path))
}

fn read(path: &Path) -> impl Fn(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Read { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fs};

    use super::*;

    #[test]
    fn what_a_server_needs_is_named_when_it_is_missing_or_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(vec!["e.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["f.example".to_owned()]).unwrap();
        let certificate = write("cert.pem", &made.cert.pem());
        let files = TlsFiles {
            certificate: certificate.clone(),
            key: write("key.pem", &made.signing_key.serialize_pem()),
        };
        assert!(server_config(&files, &Clients::Everybody).is_ok());
        assert!(server_config(&files, &Clients::SignedBy(certificate)).is_ok());
        let told = |files: &TlsFiles, clients: &Clients| {
            let error = server_config(files, clients).unwrap_err();
            format!("{error}: {}", error.source().unwrap())
        };
        let server = ServerTls::open(files.clone(), Clients::Everybody).unwrap();
        let before = server.current();
        server.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &server.current()));
        let (before, key) = (server.current(), made.signing_key.serialize_pem());
        write("key.pem", &other.signing_key.serialize_pem());
        assert!(server.reload().is_err() && Arc::ptr_eq(&before, &server.current()), "what works stays");
        write("key.pem", &key);

        let wrong = TlsFiles { key: write("other.pem", &other.signing_key.serialize_pem()), ..files.clone() };
        let text = told(&wrong, &Clients::Everybody);
        assert!(text.contains("cert.pem") && text.contains("KeyMismatch"), "{text}");
        let absent = TlsFiles { key: folder.path().join("absent.pem"), ..files.clone() };
        assert!(told(&absent, &Clients::Everybody).contains("absent.pem"));
        let empty = Clients::SignedBy(write("empty.pem", ""));
        assert!(told(&files, &empty).contains("empty.pem"), "{}", told(&files, &empty));
    }
}
